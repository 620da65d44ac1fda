"""A terminal for a command: a pseudoterminal whose master belongs to the agent or hub.

The supervisor opens the slave as the controlling terminal of the command, in a new session (``supervisor.py``,
``login.py``). When the master is closed for any reason, the kernel sends SIGHUP to the command.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
import termios
from contextlib import suppress

from ...errors import CannotExecute, UsageError
from .process import Input, Output

__all__ = ["Terminal", "open_terminal", "read_size"]

_SIZE = struct.Struct("HHHH")
_MOST = 9999  # columns and rows
_IUTF8 = 0o40000  # of termios(3): backspace erases a whole character


def read_size(text: str) -> tuple[int, int]:
    """The columns and rows of a terminal.

    :param text: the size as COLUMNSxROWS.
    :raises UsageError: the text is not such a size.
    """
    columns, _, rows = text.partition("x")
    if columns.isdecimal() and rows.isdecimal() and text.isascii() and len(text) <= 9:
        size = int(columns), int(rows)
        if _is_size(*size):
            return size
    raise UsageError(f"invalid size of a terminal {text[:32]!r}: expected COLUMNSxROWS, as in 80x24")


def _is_size(columns: int, rows: int) -> bool:
    return 1 <= columns <= _MOST and 1 <= rows <= _MOST


class Terminal:
    """The master of a pseudoterminal.

    :ivar stdin: the input of the terminal, as if it was typed.
    :ivar output: the output of the command on the terminal. Stdout and stderr cannot be distinguished.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, master: int) -> None:
        self.output = _TerminalOutput(loop, master)
        self._master = master
        self.stdin = _TerminalInput(loop, os.dup(master))

    def resize(self, columns: int, rows: int) -> None:
        """Set the size. The kernel sends SIGWINCH to the foreground process group. An impossible size is ignored."""
        if _is_size(columns, rows):
            with suppress(OSError):
                _set_size(self._master, columns, rows)


class _TerminalInput(Input):
    """The input of a terminal. The kernel reports the end of the last program on the terminal as an error."""

    async def write(self, data: bytes) -> None:
        try:
            await super().write(data)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            raise BrokenPipeError from None


class _TerminalOutput(Output):
    """The output of a terminal. The kernel reports its end as an error."""

    async def read(self) -> bytes:
        try:
            return await super().read()
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return b""


def open_terminal(loop: asyncio.AbstractEventLoop, size: tuple[int, int], host: str) -> tuple[Terminal, int]:
    """Open a new pseudoterminal.

    :param size: the columns and rows.
    :param host: the name of this host, for the error.
    :returns: the terminal and the descriptor of its slave, which the caller closes.
    :raises CannotExecute: this system has no free pseudoterminal.
    """
    try:
        master, slave = os.openpty()
    except OSError as error:
        raise CannotExecute(
            f"no terminal is available on {host}: {error.strerror}; mount /dev/pts there, or omit -t"
        ) from None
    try:
        _set_size(master, *size)
        settings = termios.tcgetattr(slave)
        settings[0] |= _IUTF8
        termios.tcsetattr(slave, termios.TCSANOW, settings)
        return Terminal(loop, master), slave
    except BaseException:
        os.close(master)
        os.close(slave)
        raise


def _set_size(descriptor: int, columns: int, rows: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, _SIZE.pack(rows, columns, 0, 0))
