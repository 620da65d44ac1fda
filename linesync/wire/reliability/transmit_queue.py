"""The transmit queue: decides the order of bytes on the line. A control frame may be inside a bulk frame (section 3.3).

Two frames can be incomplete at the same time: a bulk frame, and a control frame inside it. A control frame is never
interrupted. Control frames come first, but a flood of them cannot stop bulk frames. After consecutive control bytes of the
size of eight control frames, bulk frames get the number of bytes of one control frame. Bulk frames therefore get at least one
ninth of the line. A control frame waits for these bytes no longer than for another control frame.
"""

from __future__ import annotations

from collections.abc import Callable

from ... import limits
from ..framing.digits import read_counted
from .selective_repeat import SelectiveRepeatSender, SentPayload

__all__ = ["OutgoingFrame", "TransmitQueue"]

_HEAD = 6  # the number of bytes after which the start, the kind and the length of any frame are complete
_FLOOD = 8 * limits.CONTROL_FRAME  # the number of consecutive control bytes after which bulk frames get a share


class OutgoingFrame:
    """One frame to send."""

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
        """The number of its bytes that were handed over."""
        self.kind = kind
        self.sender = sender
        """The sender of its payload; None if it is not a data frame."""
        self.sent = sent
        """Its payload; None if it is not a data frame."""
        self.poll = poll
        """The number of a poll; 0 for other frames."""

    @property
    def body(self) -> bytes:
        """The bytes between the length and the check of the frame."""
        length, at = read_counted(self.data, 2)
        return self.data[at : at + length]

    @property
    def may_be_interrupted(self) -> bool:
        """Whether a control frame may begin at this position.

        The length of this frame must be sent, so that the receiver can continue it after the control frame. More than the
        newline must be left, because the newline alone should not follow another frame.
        """
        return _HEAD <= self.at < len(self.data) - 1


Source = Callable[[bool], OutgoingFrame | None]


class TransmitQueue:
    """The queue of bytes for one line.

    :param control: returns the next control frame. Its argument is True if a bulk frame is partly sent. The frame must then
        be a frame that may be inside another frame.
    :param bulk: returns the next bulk frame.
    :param done: called after the last byte of a frame, with the number of bytes that this :meth:`take` has given so far.
    """

    def __init__(self, control: Source, bulk: Source, done: Callable[[OutgoingFrame, int], None]) -> None:
        self._next_control = control
        self._next_bulk = bulk
        self._done = done
        self._control: OutgoingFrame | None = None
        self._bulk: OutgoingFrame | None = None
        self._control_run = 0  # the number of consecutive control bytes
        self._bulk_share = 0  # the number of bulk bytes in the current share
        self.nest = False
        """Whether the peer accepts frames inside frames."""

    def drop(self) -> None:
        """Forget partly sent frames, because the line or the session is gone."""
        self._control = self._bulk = None

    @property
    def half_sent(self) -> bool:
        """Whether a frame was partly sent."""
        return self._control is not None or self._bulk is not None

    def take(self, budget: int) -> bytes:
        """Take the next bytes for the line, at most ``budget`` bytes."""
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
                self._control_run += len(piece)
            else:
                self._count_bulk(len(piece), frame)
            if frame.at == len(frame.data):
                if frame is self._control:
                    self._control = None
                else:
                    self._bulk = None
                self._done(frame, given)
        return b"".join(out)

    def _count_bulk(self, size: int, frame: OutgoingFrame) -> None:
        """Count bulk bytes. The share after a flood may be sent in several pieces."""
        self._bulk_share += size
        flooded = self._control_run >= _FLOOD and self._bulk_share < limits.CONTROL_FRAME and frame.at < len(frame.data)
        if frame.at > _HEAD and not flooded:
            self._control_run = self._bulk_share = 0

    def _most(self, frame: OutgoingFrame) -> int:
        """The number of bytes of a frame to send before the next choice of a frame."""
        if frame.at < _HEAD:
            return _HEAD - frame.at
        if frame is self._bulk and self._control_run >= _FLOOD:
            return max(limits.CONTROL_FRAME - self._bulk_share, 1)
        return len(frame.data)

    def _pick(self) -> OutgoingFrame | None:
        if self._control is not None:
            return self._control
        if self._control_run >= _FLOOD:
            if self._bulk is None:
                self._bulk = self._next_bulk(False)
            if self._bulk is not None:
                return self._bulk
            self._control_run = 0  # no bulk frame waits
        if self._bulk is None or (self.nest and self._bulk.may_be_interrupted):
            self._control = self._next_control(self._bulk is not None)
            if self._control is not None:
                return self._control
        if self._bulk is None:
            self._bulk = self._next_bulk(False)
        return self._bulk
