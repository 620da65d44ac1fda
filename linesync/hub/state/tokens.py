"""The fencing tokens of a hub. It reserves tokens on the disk before it gives them to owners of locks
(:mod:`linesync.store.tokens`).
"""

from __future__ import annotations

import asyncio
import time

from ...errors import Hung, LinesyncError
from ...model.sync.lock import Locks
from ...runtime.listening.reports import Report
from ...store.tokens import BLOCK, CannotSave, reserve, reserved
from ...workers import run_blocking

__all__ = ["Tokens", "least_token"]

_LOOK = 2.0  # seconds between checks of the tokens that are left


async def least_token(path: str) -> int:
    """The least first token of a hub with a state file. It is larger than all tokens of earlier hubs without a state file.

    :param path: the file in which hubs without a state file reserve their tokens.
    :raises LinesyncFailed: this file cannot be read, or is not valid.
    """
    return max(int(time.time() * 1000), await run_blocking(lambda: reserved(path), path))


class Tokens:
    """Reserves tokens in a file.

    :param path: the file.
    :ivar first: the first token that the hub may give.
    :ivar last: the end of the reserved tokens; None if the file cannot be written. Then the tokens of the next hub are larger
        only if the clock is not set back.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.first = 0
        self.last: int | None = None

    async def begin(self, report: Report) -> None:
        """Reserve the first tokens. They are at least the clock's time in milliseconds. If the file cannot be written, log it.

        :raises LinesyncFailed: the file cannot be read, or is not valid.
        """
        try:
            await self._reserve(int(time.time() * 1000))
        except CannotSave as error:
            self.first = error.least
            report(
                f"{error}; if the clock is set back, a hub that starts again may give lower tokens, so correct this or choose"
                " another path with --socket"
            )

    async def _reserve(self, floor: int) -> None:
        self.first = await run_blocking(lambda: reserve(self._path, floor), self._path)
        self.last = self.first + BLOCK

    async def keep(self, locks: Locks, report: Report) -> None:
        """Reserve more tokens whenever half of the tokens are used, until cancelled."""
        locks.last_token = self.last
        while self.last is not None:
            await asyncio.sleep(_LOOK)
            if locks.tokens_left > BLOCK // 2:
                continue
            try:
                await self._reserve(self.last)
            except (LinesyncError, Hung) as error:
                report(f"{error}; when the reserved tokens are used up, no lock can be taken", peer=self._path, burst=1)
            else:
                locks.reserved(self.first, self.last)
