"""The multiplexer: many channels in one session (section 6 of docs/protocol.md).

The payload of a data frame is a sequence of records. A record consists of its kind
(:mod:`linesync.wire.channels.record_kinds`), the number of the channel, the length of the body (both counted numbers)
and the body. Compressed records are explained in :mod:`linesync.wire.channels.compression`.

Channel 0 always exists and carries requests and replies. The side with the greater nonce opens channels with odd numbers,
the other side opens channels with even numbers. No number is used twice in a session. All records of a channel are sent
in the lane of the channel and arrive in order, except grants of credit, which are sent in the prompt lane. The channels
of a lane take turns, one frame each. Channel 0 is next when it gets records; if it has more than one frame, it then takes turns.
"""

from __future__ import annotations

from collections import deque

from ... import limits
from ..events import ChannelClosed, ChannelData, ChannelEnded, ChannelMessage, ChannelOpened, ChannelWritable, Event
from ..framing.digits import counted, read_counted
from ..framing.encoded import Encoded
from ..framing.frames import Lane
from .channel import CLOSED, Channel
from .credit import RECORD_COST
from .record_kinds import (
    COMPRESSED_DATA,
    COMPRESSED_TEXTS,
    CREDIT,
    DATA,
    END,
    MESSAGE,
    MESSAGE_PIECE,
    NUMBER_DIGITS,
    OPEN,
    OPEN_PIECE,
    RECALLED,
    RECALLED_OPEN,
    RECALLED_TEXT,
    RESET,
)
from .texts import ReceivedTexts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .compression import TextCompressor

__all__ = ["ALL", "Mux"]

ALL = 1 << 60
"""A number of steps that is enough for any payload."""
_PIECE_BITS = 14  # 16 KiB of text count as one step
_LEAST_RECORD = 8  # no record is started if less room than this is free, in bytes
_CREDIT_WORTH = 1024  # with less credit than this, in bytes, records are short and are not compressed
_ENCODED_MAX = 4 << 20  # while the unread records need more bytes than this, new data does not keep its encoded text


