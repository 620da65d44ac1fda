"""Two ptys that a :class:`~linesync.testing.cable.Cable` connects, in real time.

A pty has no speed: the kernel accepts about 12 KB from a writer immediately and passes them to the reader immediately. This
module therefore reads from each pty only the bytes that fit into the cable's small buffer, at the rate of the line. It cannot
limit the bytes in the kernel's pty buffer. A writer stops only when this buffer is full too, and ``tcdrain`` returns
immediately. A sender that needs short delays must pace itself.

On a busy machine this process wakes up some milliseconds late. A UART would have sent bytes in this time. This module
therefore remembers the number of bytes that were waiting in the pty at the last call. It feeds them at the past times at
which the buffer had room for them. Only bytes that arrived later are fed at the current time.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import time
import tty
from pathlib import Path

from linesync.errors import UsageError
from linesync.testing.cable import Cable, End, FaultyLine
from linesync.testing.cable_rates import CableRates

__all__ = ["PtyCable"]

_SPEED_CHECK_INTERVAL = 0.05  # seconds between checks of the ptys' speeds while no bytes arrive
_DIRECTIONS: tuple[tuple[End, End], ...] = (("a", "b"), ("b", "a"))


class _Pty:
    """One pty.

    The slave stays open too, for two reasons: the master would fail while no process has the slave open, and the slave's
    termios are read through it.
    """

    def __init__(self, link: str | None) -> None:
        self.master, self._slave = os.openpty()
        self.path = os.ttyname(self._slave)
        self._link = Path(link) if link else None
        try:
            tty.setraw(self._slave)
            os.set_blocking(self.master, False)
            if self._link:
                self._make_link(self._link)
        except BaseException:
            os.close(self.master)
            os.close(self._slave)
            raise
        self._speed = -1  # the termios constant at the last check
        self._bauds = {number: int(name[1:]) for name, number in vars(termios).items() if name[1:].isdigit()}
        self.queued = 0  # the number of bytes that were waiting in the kernel at the last call of update_queued()
        self.overrun = 0  # the number of bytes for which the kernel had no room, because no process reads the slave

    @property
    def name(self) -> str:
        return str(self._link) if self._link else self.path

    def _make_link(self, link: Path) -> None:
        if link.exists() and not link.is_symlink():
            raise UsageError(f"{link} exists and is not a symbolic link; choose another path")
        try:
            link.unlink(missing_ok=True)
            link.symlink_to(self.path)
        except OSError as error:
            raise UsageError(f"cannot make the link {link}: {error.strerror}; choose another path") from None

    def baud(self) -> int | None:
        """The speed of the pty in bits per second, if its user has changed it since the last call; else None."""
        speed = termios.tcgetattr(self._slave)[5]
        if speed == self._speed:
            return None
        self._speed = speed
        return self._bauds.get(speed)

    def set_baud(self, baud: float) -> None:
        """Set the speed in bits per second at the start. A speed without a termios constant becomes 115200."""
        settings = termios.tcgetattr(self._slave)
        settings[4] = settings[5] = getattr(termios, f"B{int(baud)}", termios.B115200)
        termios.tcsetattr(self._slave, termios.TCSANOW, settings)

    def update_queued(self) -> None:
        """Update :attr:`queued`, the number of bytes that wait to be read."""
        (self.queued,) = struct.unpack("i", fcntl.ioctl(self.master, termios.FIONREAD, b"\0\0\0\0"))

    def read(self, count: int) -> bytes:
        try:
            data = os.read(self.master, count)
        except BlockingIOError:
            data = b""  # the pty's user has flushed the bytes
        self.queued = self.queued - len(data) if data else 0
        return data

    def write(self, data: bytes | bytearray) -> None:
        try:
            taken = os.write(self.master, data)
        except BlockingIOError:
            taken = 0
        self.overrun += len(data) - taken

    def close(self) -> None:
        os.close(self.master)
        os.close(self._slave)
        if self._link and self._link.is_symlink() and os.readlink(self._link) == self.path:
            self._link.unlink()


class PtyCable:
    """Two raw ptys and the cable between them. Times are seconds since this object was made.

    :param cable: a cable that was made with ``start=0``.
    :param rates: the cable's rates, which then follow the speeds of the ptys; None for a fixed rate.
    :param link_a: the path of a new symbolic link to the pty of end a, which replaces an old link; None for no link. ``link_b``
        for end b.
    :raises UsageError: a link cannot be made.
    """

    def __init__(
        self, cable: Cable, *, rates: CableRates | None = None, link_a: str | None = None, link_b: str | None = None
    ) -> None:
        self.cable = cable
        self.rates = rates
        a = _Pty(link_a)
        try:
            b = _Pty(link_b)
        except BaseException:
            a.close()
            raise
        self._ptys: dict[End, _Pty] = {"a": a, "b": b}
        if rates is not None:
            for end, pty in self._ptys.items():
                pty.set_baud(rates.baud[end])
        self._pulled = False
        self._origin = time.monotonic()

    def now(self) -> float:
        """Seconds since this object was made."""
        return time.monotonic() - self._origin

    def name(self, end: End) -> str:
        """The path to open at ``end``: the link, or the pty itself."""
        return self._ptys[end].name

    def turn(self) -> tuple[list[int], float | None]:
        """Advance both directions to the current time.

        :returns: the descriptors to watch, and the seconds until the next call or None. The next call is due when one of the
            descriptors is readable or when this time is over.
        """
        now = self.now()
        watch = []
        self._apply_speeds(now)
        for end, far in _DIRECTIONS:
            pty, line = self._ptys[end], self.cable.line_from(end)
            arrived = self._catch_up(pty, line, now)
            if arrived:
                self._ptys[far].write(arrived)
                if self.cable.echo:
                    pty.write(arrived)
            if not pty.queued and line.room(now):
                watch.append(pty.master)
        due = self.cable.next_time()
        if due is None:
            return watch, None if self.rates is None else _SPEED_CHECK_INTERVAL
        return watch, max(0.0, due - self.now())

    def _apply_speeds(self, now: float) -> None:
        """Apply the speeds of the ptys to the bytes from this time on."""
        if self.rates is None:
            return
        for end, pty in self._ptys.items():
            baud = pty.baud()
            if baud:
                self.rates.set(end, baud, now)

    def _catch_up(self, pty: _Pty, line: FaultyLine, now: float) -> bytes | bytearray:
        early = bytearray()
        while pty.queued and (when := line.next_time()) is not None and when < now:
            early += line.take(when)
            self._load(pty, line, when)
        arrived = line.take(now)
        pty.update_queued()
        self._load(pty, line, now)
        return early + arrived if early else arrived

    def _load(self, pty: _Pty, line: FaultyLine, when: float) -> None:
        count = min(line.room(when), pty.queued)
        if count:
            line.feed(pty.read(count), when)

    def pull(self) -> None:
        """Unplug the cable: bytes are lost in both directions until :meth:`plug`."""
        self._pulled = True
        self.cable.pull(self.now())

    def plug(self) -> None:
        """Plug the cable in again."""
        self._pulled = False
        self.cable.plug(self.now())

    @property
    def pulled(self) -> bool:
        """Whether :meth:`pull` has unplugged the cable."""
        return self._pulled

    def counters(self) -> dict[str, dict[str, int]]:
        """The counters of each direction, ``"ab"`` and ``"ba"``. ``overrun`` is the number of bytes that a full pty has lost.
        ``baud`` is the sender's rate, if the cable follows the speeds of the ptys."""
        self._apply_speeds(self.now())
        found = {}
        for end, far in _DIRECTIONS:
            line = self.cable.line_from(end)
            overrun = self._ptys[far].overrun
            found[end + far] = {**line.counters.as_dict(), "waiting": line.waiting, "overrun": overrun}
            if self.rates is not None:
                found[end + far]["baud"] = int(self.rates.baud[end])
        return found

    def close(self) -> None:
        """Close both ptys and remove the links."""
        for pty in self._ptys.values():
            pty.close()
