"""``linesync console``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import EndOfStream, TimedOut, UsageError
from ...program import read_stdin, write_output
from ..common import connection, timeout_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...client.blocking import BlockingClient
    from ...client.deadlines import Deadline
    from ...runtime.streams import Stream

HELP = "show the console log of a host's line: kernel messages, prompts and boot loaders"
EXAMPLES = """\
  linesync console sut              print the last mebibyte
  linesync console sut -f           print it, and follow new text until Ctrl-C
  linesync console /dev/ttyS0 -i    type into the line; ~b sends a BREAK
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST", help="a host, or a port of the hub")
    parser.add_argument("-f", "--follow", action="store_true", help="also print new text as it arrives")
    parser.add_argument("-i", dest="type_into", action="store_true", help="also type into the line; ~. leaves")
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    if args.type_into and not os.isatty(0):
        raise UsageError("-i needs a terminal as stdin; leave -i out to read the console log")
    with connection(args) as client:
        stream = client.console(args.host, follow=args.follow, type_into=args.type_into)
        if args.type_into:
            return _interactive(client, stream, args)
        stream.end() if not args.follow else None
        return copy_out(client, stream, f"the console log of {args.host}", args.deadline)


def copy_out(client: BlockingClient, stream: Stream, what: str, deadline: Deadline) -> int:
    """Print a channel's text until it ends.

    :param what: the text, for the error.
    :raises TimedOut: it did not end before the deadline.
    """
    from ... import protocol
    from ...runtime.streams import MESSAGE

    try:
        while True:
            while (item := stream.receive_nowait()) is not None:
                if item.stream == MESSAGE:
                    error = protocol.read_error(item.data.decode("utf-8", "replace"))
                    if error is not None:
                        raise error
                else:
                    write_output(1, item.data)
            if deadline.over:
                raise TimedOut(
                    f"timed out after {deadline.timeout:g} s while {what} was shown; to see more, use a longer time"
                )
            client.peer.turn(deadline.left)
    except EndOfStream:
        return 0


def _interactive(client: BlockingClient, stream: Stream, args: argparse.Namespace) -> int:
    escape = _Escape(stream)

    def typed() -> None:
        data = read_stdin(1024)
        if data:
            escape.take(data)
        elif data is not None:  # the terminal is gone
            client.peer.watch(0, None)
            stream.end()

    client.peer.watch(0, typed)
    with _raw_terminal():
        return copy_out(client, stream, f"the console of {args.host}", args.deadline)


@contextmanager
def _raw_terminal() -> Iterator[None]:
    """Make the terminal pass every byte, and restore it at the end. Neither waits for its output, which may be stopped."""
    import termios
    import tty

    before = termios.tcgetattr(0)
    try:
        tty.setraw(0, termios.TCSANOW)
        yield
    finally:
        try:
            termios.tcsetattr(0, termios.TCSANOW, before)
        except termios.error:  # the terminal is gone
            pass


class _Escape:
    """Escapes at the start of a line, as in ssh: ``~.`` leaves, ``~b`` sends a BREAK, and ``~~`` is a tilde."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._line_start = True
        self._tilde = False

    def take(self, data: bytes) -> None:
        out = bytearray()
        for byte in data:
            if self._tilde:
                self._tilde = False
                if byte == ord("."):
                    self._stream.end()
                    return
                if byte == ord("b"):
                    self._stream.send_message("break")
                    continue
                if byte != ord("~"):
                    out += b"~"
            elif byte == ord("~") and self._line_start:
                self._tilde = True
                continue
            out.append(byte)
            self._line_start = byte in b"\r\n"
        if out:
            self._stream.send_nowait(0, bytes(out))
