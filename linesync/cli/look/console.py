"""``linesync console``."""

from __future__ import annotations

import argparse
import os
import sys

from ...errors import EndOfStream, UsageError
from ..common import connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...client.blocking import BlockingClient
    from ...runtime.streams import Stream

HELP = "show what else came down a host's line: kernel messages, prompts, boot loaders"
EXAMPLES = """\
  linesync console sut                 what was kept, the last mebibyte
  linesync console sut -f              and what comes, until Ctrl-C
  linesync console /dev/ttyS0 -i       type into the line; ~. leaves, ~b sends a BREAK
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST", help="a host, or a port of the hub")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    parser.add_argument("-i", dest="type_into", action="store_true", help="type into the line as well")


def run(args: argparse.Namespace) -> int:
    if args.type_into and not sys.stdin.isatty():
        raise UsageError("-i needs a terminal to type on; leave it out to read the console")
    with connection(args) as client:
        stream = client.open_console(args.host, follow=args.follow, type_into=args.type_into)
        if args.type_into:
            return _interactive(client, stream)
        stream.end() if not args.follow else None
        return copy_out(client, stream)


def copy_out(client: BlockingClient, stream: Stream) -> int:
    """Print a channel's text until it ends."""
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
                    sys.stdout.buffer.write(item.data)
                    sys.stdout.buffer.flush()
            client.peer.turn(None)
    except EndOfStream:
        return 0


def _interactive(client: BlockingClient, stream: Stream) -> int:
    import termios
    import tty

    before = termios.tcgetattr(0)
    escape = _Escape(stream)

    def typed() -> None:
        escape.take(os.read(0, 1024))

    client.peer.watch(0, typed)
    try:
        tty.setraw(0)
        return copy_out(client, stream)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


class _Escape:
    """``~`` at the start of a line: ``~.`` leaves, ``~b`` sends a BREAK, ``~~`` is a tilde; as ssh has it."""

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
