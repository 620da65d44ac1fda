"""The order of bytes on the line: what is short and urgent may stand inside what is long.

Two frames can be half sent: a bulk frame, and a control frame that interrupts it. A control frame is never interrupted.
Control goes first, but a flood of it does not keep bulk waiting for ever: after so many bytes of control on end bulk has
a turn, no longer than a control frame, for which a prompt frame may have to wait anyhow.
"""

from __future__ import annotations

from collections.abc import Callable

from ... import limits
from ..framing.digits import read_counted
from .selective_repeat import SelectiveRepeatSender, SentPayload

__all__ = ["OutgoingFrame", "TransmitQueue"]

_HEAD = 6  # bytes in which the start, the kind and the length of any frame have been sent
_FLOOD = 8 * limits.CONTROL_FRAME  # bytes of control on end after which bulk has a turn


class OutgoingFrame:
    """One frame on its way out."""

    __slots__ = ("at", "data", "kind", "poll", "sender", "sent")

    def __init__(
        self,
        data: bytes,
        kind: bytes,
        *,
        sender: SelectiveRepeatSender | None = None,
        sent: SentPayload | None = None,
        poll: int = 0,
    ) -> None:
        self.data = data
        self.at = 0
        """How much of it was handed over."""
        self.kind = kind
        self.sender = sender
        self.sent = sent
        """With ``sender``: the payload it carries."""
        self.poll = poll
        """The number of a poll."""

    @property
    def body(self) -> bytes:
        """What stands between its length and its check."""
        length, at = read_counted(self.data, 2)
        return self.data[at : at + length]

    @property
    def may_be_interrupted(self) -> bool:
        """Its length has been told, so that the receiver can go on after another frame; and more than its newline is
        left, which would stand alone after that frame."""
        return _HEAD <= self.at < len(self.data) - 1


Source = Callable[[bool], OutgoingFrame | None]


class TransmitQueue:
    """Gives out bytes, at most so many at a time.

    :param control: gives the next control frame; its argument says that a bulk frame is half sent, so that the frame
        must be one that may stand inside it.
    :param bulk: gives the next bulk frame.
    :param done: is told when a frame's last byte was given out, with the count of bytes given out before it ended.
    """

    def __init__(self, control: Source, bulk: Source, done: Callable[[OutgoingFrame, int], None]) -> None:
        self._next_control = control
        self._next_bulk = bulk
        self._done = done
        self._control: OutgoingFrame | None = None
        self._bulk: OutgoingFrame | None = None
        self._on_end = 0  # bytes of control since bulk had its turn
        self._turn = 0  # bytes of bulk in the turn that it has
        self.nest = False
        """The peer takes frames inside frames."""

    def drop(self) -> None:
        """Forget what is half sent: the line is gone, or its session."""
        self._control = self._bulk = None

    @property
    def half_sent(self) -> bool:
        return self._control is not None or self._bulk is not None

    def take(self, budget: int) -> bytes:
        """The next bytes for the line, at most ``budget``."""
        out: list[bytes] = []
        given = 0
        while given < budget:
            frame = self._pick()
            if frame is None:
                break
            piece = frame.data[frame.at : frame.at + min(budget - given, self._most(frame))]
            frame.at += len(piece)
            given += len(piece)
            out.append(piece)
            if frame is self._control:
                self._on_end += len(piece)
            else:
                self._had_turn(len(piece), frame)
            if frame.at == len(frame.data):
                if frame is self._control:
                    self._control = None
                else:
                    self._bulk = None
                self._done(frame, given)
        return b"".join(out)

    def _had_turn(self, size: int, frame: OutgoingFrame) -> None:
        """Bulk's turn after a flood lasts for a control frame's bytes, in however many pieces the line takes them."""
        self._turn += size
        flooded = self._on_end >= _FLOOD and self._turn < limits.CONTROL_FRAME and frame.at < len(frame.data)
        if frame.at > _HEAD and not flooded:
            self._on_end = self._turn = 0

    def _most(self, frame: OutgoingFrame) -> int:
        """How many bytes of a frame go before the next look at what comes first."""
        if frame.at < _HEAD:
            return _HEAD - frame.at
        if frame is self._bulk and self._on_end >= _FLOOD:
            return max(limits.CONTROL_FRAME - self._turn, 1)
        return len(frame.data)

    def _pick(self) -> OutgoingFrame | None:
        if self._control is not None:
            return self._control
        if self._on_end >= _FLOOD:
            if self._bulk is None:
                self._bulk = self._next_bulk(False)
            if self._bulk is not None:
                return self._bulk
            self._on_end = 0  # nothing waits for a turn
        if self._bulk is None or (self.nest and self._bulk.may_be_interrupted):
            self._control = self._next_control(self._bulk is not None)
            if self._control is not None:
                return self._control
        if self._bulk is None:
            self._bulk = self._next_bulk(False)
        return self._bulk
