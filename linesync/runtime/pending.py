"""The requests of this end that have no reply yet."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ..errors import LinesyncError, NotSent, Unanswered
from ..protocol import operations
from ..protocol.ids import Id
from ..wire.channels.mux import Mux

__all__ = ["Done", "Pending", "PendingRequests"]

Done = Callable[[str | LinesyncError], None]


class Pending:
    """A request that waits for its reply.

    :ivar text: the text of the request.
    :ivar sent: whether the request was sent. It is not sent while the session is interrupted.
    :ivar reply: the text of the reply or an error; None before.
    :ivar done: is called with the reply, or None.
    """

    __slots__ = ("done", "reply", "sent", "text", "waiter")

    def __init__(self, text: str, done: Done | None) -> None:
        self.text = text
        self.sent = False
        self.reply: str | LinesyncError | None = None
        self.done = done
        self.waiter: object = None


class PendingRequests:
    """All requests of this end that have no reply yet, in the order in which they were made.

    :param wake: wakes the tasks that wait for the reply to a request.
    """

    def __init__(self, wake: Callable[[Pending], None]) -> None:
        self._wake = wake
        self._by_number: dict[str, Pending] = {}  # bound: waits.WAITS_PER_HOST
        self._last = 0
        self.unsent_bytes = 0
        """The size in bytes of the requests that wait until the session continues."""
        self.answered = False
        """Whether a reply to a request that may change something has arrived in this session. The hub has then stored the
        session."""

    def __len__(self) -> int:
        return len(self._by_number)

    def next_number(self) -> str:
        """A new number, different from the numbers of all other requests of this session."""
        self._last += 1
        return str(self._last)

    def add(self, text: str, done: Done | None, suffix: str) -> tuple[str, Pending]:
        """Add a request. Returns its id and its record."""
        number = str(Id(self.next_number(), suffix))
        pending = self._by_number[number] = Pending(text, done)
        return number, pending

    @staticmethod
    def send(mux: Mux, number: str, pending: Pending) -> None:
        pending.sent = True
        mux.send_message(0, f"{number} {pending.text}".encode("utf-8", "replace"))

    def send_again(self, mux: Mux, known: Collection[str]) -> None:
        """Send the requests without a reply again.

        :param known: the ids of requests that the hub has already received; they are not sent.
        """
        self.unsent_bytes = 0
        known = set(known)
        for number, pending in self._by_number.items():
            if number not in known:
                self.send(mux, number, pending)

    def take_reply(self, number: str, text: str) -> bool:
        """Handle a reply. Returns False if it does not belong to one of these requests."""
        pending = self._by_number.pop(number, None)
        if pending is None:
            return False
        self.answered = self.answered or _changes(pending.text)
        self._settle(pending, text)
        return True

    def fail(self, reason: str) -> None:
        """Fail all requests, because the session has ended and no more replies will arrive."""
        failed, self._by_number, self.unsent_bytes = self._by_number, {}, 0
        for pending in failed.values():
            self._settle(pending, Unanswered(reason) if pending.sent else NotSent(reason))

    def _settle(self, pending: Pending, reply: str | LinesyncError) -> None:
        pending.reply = reply
        if pending.done is not None:
            pending.done(reply)
        self._wake(pending)

    def begin_session(self) -> None:
        """Start to number the requests again, because a new session has begun."""
        self._last, self.answered = 0, False


def _changes(text: str) -> bool:
    request = operations.decode_request(text)
    return request is None or operations.changes(request)
