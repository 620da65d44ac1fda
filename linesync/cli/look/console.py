"""``linesync console``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial

from ...errors import BrokenError, EndOfStream, UsageError
from ...program import read_stdin, write_output
from ...timestamps import utc
from ..common import bytes_as_json, connection, print_json, timeout_option
from ..own_terminal import Escapes, raw_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...client.blocking import BlockingClient
    from ...client.deadlines import Deadline
    from ...runtime.channels.streams import Stream

HELP = "show the console log of a host's line: kernel messages, prompts and boot loaders"
EXAMPLES = """\
  linesync console sut              print the last mebibyte
  linesync console sut -f           print it, and follow new text until Ctrl-C
  linesync console /dev/ttyS0 -i    type into the line; ~b sends a BREAK
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST", help="a host, or a port of the hub")
    parser.add_argument("-f", "--follow", action="store_true", help="also print new text as it arrives")
    parser.add_argument("-i", dest="type_into", action="store_true", help="also type into the line; ~. exits")
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    if args.type_into and args.json:
        raise UsageError("-i shows the bytes of the line unchanged; omit --json, or use -f to follow the console log")
    if args.type_into and not os.isatty(0):
        raise UsageError("-i needs a terminal as stdin; omit -i to read the console log")
    with connection(args) as client:
        stream = client.console(args.host, follow=args.follow, type_into=args.type_into)
        if args.type_into:
            return _interactive(client, stream, args)
        stream.end() if not args.follow else None
        return copy_out(
            client, stream, f"the console log of {args.host}", args.deadline, _Pieces(args.host) if args.json else None
        )


class _Pieces:
    """Prints the console log as JSON: one object for each line, or for the part of a line that has arrived so far."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._rest = b""

    def __call__(self, data: bytes) -> None:
        lines = (self._rest + data).splitlines(keepends=True) if data else [self._rest]
        self._rest = b""
        for line in lines:
            try:
                text: object = line.decode()
            except UnicodeDecodeError as error:
                if data and line is lines[-1] and error.reason == "unexpected end of data":
                    self._rest = line  # it ends inside a character; the other bytes of the character will follow
                    break
                text = bytes_as_json(line)
            if line:
                print_json({"time": utc(time.time()), "host": self._host, "text": text})
        sys.stdout.flush()


def copy_out(
    client: BlockingClient,
    stream: Stream,
    text_name: str,
    deadline: Deadline,
    show: Callable[[bytes], None] | None = None,
) -> int:
    """Print the text that a channel delivers, until the channel ends.

    :param text_name: the name of the text, for errors.
    :param show: prints a piece of the text; called without bytes at the end. By default, the text is printed unchanged.
    :return: exit code 0.
    :raises TimedOut: the channel did not end before the deadline.
    :raises BrokenError: the hub, the host or the line to it was lost.
    """
    from ... import protocol
    from ...runtime.channels.streams import MESSAGE

    show = show or partial(write_output, 1)
    try:
        while True:
            while (item := stream.receive_nowait()) is not None:
                if item.stream == MESSAGE:
                    error = protocol.read_error(item.data.decode("utf-8", "replace"))
                    if error is not None:
                        raise error
                else:
                    show(item.data)
            if deadline.over:
                show(b"")
                deadline.check(text_name)
            client.peer.turn(deadline.left)
    except EndOfStream:
        show(b"")
        return 0
    except BrokenError as error:
        show(b"")
        raise BrokenError(
            f"{text_name} cannot be shown any more: {error.message}; check the hub and the line, and repeat the command"
        ) from None


def _interactive(client: BlockingClient, stream: Stream, args: argparse.Namespace) -> int:
    escapes = Escapes(
        {".": ("leave the console", stream.end), "b": ("send a BREAK", lambda: stream.send_message("break"))}
    )

    def typed() -> None:
        data = read_stdin(1024)
        if data:
            if taken := escapes.take(data):
                stream.send_nowait(0, taken)
        elif data is not None:  # the terminal is gone
            client.peer.watch(0, None)
            stream.end()

    client.peer.watch(0, typed)
    with raw_terminal():
        return copy_out(client, stream, f"the console of {args.host}", args.deadline)
