"""One channel: its life, what waits to be sent on it, and the pieces of the message that is arriving."""

from __future__ import annotations

from collections import deque

from .credit import RECORD_COST, ReceiveCredit, SendCredit
from .digits import counted
from .frames import Lane

__all__ = ["CLOSED", "LIFE", "OPEN", "Channel"]

OPEN, WE_ENDED, THEY_ENDED, CLOSED = "open", "we ended", "they ended", "closed"

LIFE: dict[tuple[str, str], str] = {
    (OPEN, "send end"): WE_ENDED,
    (OPEN, "receive end"): THEY_ENDED,
    (WE_ENDED, "receive end"): CLOSED,
    (THEY_ENDED, "send end"): CLOSED,
    (OPEN, "reset"): CLOSED,
    (WE_ENDED, "reset"): CLOSED,
    (THEY_ENDED, "reset"): CLOSED,
}
"""The life of a channel: (state, event) to state. What is not here is illegal."""

FRAGMENT = {b"m": b"f", b"o": b"p"}
"""Records that may be cut: every piece but the last has the second kind."""


_LEAST_PIECE = 16  # a body is not cut into smaller pieces than this


class Channel:
    """State of one open channel. Only the mux touches it."""

    __slots__ = (
        "credit",
        "ending",
        "full",
        "granted",
        "incoming",
        "lane",
        "number",
        "opened",
        "queue",
        "queued",
        "ready",
        "state",
    )

    def __init__(self, number: int, lane: Lane, send_credit: int, receive_window: int) -> None:
        self.number = number
        self.lane = lane
        self.state = OPEN
        self.granted = SendCredit(send_credit)
        self.credit = ReceiveCredit(receive_window)
        self.queue: deque[tuple[bytes, memoryview]] = deque()
        """Records to send: (kind, body)."""
        self.queued = 0
        """Bytes of body in the queue."""
        self.opened = True
        """The peer has heard of it, be it only a piece of its opening words."""
        self.ending = False
        """Our end is in the queue or sent: the user sends no more."""
        self.ready = False
        """In its lane's round."""
        self.full = False
        """The user was told to wait."""
        self.incoming = bytearray()
        """Pieces of a message that is not whole yet."""

    def advance(self, event: str) -> bool:
        """Step the life; False, and no step, when the table has no such step."""
        state = LIFE.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def put(self, kind: bytes, body: bytes | bytearray | memoryview) -> None:
        self.queue.append((kind, memoryview(body)))
        self.queued += len(body)

    @property
    def sendable(self) -> bool:
        """The first record can go, at least in part."""
        if not self.queue:
            return False
        kind, body = self.queue[0]
        return kind in b"oxe" or self.granted.left >= RECORD_COST + min(len(body), _LEAST_PIECE)

    def next_record(self, room: int) -> bytes:
        """Cut one record of at most ``room`` bytes from the queue; empty when none fits."""
        kind, body = self.queue[0]
        head_length = 1 + len(counted(self.number)) + len(counted(room))
        most = room - head_length
        if kind not in b"oxe":
            most = min(most, self.granted.left - RECORD_COST)
        if most < min(len(body), _LEAST_PIECE):
            return b""
        if len(body) > most:
            if kind == b"x":  # a reason may be cut short; a record of its kind may not be split
                self.queue[0] = (kind, body[:most])
                return self.next_record(room)
            piece = body[:most]
            self.queue[0] = (kind, body[most:])
            kind = FRAGMENT.get(kind, kind)
        else:
            piece = body
            self.queue.popleft()
        self.queued -= len(piece)
        self.opened = True
        if kind not in b"oxep":
            self.granted.spend(len(piece) + RECORD_COST)
        return b"".join((kind, counted(self.number), counted(len(piece)), piece))
