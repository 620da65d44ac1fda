"""The audit log of a hub: one JSON line for each operation on a host, whether it was allowed or refused.

1. A thread writes the lines, so that a slow disk does not delay the hub. It opens the file for each batch of lines, so that
   a program such as logrotate may rename the file at any time.
2. If too many lines wait for a slow disk, further lines are dropped. The next written line contains the number of dropped
   lines.
3. If the file cannot be written, the hub reports that once, and continues. The lines of the batch are lost.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Full, Queue

from ...model.state.principal import Principal
from ...timestamps import utc

__all__ = ["Audit"]

_LINES = 10_000  # the maximum number of lines that wait for the disk
_BATCH = 256  # the maximum number of lines in one write
_CLOSE_TIME = 5.0  # the longest wait for the last lines when the log is closed, in seconds
_MODE = 0o600


class Audit:
    """Appends lines to the audit log.

    :param path: the file of the log. It is created with mode 600 if it does not exist.
    :param report: is called with a sentence for the hub's log.
    """

    def __init__(self, path: str, report: Callable[[str], None]) -> None:
        self.path = path
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._queue: Queue[str | None] = Queue(_LINES)
        self._dropped = 0
        self._failing = False
        self._thread = threading.Thread(target=self._work, name="linesync_audit", daemon=True)
        self._thread.start()

    def record(self, principal: Principal | None, operation: str, to: str, result: str, **more: object) -> None:
        """Add a line.

        :param principal: the sender of the operation; None for the hub itself.
        :param operation: the name of the operation.
        :param to: the host on which the operation works.
        :param result: ``allowed``, ``refused``, or a sentence.
        :param more: further fields.
        """
        line: dict[str, object] = {"time": utc(time.time())}
        line["principal"] = principal.as_json() if principal is not None else None
        line |= {"operation": operation, "target": to, "result": result, **more}
        if self._dropped:
            line["dropped"] = self._dropped
        try:
            self._queue.put_nowait(json.dumps(line) + "\n")
        except Full:
            self._dropped += 1
        else:
            self._dropped = 0

    async def close(self) -> None:
        """Wait until all lines are written, but not longer than ``_CLOSE_TIME``."""
        with suppress(Full):
            self._queue.put_nowait(None)
            deadline = self._loop.time() + _CLOSE_TIME
            while self._thread.is_alive() and self._loop.time() < deadline:
                await asyncio.sleep(0.01)

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        ended = False
        while not ended:
            batch = [self._queue.get()]
            with suppress(Empty):
                while len(batch) < _BATCH:
                    batch.append(self._queue.get_nowait())
            ended = None in batch
            self._write("".join(line for line in batch if line is not None).encode())

    def _write(self, lines: bytes) -> None:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
            try:
                while lines:
                    lines = lines[os.write(descriptor, lines) :]
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._failing:
                self._failing = True
                self._say(
                    f"cannot write the audit log {self.path}: {error.strerror}; operations are not recorded until the file"
                    " can be written"
                )
        else:
            if self._failing:
                self._failing = False
                self._say(f"the audit log {self.path} can be written again")

    def _say(self, sentence: str) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._report, sentence)
