"""A conversation that one thread drives with plain file descriptors, without asyncio.

:meth:`BlockingPeer.run` runs coroutines that use :class:`~linesync.runtime.conversation.Conversation`. Each ``wait`` of a
coroutine returns control to :meth:`BlockingPeer.run`, which sends and receives bytes until something has changed (a
*trampoline*). The same operations therefore work in asyncio programs and in small commands.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress

from .. import limits
from ..errors import BrokenError, LinesyncError, LinesyncFailed
from ..transports.fd_pair import FdPair, not_answered, open_fd_pair
from ..wire.framing.frames import Hello
from ..wire.link import Link
from .channels.streams import Stream
from .conversation import Conversation
from .driver import Timeout
from .identity import local_end, token
from .pending import Pending
from .user import User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self, TypeVar

    from .desk import Work
    from .threads import Waited

    T = TypeVar("T")

__all__ = ["BlockingPeer"]

_READ_SIZE = 1 << 17  # bytes of one read
_PIECE = 256  # records, frames and start characters that are handled in one turn
_GREETING = 10.0  # seconds within which the other end must answer the hello
_GREETING_AFTER_OTHER_BYTES = 2.0  # the same, if the other end has sent bytes outside frames
_CLOSING = 2.0  # the longest time for sending the queued data before the connection is closed, in seconds
_CONNECT_INTERVAL = 0.2  # seconds between attempts to connect again
_WORK_INTERVAL = 0.02  # seconds between checks whether a call in a thread is over


class _Turn:
    """An awaitable that returns control to the trampoline once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


_turn = _Turn()


class _Expired(BaseException):
    """Thrown into a coroutine whose timeout has passed, as asyncio throws CancelledError."""


