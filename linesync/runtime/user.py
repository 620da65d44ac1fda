"""The interfaces that a conversation uses, a timeout and its user; and the record of a request that waits for its reply."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import LinesyncError
from ..protocol import Reply
from ..wire.framing.frames import Hello
from .streams import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol, Self

    from .conversation import Conversation
else:
    Protocol = object

__all__ = ["Done", "Pending", "Timeout", "User"]

Done = Callable[[str | LinesyncError], None]


class Timeout(Protocol):
    """Limits the time of a block, as :func:`asyncio.timeout` does. When the time has passed, the block is cancelled and raises
    TimeoutError."""

    def reschedule(self, when: float | None) -> None:
        """Set another end time, in seconds of :meth:`Conversation.now`; None for no limit."""

    def expired(self) -> bool:
        """Whether the time had passed before the block ended."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...


class Pending:
    """A request without a reply yet.

    :ivar text: the request.
    :ivar sent: whether it was sent; it is not sent while the session is interrupted.
    """

    __slots__ = ("done", "reply", "sent", "text", "waiter")

    def __init__(self, text: str, done: Done | None) -> None:
        self.text = text
        self.sent = False
        self.reply: str | LinesyncError | None = None
        self.done = done
        self.waiter: object = None


class User:
    """The owner of a conversation, which the conversation notifies. Each method does nothing unless it is overridden.

    - ``session_down``: ``restarted`` is true if the peer began another session, usually because it restarted.
    - ``session_interrupted``: the hub has restarted. If the session continues, ``session_continued`` follows with the hub's
      reply, else ``session_down``.
    - ``request`` gets the id and the text of a request; the id of a note is ``-``.
    - ``holds_back`` returns whether the peer's requests should wait. The owner calls ``take_requests`` of the conversation
      when that may have changed. ``held_back`` gets a request that has to wait, when it arrives.
    - ``sender`` returns the name of the sender of a request, if the peer forwards requests of several senders. The senders
      are served in turn.
    - ``requests_sent``: the requests of this end that waited for credit of the peer were sent.
    - ``resume_asked``: the peer wants to resume an earlier session. The method may return the conversation with that session.
    """

    def session_up(self, peer: Conversation, hello: Hello) -> None: ...
    def session_down(self, peer: Conversation, reason: str, restarted: bool) -> None: ...
    def session_interrupted(self, peer: Conversation, reason: str) -> None: ...
    def session_continued(self, peer: Conversation, reply: Reply) -> None: ...
    def line_quiet(self, peer: Conversation, silent_for: float) -> None: ...
    def line_back(self, peer: Conversation) -> None: ...
    def line_lost(self, peer: Conversation, error: LinesyncError | None) -> None: ...
    def console_text(self, peer: Conversation, data: bytes, noise: bool) -> None: ...
    def request(self, peer: Conversation, number: str, text: str) -> None: ...
    def held_back(self, peer: Conversation, number: str, text: str) -> None: ...
    def sender(self, number: str, text: str) -> str:
        return ""

    def requests_sent(self, peer: Conversation) -> None: ...
    def holds_back(self, peer: Conversation) -> bool:
        return False

    def channel(self, peer: Conversation, stream: Stream) -> None: ...
    def resume_asked(self, peer: Conversation, hello: Hello) -> Conversation | None: ...
    def trouble(self, peer: Conversation, sentence: str) -> None: ...
    def rate(self, peer: Conversation, baud: int) -> None: ...
