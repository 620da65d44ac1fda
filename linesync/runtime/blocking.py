"""A conversation driven by one thread over plain descriptors, without asyncio.

Coroutines written against :class:`~linesync.runtime.conversation.Conversation` run on a trampoline: each ``wait`` hands
control to :meth:`BlockingPeer.run`, which moves bytes until something has changed. The same operations therefore serve
asyncio programs and small commands, and are written once.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress

from ..errors import BrokenError, LinesyncFailed
from ..transports.fd_pair import FdPair, open_fd_pair
from ..wire.framing.frames import Hello
from ..wire.link import Link
from .conversation import Conversation, Pending, User
from .identity import local_end, token
from .streams import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, TypeVar

    from .desk import Work

    T = TypeVar("T")

__all__ = ["BlockingPeer"]

_READ_SIZE = 1 << 17
_GREETING = 10.0  # seconds in which the other end must have answered our hello
_STRANGE = 2.0  # the same, once it has said something else
_LEAVING = 2.0  # seconds that what we still had to say may take when we leave


class _Turn:
    """Awaitable that gives control back to the trampoline once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


_turn = _Turn()


class BlockingPeer(Conversation):
    """The calling end of a session.

    :raises UsageError, LinesyncFailed: as :func:`~linesync.transports.fd_pair.open_fd_pair`.
    """

    def __init__(self, user: User, endpoint: str) -> None:
        super().__init__(user)
        self._line: FdPair | None = open_fd_pair(endpoint)
        self.endpoint = endpoint
        self._unsent = b""
        self._strange = False  # something came that is no frame
        self._watched: dict[int, Callable[[], None]] = {}
        self._after_turns: list[Callable[[], bool]] = []
        self.link = Link(local_end("c", clean=True), token)
        self.link.line_up(self.now())

    # -- the driver's part --------------------------------------------------------------------------------------------

    def now(self) -> float:
        return time.monotonic()

    def kick(self) -> None:
        """Bytes go out with the next turn."""

    def wait(self, key: Stream | Pending | Conversation) -> Awaitable[None]:
        return _turn

    def wake(self, key: Stream | Pending | Conversation) -> None:
        """Whoever waits looks again after each turn."""

    def start_work(
        self, key: Stream | Pending | Conversation, job: Callable[[], object], about: str, *, spool: bool = False
    ) -> Work:
        """There is no loop here that others wait for, so the job is done at once."""
        from .desk import Done

        return Done(job)

    def beside_frames(self, data: bytes) -> None:
        self._strange = True

    def adopted_by(self, other: Conversation, hello: Hello) -> None:
        """A caller is never asked to resume."""

    # -- for the owner ------------------------------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, moving bytes meanwhile.

        :raises LinesyncFailed: the connection was lost.
        """
        try:
            while True:
                work.send(None)
                try:
                    self.turn(None)
                except BrokenError:
                    work.send(None)  # what waits has ended with the connection, and knows best what that means
                    raise
        except StopIteration as stop:
            value: T = stop.value
            return value
        finally:
            work.close()
            # What it left unsent (a confirmation, something given back) must not wait for our next call.
            if self._line is not None and self.link is not None:
                with suppress(BrokenError):  # told by the next call
                    self._send(self._line, self.link)

    async def ready(self) -> None:
        """Wait until a session stands.

        :raises LinesyncFailed: whoever listens there does not speak with us.
        """
        start = self.now()
        while not self.up:
            if self.now() > start + (_STRANGE if self._strange else _GREETING):
                raise LinesyncFailed(
                    f"nobody at {self.endpoint} speaks linesync; check that this is the socket of a hub or an agent"
                )
            await _turn

    def watch(self, descriptor: int, callback: Callable[[], None] | None) -> None:
        """Call back when a descriptor can be read; None to stop."""
        if callback is None:
            self._watched.pop(descriptor, None)
        else:
            self._watched[descriptor] = callback

    def on_turn(self, callback: Callable[[], bool]) -> None:
        """Call back after each turn until it returns True."""
        self._after_turns.append(callback)

    def turn(self, timeout: float | None) -> None:
        """Send what there is to send, wait for bytes, a watched descriptor or a timer, and take what came."""
        line, link = self._line, self.link
        if line is None or link is None:
            raise LinesyncFailed(f"the connection to {self.endpoint} is closed")
        self._send(line, link)
        now = self.now()
        timer = link.next_timer(now)
        waits = [max(time - now, 0.0) for time in (timer,) if time is not None]
        waits += [] if timeout is None else [timeout]
        poll = select.poll()
        poll.register(line.reader, select.POLLIN)
        if self._unsent:
            poll.register(line.writer, select.POLLOUT | (select.POLLIN if line.writer == line.reader else 0))
        for descriptor in self._watched:
            poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll(min(waits) * 1000 + 0.5 if waits else None):
            if descriptor == line.reader:
                self._receive(line, link)
            elif descriptor in self._watched:
                self._watched[descriptor]()
        if self._line is not None:
            self.handle(link.handle_timer(self.now()))
        self._after_turns = [callback for callback in self._after_turns if not callback()]

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
                self._lost(error.strerror or str(error))
            self._unsent = self._unsent[sent:]

    def _receive(self, line: FdPair, link: Link) -> None:
        try:
            data = os.read(line.reader, _READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(error.strerror or str(error))
        if not data:
            self._lost("it was closed at the other end")
        self.handle(link.receive_data(data, self.now()))

    def _lost(self, why: str) -> NoReturn:
        self._shut()
        reason = f"the connection to {self.endpoint} was lost ({why})"
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
                self._send_all(self._line, self.link)  # a goodbye overtakes what is still queued
                self.link.close(reason)
                self._send_all(self._line, self.link)
            except BrokenError:
                pass
            self._shut()

    def _send_all(self, line: FdPair, link: Link) -> None:
        """Hand over all there is, to an end that takes it."""
        deadline = self.now() + _LEAVING
        self._send(line, link)
        while self._unsent and (left := deadline - self.now()) > 0:
            poll = select.poll()
            poll.register(line.writer, select.POLLOUT)
            poll.poll(left * 1000)
            self._send(line, link)