class Mux:
    """The channels of one session.

    :param odd: whether this end opens channels with odd numbers.
    :param send_credit: the credit that the peer grants to each channel, in bytes.
    :param receive_window: the credit that this end grants to each channel, in bytes.
    :param compress: whether this end sends compressed records.
    :param expand: whether this end accepts compressed records.
    :param zstd: whether data streams are compressed with Zstandard instead of deflate.
    :param whole: whether long data is sent in separate frames, which a hub between two lines can forward unchanged.
    """

    def __init__(
        self,
        *,
        odd: bool,
        send_credit: int,
        receive_window: int,
        compress: bool = False,
        expand: bool = False,
        zstd: bool = False,
        whole: bool = False,
    ) -> None:
        self._send_credit = send_credit
        self._receive_window = receive_window
        self._next = 1 if odd else 2
        self._writers: dict[Lane, TextCompressor] | None = None
        if compress and send_credit >= _CREDIT_WORTH:
            from .compression import TextCompressor  # most sessions are on lines without a rate and do not need it

            self._writers = {lane: TextCompressor() for lane in Lane}
        self._expand = expand
        self._zstd = zstd
        self._whole = whole
        self.texts = ReceivedTexts()
        self._channels = {0: self._channel(0, Lane.PROMPT)}  # bound: limits.CHANNELS
        self._rounds: dict[Lane, deque[Channel]] = {lane: deque() for lane in Lane}  # bound: limits.CHANNELS
        self._grants: dict[int, int] = {}  # bound: limits.CHANNELS
        self._opening: dict[int, bytearray] = {}  # bound: limits.CHANNELS, limits.PIECES_MAX
        self._pieces = 0  # the number of bytes of all messages and openings that were received only in part
        self._opening_bytes = 0  # the number of bytes of the openings of the channels that the peer opened
        self._unread = 0  # the memory for the unread records of all channels that are not closed, in bytes
        self.discarded = 0
        """The number of bytes of records for channels that do not exist any more."""
        self.work = 0
        """The number of steps for received records so far: one for each record and one for each 16 KiB of its text."""
        self.events: list[Event] = []  # bound: call

    def _channel(self, number: int, lane: Lane) -> Channel:
        channel = Channel(number, lane, self._send_credit, self._receive_window)
        if lane is Lane.PROMPT and number:
            # A person who interrupts a program on a terminal still sees the output that is queued.
            channel.high_water = self._receive_window // 64
        if self._writers is not None:
            from .compression import DataCompressor, ZstdDataCompressor

            channel.texts = self._writers[lane]
            channel.compressor = ZstdDataCompressor() if self._zstd else DataCompressor()
        return channel

    # -- calls of the user ---------------------------------------------------------------------------------------------

    def open(self, lane: Lane, words: bytes) -> int:
        """Open a channel. The opening is sent before all other records of the channel.

        :param words: the text of the opening, which tells the peer the purpose of the channel.
        :returns: the number of the channel.
        """
        number = self._next
        self._next += 2
        channel = self._channel(number, lane)
        channel.opened = False
        self._channels[number] = channel
        self._put(channel, OPEN, words)
        return number

    def send(self, number: int, stream: int, data: bytes | bytearray | memoryview) -> bool:
        """Queue bytes on a stream. Bytes for a channel that is closed, or that this end has ended, are dropped.

        :param stream: 0 to 3.
        :param data: the bytes. The caller must not change them afterwards.
        :returns: False if the channel is full now, and the caller should wait for :class:`ChannelWritable`.
        """
        return self._user_put(number, DATA[stream : stream + 1], data) if data else True

    def send_message(self, number: int, data: bytes) -> bool:
        """Queue a message, as :meth:`send` does."""
        return self._user_put(number, MESSAGE, data)

    def end(self, number: int) -> None:
        """Tell the peer that this end sends no more records on a channel."""
        channel = self._channels.get(number)
        if channel is not None and number and not channel.ending and channel.state != CLOSED:
            channel.ending = True
            self._put(channel, END, b"")

    def reset(self, number: int, reason: str) -> None:
        """End a channel immediately, in both directions. Its queue is dropped."""
        channel = self._channels.get(number)
        if channel is None or number == 0 or not self._advance(channel, "reset"):
            return
        channel.queue.clear()
        channel.queued = 0
        channel.compressor = None
        if channel.opened:
            self._put(channel, RESET, reason.encode("utf-8", "replace")[:400])
        else:
            self._forget(channel)

    def consumed(self, number: int, data: bytes) -> None:
        """Grant the credit of the data of an event to the peer again, because the user has consumed the data."""
        channel = self._channels.get(number)
        if channel is None:
            return
        channel.unread_records -= 1
        if channel.state != CLOSED:
            self._unread -= len(data) + RECORD_COST + limits.RECORD_MEMORY
        amount = channel.credit.taken(len(data) + RECORD_COST)
        if amount:
            self._grants[number] = self._grants.get(number, 0) + amount

    def is_open(self, number: int) -> bool:
        """Return whether a channel exists and is not closed."""
        channel = self._channels.get(number)
        return channel is not None and channel.state != CLOSED

    def queued(self, number: int) -> int:
        """Return the number of bytes that wait to be sent on a channel; 0 if the channel does not exist."""
        channel = self._channels.get(number)
        return channel.queued if channel else 0

    def full(self, number: int) -> bool:
        """Return whether the writer of a channel should wait for :class:`ChannelWritable`."""
        channel = self._channels.get(number)
        return channel is not None and channel.full

    @property
    def open_count(self) -> int:
        """The number of open channels, not counting channel 0."""
        return len(self._channels) - 1

    def close_all(self, reason: str) -> list[Event]:
        """Close all channels at the end of the session, and return the events."""
        numbers = [n for n, channel in self._channels.items() if n and channel.state != CLOSED]
        self._channels = {0: self._channels[0]}
        return [ChannelClosed(number, reason) for number in numbers]

    # -- sending -------------------------------------------------------------------------------------------------------

    def wants(self, lane: Lane) -> bool:
        """Return whether a record can be sent in a lane."""
        return bool(self._rounds[lane]) or (lane is Lane.PROMPT and bool(self._grants))

    def next_payload(self, lane: Lane, room: int) -> bytes:
        """Return the payload of the next frame of a lane; empty if there are no records to send.

        :param room: the maximum length in bytes.
        """
        out: list[bytes] = []
        recalled = False  # whether the last record is a recalled text
        served: Channel | None = None
        whole = self._whole and lane is Lane.BULK
        if lane is Lane.PROMPT and self._grants:
            room -= self._take_grants(out, room)
        round_ = self._rounds[lane]
        while round_ and room >= _LEAST_RECORD:
            channel = round_[0]
            alone = whole and channel.long
            if out and alone:
                if channel is served:
                    round_.rotate(-1)
                break
            record = channel.next_record(room) if channel.sendable else b""
            if record:
                out.append(record)
                room -= len(record)
                served = channel
                kind = record[:1]
                recalled = kind >= RECALLED or kind in (RECALLED_TEXT, RECALLED_OPEN)
                if self.texts.watch is not None and (recalled or kind in COMPRESSED_TEXTS):
                    self.texts.watch("out", channel.number, bytes(channel.last_text))
                self._after_record(channel, kind)
            if not channel.ready:
                continue  # it was closed with this record
            if not channel.sendable:
                if channel.ready:
                    channel.ready = False
                    round_.popleft()
            elif not record or alone or room < _LEAST_RECORD:
                round_.rotate(-1)
                break
            if alone:
                break
        if recalled:
            out[-1] = out[-1].rstrip(b"\0")  # unchanged numbers at the end of a payload are omitted
        return out[0] if len(out) == 1 else b"".join(out)

    def _take_grants(self, out: list[bytes], room: int) -> int:
        used = 0
        for number in list(self._grants):
            amount = counted(self._grants[number])
            record = b"".join((CREDIT, counted(number), counted(len(amount)), amount))
            if used + len(record) > room:
                break
            del self._grants[number]
            out.append(record)
            used += len(record)
        return used

    def _after_record(self, channel: Channel, kind: bytes) -> None:
        if kind == END:
            self._advance(channel, "send end")
            if channel.state == CLOSED:
                self._forget(channel)
                self.events.append(ChannelClosed(channel.number, ""))
        elif kind == RESET:
            self._forget(channel)
        elif channel.full and channel.queued * 2 <= channel.high_water:
            channel.full = False
            self.events.append(ChannelWritable(channel.number))

    def _put(self, channel: Channel, kind: bytes, body: bytes | bytearray | memoryview) -> None:
        channel.put(kind, body)
        self._make_ready(channel)

    def _make_ready(self, channel: Channel) -> None:
        if not channel.ready and channel.sendable:
            channel.ready = True
            if channel.number:
                self._rounds[channel.lane].append(channel)
            else:
                self._rounds[channel.lane].appendleft(channel)  # a request does not wait for a hundred busy channels

    def _user_put(self, number: int, kind: bytes, body: bytes | bytearray | memoryview) -> bool:
        channel = self._channels.get(number)
        if channel is None or channel.ending or channel.state == CLOSED:
            return True
        self._put(channel, kind, body)
        channel.full = channel.full or channel.queued > channel.high_water
        return not channel.full

    def _advance(self, channel: Channel, event: str) -> bool:
        """Change the state of a channel after an event. Return False, without a change, if the event is not allowed.

        The unread records of a channel that is closed now are no longer counted.
        """
        if not channel.advance(event):
            return False
        if channel.state == CLOSED:
            self._unread -= channel.memory
        return True

    def _forget(self, channel: Channel) -> None:
        if self._channels.pop(channel.number, None) is not None:
            self._pieces -= len(channel.incoming)
            self._opening_bytes -= channel.opening_size
        self._grants.pop(channel.number, None)
        if channel.ready and not channel.queue:
            channel.ready = False
            self._rounds[channel.lane].remove(channel)

    # -- receiving -----------------------------------------------------------------------------------------------------

    def receive(self, lane: Lane, payload: bytes) -> bool:
        """Handle the next payload of a lane. Return False if it violates the protocol."""
        return self.receive_some(lane, payload, 0, ALL) >= 0

    def receive_some(self, lane: Lane, payload: bytes, at: int, most: int) -> int:
        """Handle records of a payload, and stop after a certain number of steps (:attr:`work`).

        :param at: the offset of the first record, in bytes.
        :param most: the maximum number of steps. The last record may exceed it.
        :returns: the offset of the next record, in bytes; -1 if the payload violates the protocol.
        """
        last = self.work + most
        while at < len(payload) and self.work < last:
            self.work += 1
            kind = payload[at : at + 1]
            if self._expand and (kind >= RECALLED or kind in (RECALLED_TEXT, RECALLED_OPEN)):
                found = self.texts.recall(lane, kind, payload, at)
                if found is None:
                    return -1
                number, text, at = found
                if not self._take_record(lane, OPEN if kind == RECALLED_OPEN else MESSAGE, number, text):
                    return -1
                continue
            begun = at
            number, at = read_counted(payload, at + 1, NUMBER_DIGITS)
            length, at = read_counted(payload, at)
            if number < 0 or length < 0 or at + length > len(payload):
                return -1
            body: bytes
            whole = kind in DATA and begun == 0 and at + length == len(payload)
            if whole and isinstance(payload, Encoded) and self._unread < _ENCODED_MAX:
                body = payload.behind(at)  # keeps the encoded text for forwarding, and needs twice the memory
            else:
                body = payload[at : at + length]
            at += length
            if self._expand and kind in COMPRESSED_TEXTS:
                kind = kind.lower()
                expanded = self.texts.expand(lane, kind, number, body, self._room(kind, number))
                if expanded is None:
                    return -1
                body = expanded
            self.work += len(body) >> _PIECE_BITS
            if not self._take_record(lane, kind, number, body):
                return -1
        return at

    def _take_record(self, lane: Lane, kind: bytes, number: int, body: bytes) -> bool:
        if kind in (OPEN, OPEN_PIECE):
            return self._opened(lane, number, kind, body)
        if kind == RESET:
            self._pieces -= len(self._opening.pop(number, b""))  # an opening that was received only in part
        channel = self._channels.get(number)
        if channel is None or (channel.state == CLOSED and kind != CREDIT):
            self.discarded += len(body)  # the peer sent it before it knew that the channel is closed
            return True
        return self._record(channel, kind, body)

    def _room(self, kind: bytes, number: int) -> int:
        """Return the maximum number of bytes that the peer may send now in a text of this kind."""
        if kind in (OPEN, OPEN_PIECE):
            return limits.OPEN_MAX
        channel = self._channels.get(number)
        return (channel.credit.left if channel is not None else self._receive_window) - RECORD_COST

    def _opened(self, lane: Lane, number: int, kind: bytes, body: bytes) -> bool:
        words = self._opening.setdefault(number, bytearray())
        words += body
        self._pieces += len(body)
        wrong_side = number % 2 == self._next % 2
        if number == 0 or wrong_side or number in self._channels or len(words) > limits.OPEN_MAX:
            return False
        if kind == OPEN:
            del self._opening[number]
            self._pieces -= len(words)
            channel = self._channel(number, lane)
            self._channels[number] = channel
            channel.opening_size = len(words)
            self._opening_bytes += len(words)
            if len(self._channels) > 2 * limits.CHANNELS:
                return False  # the peer ignores the refusals
            if len(self._channels) > limits.CHANNELS:
                self.reset(number, f"too many channels are open; at most {limits.CHANNELS} at once")
            elif self._opening_bytes > limits.OPENINGS_MAX:
                self.reset(number, f"the open channels have openings of more than {limits.OPENINGS_MAX >> 20} MiB")
            else:
                self.events.append(ChannelOpened(number, lane, bytes(words)))
        return len(self._opening) <= limits.CHANNELS and self._pieces <= limits.PIECES_MAX

    def _record(self, channel: Channel, kind: bytes, body: bytes) -> bool:
        if kind == CREDIT:
            amount, _ = read_counted(body, 0, 6)
            channel.granted.granted(max(amount, 0))
            self._make_ready(channel)
        elif channel.number == 0 and kind in (END, RESET):
            return False  # channel 0 never ends
        elif kind == END:
            if not self._advance(channel, "receive end"):
                return False
            self.events.append(ChannelEnded(channel.number))
            if channel.state == CLOSED:
                self._forget(channel)
                self.events.append(ChannelClosed(channel.number, ""))
        elif kind == RESET:
            channel.queue.clear()
            channel.compressor = None
            self._advance(channel, "reset")
            self._forget(channel)
            reason = body.decode("utf-8", "replace") or "the other side closed it"
            self.events.append(ChannelClosed(channel.number, reason))
        else:
            return self._content(channel, kind, body)
        return True

    def _content(self, channel: Channel, kind: bytes, body: bytes) -> bool:
        if kind in COMPRESSED_DATA and self._expand:
            return self._compressed_data(channel, COMPRESSED_DATA.index(kind), body)
        if not self._received(channel, len(body)):
            return False
        if kind in DATA:
            self.events.append(ChannelData(channel.number, kind[0] - DATA[0], body))
            return True
        if kind not in (MESSAGE, MESSAGE_PIECE) or len(channel.incoming) + len(body) > limits.MESSAGE_MAX:
            return False
        if kind == MESSAGE_PIECE:
            channel.incoming += body
            self._pieces += len(body)
            if self._pieces > limits.PIECES_MAX:
                return False
            # The credit for pieces is granted again immediately. Their total length is limited by MESSAGE_MAX.
            self.consumed(channel.number, body)
            return True
        if channel.incoming:
            self._pieces -= len(channel.incoming)
            channel.credit.given_early(len(channel.incoming))
            self._unread += len(channel.incoming)
            body = bytes(channel.incoming) + body
            channel.incoming = bytearray()
        self.events.append(ChannelMessage(channel.number, body))
        return True

    def _compressed_data(self, channel: Channel, stream: int, piece: bytes) -> bool:
        if channel.decompressor is None:
            from .compression import DataDecompressor, ZstdDataDecompressor

            channel.decompressor = ZstdDataDecompressor() if self._zstd else DataDecompressor()
        data = channel.decompressor.take(piece, channel.credit.left - RECORD_COST)
        if data is None or not self._received(channel, len(data)):
            return False
        self.work += len(data) >> _PIECE_BITS
        if data:
            self.events.append(ChannelData(channel.number, stream, data))
        else:
            self.consumed(channel.number, data)  # the decompressor returns this data with that of the next piece
        return True

    def _received(self, channel: Channel, size: int) -> bool:
        """Count the body of a received record. Return False if the peer exceeded its credit."""
        if not channel.credit.received(size + RECORD_COST):
            return False
        channel.unread_records += 1
        self._unread += size + RECORD_COST + limits.RECORD_MEMORY
        if self._unread > limits.UNREAD_MAX:
            self._limit_unread()
        return True

    def _limit_unread(self) -> None:
        """Reset the channel with the most unread data, because the unread data of all channels is too much."""
        channels = [channel for channel in self._channels.values() if channel.state != CLOSED]
        largest = max(channels, key=lambda channel: channel.memory if channel.number else 0)
        reason = (
            f"{limits.UNREAD_MAX >> 20} MiB have not been read in this session, and this channel has the most of it"
        )
        self.reset(largest.number, reason)
        self.events.append(ChannelClosed(largest.number, reason))
