"""The time in rows: seconds of a monotonic clock that continues when the hub or its machine restarts.

The monotonic clock of the kernel starts again with each boot. The state therefore contains a reading of the monotonic clock
and of the wall clock, and the boot id of the kernel. After a reboot, the wall clock shows the time since that reading.
"""

from __future__ import annotations

import time

from ..frozen_record import Record

__all__ = ["Clock", "system_boot_id"]

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_STALE = 1.0  # seconds after which a reading is replaced
_STEP = 0.01  # seconds by which the two clocks may diverge before a reading is replaced


def system_boot_id() -> str:
    """The id of this boot of the kernel; empty if it is not known."""
    try:
        with open(_BOOT_ID, encoding="ascii", errors="replace") as file:
            return file.read(100).strip()
    except OSError:
        return ""


class Clock(Record):
    """A reading of both clocks.

    :ivar monotonic: the monotonic clock in seconds.
    :ivar wall: the wall clock in seconds since the epoch.
    :ivar boot: the boot id of the kernel; empty if it is not known.
    :ivar offset: the difference in seconds between the time in rows and ``monotonic``.
    """

    monotonic: float
    wall: float
    boot: str
    offset: float = 0.0

    @classmethod
    def now(cls, boot: str, offset: float = 0.0) -> Clock:
        """Read the clocks of this machine."""
        return cls(time.monotonic(), time.time(), boot, offset)

    def continued(self, now: Clock) -> Clock:
        """A later reading with the offset that continues the time in rows of this reading.

        After a reboot, a wall clock that was set back counts as if no time had passed.

        :param now: the later reading.
        """
        if self.boot and self.boot == now.boot:
            return now.but(offset=self.offset)
        return now.but(offset=self.monotonic + self.offset + max(now.wall - self.wall, 0.0) - now.monotonic)

    def is_stale(self, now: Clock) -> bool:
        """Whether a later reading of the same boot should replace this one on the disk."""
        passed = now.monotonic - self.monotonic
        return passed > _STALE or abs(now.wall - self.wall - passed) > _STEP or now.offset != self.offset
