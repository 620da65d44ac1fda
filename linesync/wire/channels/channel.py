"""One channel: its life, what waits to be sent on it, and the pieces of the message that is arriving."""

from __future__ import annotations

from collections import deque

from ... import limits
from ..framing.digits import counted
from ..framing.encoded import Encoded
from ..framing.frames import Lane
from .credit import RECORD_COST, ReceiveCredit, SendCredit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .compression import DataCompressor, DataDecompressor, TextCompressor, ZstdDataDecompressor

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


_HEAD_MOST = 11  # bytes of a record's kind, channel number and length, at most
_LEAST_PIECE = 16  # a body is not cut into smaller pieces than this
_LONG = 8192  # bytes of data that are worth a frame
_TRIES = 3  # guesses how much of a long text fits a frame once compressed


class Channel:
    """State of one open channel. Only the mux touches it."""

    __slots__ = (
        "compressed_stream",
        "compressor",
        "credit",
        "cut",
        "decompressor",
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
        "said",
        "state",
        "texts",
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
        self.cut = False
        """A piece of the first record in the queue was sent."""
        self.compressor: DataCompressor | None = None
        """Compresses what we send in streams, None where nothing is compressed."""
        self.compressed_stream = b"0"
        """The stream of the compressed data that waits."""
        self.texts: TextCompressor | None = None
        """Likewise messages and the opening; the lane's."""
        self.said: bytes | memoryview = b""
        """The text in the last record that was compressed, for who watches."""
        self.decompressor: DataDecompressor | ZstdDataDecompressor | None = None
        """Of the peer's streams, once it compresses."""

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
        if self.compressor is not None and self.compressor.out:
            return True  # its credit was set aside when it was compressed
        if not self.queue:
            return False
        kind, body = self.queue[0]
        return kind in b"oxe" or self.granted.left >= RECORD_COST + min(len(body), _LEAST_PIECE)

    @property
    def long(self) -> bool:
        """The first record is data that is worth a frame of its own."""
        return bool(self.queue) and self.queue[0][0] in b"0123" and len(self.queue[0][1]) >= _LONG

    def next_record(self, room: int) -> bytes:
        """Cut one record of at most ``room`` bytes from the queue; empty when none fits."""
        compressor = self.compressor
        if compressor is not None and (compressor.out or (self.queue[0][0] in b"0123" and not compressor.resting)):
            record = self._compressed_record(compressor, room)
            if record or compressor.out:
                return record
        kind, body = self.queue[0]
        if len(body) + _HEAD_MOST <= room:
            most = len(body)  # it fits, whatever its head takes
        else:
            most = room - (1 + len(counted(self.number)) + len(counted(room)))
        if self.texts is not None and kind in b"mo":
            record = self._text_record(self.texts, kind, body, room)
            if record:
                return record
        if kind not in b"oxe":
            most = min(most, self.granted.left - RECORD_COST)
        if most < min(len(body), _LEAST_PIECE):
            return b""
        if len(body) > most:
            if kind == b"x":  # a reason may be cut short; a record of its kind may not be split
                self.queue[0] = (kind, body[:most])
                return self.next_record(room)
            piece = body[:most]
            kind = FRAGMENT.get(kind, kind)
        else:
            piece = body
        self._take(len(piece))
        if compressor is not None and kind in b"0123":
            compressor.passed(len(piece))
        if kind not in b"oxep":
            self.granted.spend(len(piece) + RECORD_COST)
        return self._record(kind, piece)

    def _take(self, size: int) -> None:
        """So many bytes of the first record go now."""
        kind, body = self.queue[0]
        self.queued -= size
        self.opened = True
        self.cut = size < len(body)
        if self.cut:
            self.queue[0] = (kind, body[size:])
        else:
            self.queue.popleft()

    def _record(self, kind: bytes, body: bytes | memoryview) -> bytes:
        size = len(body)
        if size >= _LONG and isinstance(body, memoryview):
            whole = body.obj
            if isinstance(whole, Encoded) and len(whole) == size:
                return whole.with_head(kind + counted(self.number) + counted(size))
        return b"".join((kind, counted(self.number), counted(size), body))

    # -- compressed (section 6.5) -------------------------------------------------------------------------------------

    def _compressed_record(self, compressor: DataCompressor, room: int) -> bytes:
        """The next piece of the compressed data, as long as can be: a piece of data is compressed when what waits does
        not fill the room. Empty, where the first of the queue goes as it is."""
        most = room - (2 + len(counted(self.number)) + len(counted(room)))
        if most < _LEAST_PIECE:
            return b""
        while len(compressor.out) < most and self.queue and not compressor.resting:
            stream = self.queue[0][0]
            if stream not in b"0123" or (compressor.out and stream != self.compressed_stream):
                break
            data = self._data(stream)
            if not data or not compressor.put(data):
                break
            self.compressed_stream = stream
            self.granted.spend(len(data))
            left = len(data)
            while left:
                part = min(left, len(self.queue[0][1]))
                self._take(part)
                left -= part
        if not compressor.out:
            return b""
        self.granted.spend(RECORD_COST)
        return self._record(_COMPRESSED_KIND[self.compressed_stream], compressor.take(most))

    def _data(self, stream: bytes) -> bytes:
        """What waits in the queue of one stream, as much as is compressed at once and as the credit is good for."""
        waiting = len(self.compressor.out) if self.compressor is not None else 0
        # Each record costs something of its own, and may be as small as a piece gets; data that does not shrink grows.
        room = (self.granted.left - (waiting + _GROWTH) * RECORD_COST // _LEAST_PIECE - 2 * RECORD_COST) * 3 // 4
        room = min(room, limits.ZIPPED_PIECE)
        parts: list[memoryview] = []
        for kind, body in self.queue:
            if kind != stream or room <= 0:
                break
            parts.append(body[:room])
            room -= len(parts[-1])
        return b"".join(parts)

    def _text_record(self, texts: TextCompressor, kind: bytes, body: memoryview, room: int) -> bytes:
        """The first of the queue, or a piece of it, in a compressed record; empty where that does not pay."""
        most = room - (1 + len(counted(self.number)) + len(counted(room)))
        credit = self.granted.left - RECORD_COST if kind == b"m" else len(body)
        if not self.cut and len(body) <= min(credit, limits.SHAPE_MAX):
            record = self._recalled(texts, kind, bytes(body), most)
            if record:
                return record
        size = min(len(body), credit, most * 4)
        for _ in range(_TRIES):
            if size < _LEAST_PIECE and size < len(body):
                return b""
            last = size == len(body)
            out = texts.compress(body[:size], most, last=last)
            if out is not None:
                self.said = body[:size]
                self._take(size)
                if kind == b"m":
                    self.granted.spend(size + RECORD_COST)
                return self._record((kind if last else FRAGMENT[kind]).upper(), out)
            if last and size <= most:
                return b""
            size = size * 2 // 3
        return b""

    def _recalled(self, texts: TextCompressor, kind: bytes, text: bytes, room: int) -> bytes:
        code = texts.recall(text, room)
        if code is None:
            return b""
        self.said = text
        self._take(len(text))
        if kind == b"o":
            return b"".join((b"R", counted(self.number), code))
        self.granted.spend(len(text) + RECORD_COST)
        return code if self.number == 0 else b"".join((b"r", counted(self.number), code))


_COMPRESSED_KIND = {b"0": b"4", b"1": b"5", b"2": b"6", b"3": b"7"}
_GROWTH = 64  # bytes by which a piece of data may grow, at most
