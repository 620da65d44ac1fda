"""Passes the signals that this process gets to remote commands, as if the commands ran here."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from ... import protocol
from ...errors import LinesyncError
from ...program import Terminated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Any, Self

    from ...runtime.blocking import BlockingPeer
    from ...runtime.channels.streams import Stream

__all__ = ["PassedSignals"]

_PATIENCE = 2.0  # seconds from SIGTERM or SIGHUP until this process ends although the command still runs
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_FINAL = (signal.SIGTERM, signal.SIGHUP)
_PASSED = (*_ENDING, signal.SIGUSR1, signal.SIGUSR2)
_TOGETHER = 0.1  # seconds; timeout(1) sends the same signal twice, to the process and to its group
_AGAIN = 2.0  # seconds within which a repeated signal ends linesync itself


class PassedSignals:
    """Passes signals during a block. A signal that is ignored here (under nohup) stays ignored.

    A signal does not end this process immediately, because the command may handle it. SIGTERM and SIGHUP end this process
    if the command still runs 2 s later. The same signal twice within two seconds also ends it. The host then ends the command.

    :param streams: returns the channels of the commands.
    :param numbers: the signals.
    """

    def __init__(
        self, peer: BlockingPeer, streams: Callable[[], Sequence[Stream]], numbers: Sequence[int] = _PASSED
    ) -> None:
        self._peer = peer
        self._streams = streams
        self._numbers = numbers
        self._before: dict[int, Any] = {}
        self._last: dict[int, float] = {}
        """For each signal, the monotonic time at which it came last."""
        self._end_by = 0
        self._end_at: float | None = None
        self._reader = self._writer = -1

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._peer.watch(self._reader, self._pass)
        for number in self._numbers:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._peer.watch(self._reader, None)
        os.close(self._reader)
        os.close(self._writer)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        since = now - self._last.get(number, float("-inf"))
        if since < _TOGETHER:
            return
        self._last[number] = now
        before: Callable[[int, FrameType | None], Any] | int | None = self._before[number]
        if number in _ENDING and since < _AGAIN and callable(before):
            before(number, frame)
        if number in _FINAL and self._end_at is None:
            self._end_by, self._end_at = number, now + _PATIENCE
        with suppress(BlockingIOError):
            os.write(self._writer, bytes([number]))

    def _pass(self) -> None:
        for number in os.read(self._reader, 64):
            for stream in self._streams():
                with suppress(LinesyncError):  # this command has ended, or cannot be reached any more
                    stream.send_urgent(protocol.encode(protocol.Kill(signal=number)))

    def left(self) -> float | None:
        """The seconds until a signal ends this process, or None.

        :raises Terminated: the time is over.
        """
        if self._end_at is None:
            return None
        left = self._end_at - time.monotonic()
        if left <= 0:
            raise Terminated(self._end_by)
        return left

    def end_like(self, ends: Sequence[int | None]) -> None:
        """If the only command ended by a signal that was passed to it, end this process by the same signal.

        :param ends: for each command, the signal that ended it, or None.
        :raises Terminated: such a signal, other than SIGINT, ended the command. After SIGINT, the exit code shows this.
        """
        if len(ends) == 1 and ends[0] in self._last and ends[0] != signal.SIGINT:
            sys.stdout.flush()
            raise Terminated(ends[0])
