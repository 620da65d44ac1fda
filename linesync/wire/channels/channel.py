"""One channel: its state, its queue of records to send, and the received pieces of an incomplete message."""

from __future__ import annotations

from collections import deque

from ... import limits
from ..framing.digits import counted
from ..framing.encoded import Encoded
from ..framing.frames import Lane
from .credit import RECORD_COST, ReceiveCredit, SendCredit
from .record_kinds import (
    COMPRESSED_DATA,
    DATA,
    MESSAGE,
    OPEN,
    OPEN_PIECE,
    PIECE_OF,
    RECALLED_OPEN,
    RECALLED_TEXT,
    RESET,
    UNPAID,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .compression import DataCompressor, DataDecompressor, TextCompressor, ZstdDataDecompressor

__all__ = ["CLOSED", "LIFE", "STANDING", "Channel"]

STANDING, WE_ENDED, THEY_ENDED, CLOSED = "open", "we ended", "they ended", "closed"

LIFE: dict[tuple[str, str], str] = {
    (STANDING, "send end"): WE_ENDED,
    (STANDING, "receive end"): THEY_ENDED,
    (WE_ENDED, "receive end"): CLOSED,
    (THEY_ENDED, "send end"): CLOSED,
    (STANDING, "reset"): CLOSED,
    (WE_ENDED, "reset"): CLOSED,
    (THEY_ENDED, "reset"): CLOSED,
}
"""The transitions of a channel (section 6.2 of docs/protocol.md): (state, event) to next state. All others are illegal."""

_HEAD_MOST = 11  # the maximum number of bytes of a record's kind, channel number and length
_LEAST_PIECE = 16  # the smallest piece of a divided body in bytes
_LONG = 8192  # the number of bytes from which data gets a frame of its own
_TRIES = 3  # attempts to compress a piece of a long text that fits into a frame


class Channel:
    """The state of one channel. Only the mux uses it."""

    __slots__ = (
        "compressed_stream",
        "compressor",
        "credit",
        "cut",
        "decompressor",
        "ending",
        "full",
        "granted",
        "high_water",
        "incoming",
        "lane",
        "last_text",
        "number",
        "opened",
        "opening_size",
        "queue",
        "queued",
        "ready",
        "state",
        "texts",
        "unread_records",
    )

    def __init__(self, number: int, lane: Lane, send_credit: int, receive_window: int) -> None:
        self.number = number
        self.lane = lane
        self.state = STANDING
        self.granted = SendCredit(send_credit)
        self.credit = ReceiveCredit(receive_window)
        self.queue: deque[tuple[bytes, memoryview]] = deque()  # bound: limits.CREDIT_PIPE, limits.REPLIES_MAX
        """The records to send, each as (kind, body)."""
        self.queued = 0
        """The size of all bodies in the queue, in bytes."""
        self.high_water = max(receive_window // 4, 16384)
        """If more bytes than this are queued, the writer should wait for :class:`ChannelWritable`."""
        self.opened = True
        """Whether at least a piece of the opening was sent."""
        self.ending = False
        """Whether the user has ended this direction, so that the end record is in the queue or sent."""
        self.ready = False
        """Whether the channel is in the queue of its lane, because it has a record to send."""
        self.full = False
        """Whether the channel was reported as full, so that the user waits for ChannelWritable."""
        self.incoming = bytearray()  # bound: limits.MESSAGE_MAX, limits.PIECES_MAX
        """The received pieces of an incomplete message."""
        self.unread_records = 0
        """The number of records that the user has not consumed."""
        self.opening_size = 0
        """The length of the peer's opening in bytes."""
        self.cut = False
        """Whether a piece of the first record in the queue was already sent."""
        self.compressor: DataCompressor | None = None
        """Compresses the sent data; None if this end does not compress."""
        self.compressed_stream = DATA[:1]
        """The stream of the compressed data that waits to be sent."""
        self.texts: TextCompressor | None = None
        """Compresses messages and the opening. All channels of a lane share it."""
        self.last_text: bytes | memoryview = b""  # bound: limits.MESSAGE_MAX
        """The text in the last compressed record, for a trace."""
        self.decompressor: DataDecompressor | ZstdDataDecompressor | None = None
        """Decompresses the received data; None before the first compressed data."""

    def advance(self, event: str) -> bool:
        """Make the transition of an event. An illegal event changes nothing and returns False."""
        state = LIFE.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    @property
    def memory(self) -> int:
        """The approximate memory of all unread records in bytes."""
        return self.credit.unread + self.unread_records * limits.RECORD_MEMORY

    def put(self, kind: bytes, body: bytes | bytearray | memoryview) -> None:
        """Queue a record."""
        self.queue.append((kind, memoryview(body)))
        self.queued += len(body)

    @property
    def sendable(self) -> bool:
        """Whether the first record, or a piece of it, can be sent."""
        if self.compressor is not None and self.compressor.out:
            return True  # the credit was already spent when the data was compressed
        if not self.queue:
            return False
        kind, body = self.queue[0]
        return kind in UNPAID or self.granted.left >= RECORD_COST + min(len(body), _LEAST_PIECE)

    @property
    def long(self) -> bool:
        """Whether the first record is data that gets a frame of its own."""
        return bool(self.queue) and self.queue[0][0] in DATA and len(self.queue[0][1]) >= _LONG

    def next_record(self, room: int) -> bytes:
        """Take one record of at most ``room`` bytes from the queue; empty if no record fits."""
        compressor = self.compressor
        if compressor is not None and (compressor.out or (self.queue[0][0] in DATA and not compressor.resting)):
            record = self._compressed_record(compressor, room)
            if record or compressor.out:
                return record
        kind, body = self.queue[0]
        if len(body) + _HEAD_MOST <= room:
            most = len(body)  # the body fits with a head of any length
        else:
            most = room - (1 + len(counted(self.number)) + len(counted(room)))
        if self.texts is not None and kind in PIECE_OF:
            record = self._text_record(self.texts, kind, body, room)
            if record:
                return record
        if kind not in UNPAID:
            most = min(most, self.granted.left - RECORD_COST)
        if most < min(len(body), _LEAST_PIECE):
            return b""
        if len(body) > most:
            if kind == RESET:  # the reason of a reset may be shortened, but the record may not be divided
                self.queue[0] = (kind, body[:most])
                return self.next_record(room)
            piece = body[:most]
            kind = PIECE_OF.get(kind, kind)
        else:
            piece = body
        self._take(len(piece))
        if compressor is not None and kind in DATA:
            compressor.passed(len(piece))
        if kind not in UNPAID and kind != OPEN_PIECE:
            self.granted.spend(len(piece) + RECORD_COST)
        return self._record(kind, piece)

    def _take(self, size: int) -> None:
        """Remove this number of bytes of the first record from the queue, because they are being sent."""
        kind, body = self.queue[0]
        self.queued -= size
        self.opened = True
        self.cut = size < len(body)
        if self.cut:
            rest = body[size:]
            if isinstance(body.obj, Encoded):
                rest = memoryview(
                    bytes(rest)
                )  # a part cannot be forwarded unchanged, so the encoded form is not needed
            self.queue[0] = (kind, rest)
        else:
            self.queue.popleft()

    def _record(self, kind: bytes, body: bytes | memoryview) -> bytes:
        size = len(body)
        if size >= _LONG and isinstance(body, memoryview):
            whole = body.obj
            if isinstance(whole, Encoded) and len(whole) == size:
                return whole.with_head(kind + counted(self.number) + counted(size))
        return b"".join((kind, counted(self.number), counted(size), body))

    # -- compression (section 6.5) -------------------------------------------------------------------------------------

    def _compressed_record(self, compressor: DataCompressor, room: int) -> bytes:
        """A record with the next piece of the compressed data, as long as possible.

        While the waiting output does not fill the room, more data is compressed. The result is empty if the first record of
        the queue is better sent uncompressed.
        """
        most = room - (2 + len(counted(self.number)) + len(counted(room)))
        if most < _LEAST_PIECE:
            return b""
        while len(compressor.out) < most and self.queue and not compressor.resting:
            stream = self.queue[0][0]
            if stream not in DATA or (compressor.out and stream != self.compressed_stream):
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
        """The data of one stream at the head of the queue, as much as one compression step and the credit allow."""
        waiting = len(self.compressor.out) if self.compressor is not None else 0
        # The worst case: each record costs RECORD_COST, each piece has the smallest size, and the data grows.
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
        """A compressed record with the first text of the queue, or with a piece of it; empty if compression saves nothing."""
        most = room - (1 + len(counted(self.number)) + len(counted(room)))
        credit = self.granted.left - RECORD_COST if kind == MESSAGE else len(body)
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
                self.last_text = body[:size]
                self._take(size)
                if kind == MESSAGE:
                    self.granted.spend(size + RECORD_COST)
                return self._record((kind if last else PIECE_OF[kind]).upper(), out)
            if last and size <= most:
                return b""
            size = size * 2 // 3
        return b""

    def _recalled(self, texts: TextCompressor, kind: bytes, text: bytes, room: int) -> bytes:
        code = texts.recall(text, room)
        if code is None:
            return b""
        self.last_text = text
        self._take(len(text))
        if kind == OPEN:
            return b"".join((RECALLED_OPEN, counted(self.number), code))
        self.granted.spend(len(text) + RECORD_COST)
        return code if self.number == 0 else b"".join((RECALLED_TEXT, counted(self.number), code))


_COMPRESSED_KIND = {DATA[n : n + 1]: COMPRESSED_DATA[n : n + 1] for n in range(len(DATA))}
_GROWTH = 64  # the maximum number of bytes by which compression may lengthen a piece of data
