"""The terminal of the person who runs a command: raw mode, size and escapes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from ..runtime.blocking import BlockingPeer

__all__ = ["Escapes", "raw_terminal", "reported_resizes", "terminal_size"]

_DEFAULT_SIZE = 80, 24


def terminal_size() -> tuple[int, int]:
    """The columns and rows of the terminal on stdin. A serial console that does not know its size has 80 columns and 24
    rows."""
    columns, rows = os.get_terminal_size(0)
    return (columns, rows) if columns and rows else _DEFAULT_SIZE


@contextmanager
def raw_terminal() -> Iterator[None]:
    """Make the terminal pass every byte during a block, and restore it at the end.

    No call waits until pending output is sent, because flow control may have stopped the output.
    """
    import termios
    import tty

    before = termios.tcgetattr(0)

    def restore() -> None:
        try:
            termios.tcsetattr(0, termios.TCSANOW, before)
        except termios.error:  # the terminal is gone
            pass

    try:
        try:
            tty.setraw(0, termios.TCSANOW)
            yield
        finally:
            restore()
    finally:
        restore()  # again, because a signal may have interrupted the first call


@contextmanager
def reported_resizes(peer: BlockingPeer, resized: Callable[[int, int], None]) -> Iterator[None]:
    """During a block, call a function with the columns and rows when the size of the terminal changes."""

    def read() -> None:
        os.read(reader, 4096)
        resized(*terminal_size())

    def handle(number: int, frame: FrameType | None) -> None:
        try:
            os.write(writer, b"\0")  # the signal interrupts the wait for a descriptor, but does not end it
        except BlockingIOError:
            pass

    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.signal(signal.SIGWINCH, handle)
    peer.watch(reader, read)
    try:
        yield
    finally:
        peer.watch(reader, None)
        signal.signal(signal.SIGWINCH, before)
        os.close(reader)
        os.close(writer)


class Escapes:
    """Handles escapes at the start of a line, as ssh does. ``~?`` lists them, and ``~~`` types a tilde.

    :param actions: for each character after the tilde, its description and the function that it calls.
    """

    def __init__(self, actions: Mapping[str, tuple[str, Callable[[], None]]]) -> None:
        self._actions = actions
        self._line_start = True
        self._tilde = False

    def take(self, data: bytes) -> bytes:
        """Handle typed bytes, and return the bytes that are not part of an escape."""
        taken = bytearray()
        for byte in data:
            if self._tilde:
                self._tilde = False
                char = chr(byte)
                if char == "?":
                    self._list()
                    continue
                if char in self._actions:
                    self._actions[char][1]()
                    continue
                if char != "~":
                    taken += b"~"
            elif byte == ord("~") and self._line_start:
                self._tilde = True
                continue
            taken.append(byte)
            self._line_start = byte in b"\r\n"
        return bytes(taken)

    def _list(self) -> None:
        """Print the escapes. The terminal is raw, so each line needs a carriage return."""
        rows = [(f"~{char}", about) for char, (about, _) in self._actions.items()]
        rows += [("~~", "type ~"), ("~?", "list these escapes")]
        lines = ["", "Escapes, at the start of a line:", *(f"  {keys}  {about}" for keys, about in rows), ""]
        sys.stderr.write("\r\n".join(lines))
        sys.stderr.flush()