class _Timeout(Timeout):
    """Limits the time of a block; see :meth:`BlockingPeer.timeout`."""

    def __init__(self, peer: BlockingPeer, when: float | None) -> None:
        self.when = when
        self.error: _Expired | None = None
        self._peer = peer

    def reschedule(self, when: float | None) -> None:
        self.when = when

    def expired(self) -> bool:
        return self.error is not None

    async def __aenter__(self) -> Self:
        self._peer.timeouts.append(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._peer.timeouts.remove(self)
        if error is not None and error is self.error:
            raise TimeoutError from None
        return None


class BlockingPeer(Conversation):
    """The calling end of a session.

    :param seconds: the longest time for connecting and for the first answer; None for 10 s each.
    :raises UsageError: the endpoint is invalid.
    :raises LinesyncFailed: the endpoint cannot be opened (:func:`~linesync.transports.fd_pair.open_fd_pair`).
    :raises TimedOut: the connection was not made in this time.
    """

    def __init__(self, user: User[BlockingPeer], endpoint: str, seconds: float | None = None) -> None:
        super().__init__(user)
        self.timeouts: list[_Timeout] = []  # bound: fixed
        """The timeouts of the blocks that run now."""
        self._work: Waited | None = None
        self.endpoint = endpoint
        self._watched: dict[int, Callable[[], None]] = {}  # bound: fixed
        self._after_turns: list[Callable[[], bool]] = []  # bound: fixed
        self._dismissed = False  # the other end has ended the idle session
        self.keeping = self.starts_over = True
        self._reconnect_at = 0.0  # the time of the next attempt to connect, while the session is interrupted
        self._reconnect_by = 0.0  # the time after which there are no more attempts
        self._open(seconds)

    def _open(self, seconds: float | None) -> None:
        """Connect, and send hellos to the other end.

        :param seconds: as for the constructor.
        """
        self._seconds = seconds
        self._ready_by = None if seconds is None else self.now() + seconds
        self._line: FdPair | None = open_fd_pair(self.endpoint, seconds)
        self._unsent = b""
        self._end_reason = ""
        self._other_bytes = False  # whether bytes outside frames have arrived
        self.link = Link(local_end("c", clean=True, keeping=True), token)
        self.link.line_up(self.now())

    # -- methods of the driver ----------------------------------------------------------------------------------------

    def now(self) -> float:
        return time.monotonic()

    def kick(self) -> None:
        """Do nothing: the next turn sends the bytes."""

    def wait(self, key: Stream | Pending | Conversation) -> Awaitable[None]:
        return _turn

    def wake(self, key: Stream | Pending | Conversation) -> None:
        """Do nothing: a waiting coroutine checks its condition after each turn."""

    def start_work(
        self, key: Stream | Pending | Conversation, job: Callable[[], object], about: str, *, spool: bool = False
    ) -> Work:
        """Run the job now, because there is no event loop that it could block. With a timeout, run it in a thread."""
        if self.timeouts:
            from .threads import Waited  # imported late, because few callers set a timeout for work on files

            self._work = Waited(job, about)
            return self._work
        from .desk import Done

        return Done(job)

    def timeout(self, seconds: float | None) -> _Timeout:
        return _Timeout(self, None if seconds is None else self.now() + seconds)

    def bytes_outside_frames(self, data: bytes) -> None:
        self._other_bytes = True

    def adopted_by(self, other: Conversation, hello: Hello) -> None:
        """Do nothing: only a listening end can adopt a line for another session."""

    # -- for the owner ------------------------------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine until it returns, and send and receive bytes in the meantime.

        :return: the result of the coroutine.
        :raises BrokenError: the connection was lost, and the coroutine did not handle that.
        """
        try:
            while True:
                work.send(None)
                now = self.now()
                expired_timer = next(
                    (block for block in self.timeouts if block.when is not None and block.when <= now), None
                )
                if expired_timer is not None:
                    expired_timer.when, expired_timer.error = None, _Expired()
                    work.throw(expired_timer.error)
                try:
                    self.turn(self._longest_turn())
                except BrokenError:
                    work.send(None)  # the coroutine sees the end of the connection, and raises its own error
                    raise
        except StopIteration as stop:
            value: T = stop.value
            return value
        finally:
            work.close()
            # Send the queued bytes (a confirmation, the return of a hold) now, because the next call may come much later.
            if self._line is not None and self.link is not None:
                with suppress(BrokenError):  # the next call raises this error
                    self._send(self._line, self.link)

    def _longest_turn(self) -> float | None:
        """The seconds after which the running coroutine must get control, or None for no limit."""
        now = self.now()
        waits = [max(block.when - now, 0.0) for block in self.timeouts if block.when is not None]
        if self._work is not None and not self._work.done():
            waits.append(_WORK_INTERVAL)
        return min(waits, default=None)

    def begin_again(self, seconds: float | None = None) -> None:
        """Begin another session if the other end has ended the session since the last call.

        The other end does so after a long silence of a script (docs/protocol.md, 4.10). Between two calls, a script sends
        nothing.

        :param seconds: as for the constructor.
        :raises LinesyncError: the errors of the constructor and of :meth:`ready`.
        """
        line, link = self._line, self.link
        if line is not None and link is not None and self.up and not self.streams:
            self._read_rest(line, link)
            self._dismissed = not self.up
        if self._dismissed:
            self._shut()
            self._open(seconds)
            self.run(self.ready())
            self._dismissed = False

    async def ready(self) -> None:
        """Wait until a session is established.

        :raises LinesyncFailed: no linesync hub or agent answers at the endpoint.
        :raises TimedOut: no hub or agent answers within the time for connecting.
        """
        scope = self.timeout(None)
        scope.reschedule(self._ready_by)
        try:
            async with scope:
                await self._until_answered()
        except TimeoutError:
            raise not_answered(self.endpoint, self._seconds or 0.0) from None

    async def _until_answered(self) -> None:
        start = self.now()
        while not self.up:
            if self.now() > start + (_GREETING_AFTER_OTHER_BYTES if self._other_bytes else _GREETING):
                raise LinesyncFailed(
                    f"no linesync hub or agent answered at {self.endpoint}; check that this is the socket of a hub or an"
                    " agent"
                )
            await _turn

    @property
    def descriptors(self) -> set[int]:
        """The descriptors of the connection. The other end sees its end when every process has closed them."""
        return {self._line.reader, self._line.writer} if self._line is not None else set()

    def watch(self, descriptor: int, callback: Callable[[], None] | None) -> None:
        """Call a function whenever a descriptor can be read.

        :param callback: the function; None to stop the calls.
        """
        if callback is None:
            self._watched.pop(descriptor, None)
        else:
            self._watched[descriptor] = callback

    def on_turn(self, callback: Callable[[], bool]) -> None:
        """Call a function after each turn until it returns True."""
        self._after_turns.append(callback)

    def turn(self, timeout: float | None) -> None:
        """Send queued bytes, wait for bytes, a watched descriptor or a timer, and handle what has arrived.

        :param timeout: the longest wait in seconds; None waits without limit.
        :raises LinesyncFailed: the connection is closed.
        :raises BrokenError: the connection was lost.
        """
        if self.interrupted:
            timeout = self._reconnect(timeout)
        line, link = self._line, self.link
        if link is None or (line is None and not self.interrupted):
            raise LinesyncFailed(f"the connection to {self.endpoint} is closed; connect again")
        if line is None:
            self._wait_for_watched(timeout)
            return
        self._send(line, link)
        if self._line is None:
            return  # the connection was lost
        now = self.now()
        timer = link.next_timer(now)
        waits = [max(time - now, 0.0) for time in (timer,) if time is not None]
        waits += [] if timeout is None else [timeout]
        poll = self._poll_watched()
        behind = link.backlog  # whether received bytes are not handled yet; then no more bytes are read
        if behind:
            self.handle(link.receive_data(b"", now, _PIECE))
            waits.append(0.0)
        else:
            poll.register(line.reader, select.POLLIN)
        if self._unsent:
            same_device = line.writer == line.reader and not behind
            poll.register(line.writer, select.POLLOUT | (select.POLLIN if same_device else 0))
        for descriptor, _ in poll.poll(min(waits) * 1000 + 0.5 if waits else None):
            if descriptor == line.reader and not behind:
                self._receive(line, link)
            elif descriptor in self._watched:
                self._watched[descriptor]()
        if self._line is not None:
            self.handle(link.handle_timer(self.now()))
        self._after_turns = [callback for callback in self._after_turns if not callback()]

    def _poll_watched(self) -> select.poll:
        poll = select.poll()
        for descriptor in self._watched:
            poll.register(descriptor, select.POLLIN)
        return poll

    def _wait_for_watched(self, timeout: float | None) -> None:
        """Wait for a watched descriptor while there is no connection."""
        for descriptor, _ in self._poll_watched().poll(None if timeout is None else timeout * 1000 + 0.5):
            self._watched[descriptor]()
        self._after_turns = [callback for callback in self._after_turns if not callback()]

    def _reconnect(self, timeout: float | None) -> float:
        """Connect again if the time of the next attempt has come. The hub was killed, and another hub may run now.

        :returns: the seconds until the next call of this method; at most ``timeout``.
        :raises BrokenError: the session did not continue within the lease.
        """
        now = self.now()
        if now >= self._reconnect_by:
            reason = f"{self.interrupted}, and the hub did not answer again"
            self._shut()
            self.cannot_continue(reason)
            raise BrokenError(reason)
        if self._line is None and now >= self._reconnect_at:
            self._reconnect_at = now + _CONNECT_INTERVAL
            with suppress(LinesyncError):
                self._line = open_fd_pair(self.endpoint, self._reconnect_by - now)
                assert self.link is not None
                self._unsent = self._outside = b""
                self.link.line_up(now)
        wait = self._reconnect_by - now if self._line is not None else min(self._reconnect_at, self._reconnect_by) - now
        return max(wait, 0.0) if timeout is None else max(min(wait, timeout), 0.0)

    def _send(self, line: FdPair, link: Link) -> None:
        while True:
            if not self._unsent:
                self._unsent = link.data_to_send(self.now())
                if link.session is not None and link.session.mux.events:
                    self.handle(link.handle_timer(self.now()))
            if not self._unsent:
                return
            try:
                sent = os.write(line.writer, self._unsent)
            except BlockingIOError:
                return
            except OSError as error:
                self._read_rest(line, link)
                self._unsent = b""
                self._lost(error.strerror or str(error))
                return
            self._unsent = self._unsent[sent:]

    def _receive(self, line: FdPair, link: Link) -> None:
        try:
            data = os.read(line.reader, _READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(error.strerror or str(error))
            return
        if not data:
            self._lost("it was closed at the other end")
            return
        self.handle(link.receive_data(data, self.now(), _PIECE))

    def _read_rest(self, line: FdPair, link: Link) -> None:
        """Read the bytes that the other end has sent so far, such as its reason for closing the connection."""
        with suppress(OSError):
            if data := os.read(line.reader, _READ_SIZE):
                self.handle(link.receive_data(data, self.now()))

    def _lost(self, why: str) -> None:
        """Handle the loss of the connection, for the reason ``why``.

        :raises BrokenError: the session cannot continue.
        """
        self._shut()
        farewell = "" if self.up else self._end_reason  # the other end's reason for ending the session
        if self.link is not None:
            self.handle(self.link.line_down(self.now()))
        if not (self.up or self.interrupted) and self.refused:
            raise LinesyncFailed(f"cannot connect to {self.endpoint}: {self.refused}")
        reason = farewell or f"the connection to {self.endpoint} was lost ({why})"
        if not self.interrupted:
            self._reconnect_by = self.now() + limits.LEASE
        if self.interrupt(reason):
            return
        self.abandon(reason)
        raise BrokenError(reason)

    def _shut(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def close(self, reason: str = "done") -> None:
        """Say goodbye and close the connection."""
        if self._line is not None and self.link is not None:
            try:
                self._send_all(self._line, self.link)  # first, because the goodbye would overtake queued data
                self.link.close(reason)
                if self._line is not None:
                    self._send_all(self._line, self.link)
            except BrokenError:
                pass
            self._shut()

    def _send_all(self, line: FdPair, link: Link) -> None:
        """Send all queued data, for at most two seconds."""
        deadline = self.now() + _CLOSING
        self._send(line, link)
        while self._unsent and (left := deadline - self.now()) > 0:
            poll = select.poll()
            poll.register(line.writer, select.POLLOUT)
            poll.poll(left * 1000)
            self._send(line, link)
