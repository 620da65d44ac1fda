"""The interface with which a conversation notifies its owner."""

from __future__ import annotations

from ..errors import LinesyncError
from ..protocol import Reply
from ..wire.framing.frames import Hello
from .channels.streams import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Generic, TypeVar

    P = TypeVar("P")
else:
    P = "P"

    class Generic:  # replaces typing.Generic, because the import of typing would take most of the start-up time
        def __class_getitem__(cls, parameters: object) -> type:
            return cls


__all__ = ["P", "User"]


class User(Generic[P]):
    """The owner of conversations of one class. The conversations call these methods, which do nothing by default.

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

    def session_up(self, peer: P, hello: Hello) -> None: ...
    def session_down(self, peer: P, reason: str, restarted: bool) -> None: ...
    def session_interrupted(self, peer: P, reason: str) -> None: ...
    def session_continued(self, peer: P, reply: Reply) -> None: ...
    def line_quiet(self, peer: P, silent_for: float) -> None: ...
    def line_back(self, peer: P) -> None: ...
    def line_lost(self, peer: P, error: LinesyncError | None) -> None: ...
    def console_text(self, peer: P, data: bytes, noise: bool) -> None: ...
    def request(self, peer: P, number: str, text: str) -> None: ...
    def held_back(self, peer: P, number: str, text: str) -> None: ...
    def sender(self, number: str, text: str) -> str:
        return ""

    def requests_sent(self, peer: P) -> None: ...
    def holds_back(self, peer: P) -> bool:
        return False

    def channel(self, peer: P, stream: Stream) -> None: ...
    def resume_asked(self, peer: P, hello: Hello) -> P | None: ...
    def trouble(self, peer: P, sentence: str) -> None: ...
    def rate(self, peer: P, baud: int) -> None: ...
