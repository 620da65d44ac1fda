"""Compression of records (section 6.5 of docs/protocol.md).

Data and texts (messages and openings) are compressed separately, because they are very different.

1. All data of a channel in one direction is one deflate stream. It contains the data of all streams of the channel. Each
   piece is flushed, so that no data waits. The sender stops compressing for a while if the data does not shrink.
2. The texts of a lane share one deflate stream with a small window, because a channel for one command has no history of its
   own. A lane delivers in order, so both ends have the same history.
3. Most texts repeat an earlier text with other numbers: ``7.2 sem ready -1``, ``8.2 sem ready -1``. Both ends remember the
   texts of the deflate stream without their numbers, as *shapes*. The next text of a known shape is *recalled*: it needs one
   byte for the shape and half a byte for most numbers.

All state ends with the session. :class:`DataCompressor` decides whether to compress data.
"""

from __future__ import annotations

import re
import zlib

from ... import limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "PRESET",
    "DataCompressor",
    "DataDecompressor",
    "TextCompressor",
    "TextDecompressor",
    "ZstdDataCompressor",
    "ZstdDataDecompressor",
]

_TAIL = b"\x00\x00\xff\xff"  # the end of every flush of a text; it is not sent
_ZSTD_LEVEL = 9
_ZSTD_SLICE = 16  # the number of bytes that are decompressed in one call
_SHAPES = 128  # the maximum number of shapes of a lane
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,8}")  # a number without leading zeros, so that there is only one way to write it
_NIBBLE_FULL = 12  # a difference below this is one nibble; nibbles from this on give the length of a full number

PRESET = (
    b" giveback  revoked  unlock  lock  gather  receive  send  await  event  withdraw  reset  exchange  member= arrival="
    b" within= role= status hosts links concurrent done file get put  ns= cwd= env= stdin=1 kill  err lost  err timeout "
    b" console  follow=1 activity register  capabilities= published= Members= Tolerate=1 Reuse= Any=1 Hold=1 timeout="
    b"run  /bin/ exit - gone - confirm  ok  barrier  sem "
)
"""The preset history of a lane's texts (section 6.5 of docs/protocol.md)."""


# -- data --------------------------------------------------------------------------------------------------------------


class DataCompressor:
    """The sender's side of the data of one channel."""

    __slots__ = ("_made", "_pause", "_skip", "_taken", "_zip", "out")

    def __init__(self) -> None:
        self.out = b""  # bound: limits.PIPE_FRAME
        """The compressed bytes that wait to be sent."""
        self._zip: Any = None  # a compression object; None before the first data
        self._skip = 0  # the number of bytes to send uncompressed before the next attempt
        self._pause = limits.UNTRIED_LEAST
        self._taken = 0  # the number of bytes before compression since the last decision about a pause
        self._made = 0  # the number of bytes after compression since that decision

    @property
    def resting(self) -> bool:
        """Whether compression pauses, because recent data did not shrink."""
        return self._skip > 0

    def put(self, data: bytes) -> bool:
        """Compress data and append it to the waiting output. If compression saves nothing, change nothing and return False."""
        if len(data) < (limits.ZIPPED_LEAST if self._zip is None else 8):
            return False
        context = self._zip
        if context is None:
            context = zlib.compressobj(zlib.Z_BEST_COMPRESSION, zlib.DEFLATED, -limits.DATA_WINDOW, 8)
        elif len(data) <= limits.ZIPPED_PIECE // 16:
            context = context.copy()  # uncompressed, short data may be shorter; it must not enter the history then
        text = context.compress(data) + context.flush(zlib.Z_SYNC_FLUSH)
        if context is not self._zip and len(text) >= len(data):
            return False
        self._zip = context
        self.out += text
        self._decide_pause(len(data), len(text))
        return True

    def _decide_pause(self, taken: int, made: int) -> None:
        self._taken += taken
        self._made += made
        if self._taken < limits.ZIPPED_PIECE // 2:
            return
        if self._made > self._taken * limits.ZIPPED_WORTH:
            self._skip = self._pause
            self._pause = min(2 * self._pause, limits.UNTRIED_MOST)
        else:
            self._pause = limits.UNTRIED_LEAST
        self._taken = self._made = 0

    def passed(self, size: int) -> None:
        """Record the number of bytes that were sent uncompressed."""
        self._skip = max(self._skip - size, 0)

    def take(self, most: int) -> bytes:
        """Take the next piece to send, at most ``most`` bytes."""
        piece, self.out = self.out[:most], self.out[most:]
        return piece


class DataDecompressor:
    """The receiver's side of the data of one channel."""

    __slots__ = ("_context",)

    def __init__(self) -> None:
        self._context = zlib.decompressobj(-limits.DATA_WINDOW)

    def take(self, piece: bytes, most: int) -> bytes | None:
        """Decompress a piece; None if it is malformed or its data has more than ``most`` bytes."""
        return _inflate(self._context, piece, most)


def _inflate(context: zlib._Decompress, piece: bytes, most: int) -> bytes | None:
    if most < 0:
        return None
    try:
        data = context.decompress(piece, most + 1)  # one byte more than allowed shows that the data is too long
    except zlib.error:
        return None
    return None if len(data) > most or context.eof else data


class ZstdDataCompressor(DataCompressor):
    """The sender's side of the data of one channel with Zstandard, if both ends support it.

    Files of text become a sixth shorter than with deflate, because the window is eight times as long.
    """

    __slots__ = ()

    def put(self, data: bytes) -> bool:
        if len(data) < limits.ZIPPED_LEAST:
            return False  # uncompressed, the data may be shorter; this context cannot be copied for an attempt
        context = self._zip
        if context is None:
            from zstandard import ZstdCompressionParameters, ZstdCompressor

            settings = ZstdCompressionParameters.from_level(_ZSTD_LEVEL, window_log=limits.ZSTD_WINDOW)
            context = self._zip = ZstdCompressor(compression_params=settings).compressobj()
        text = context.compress(data) + context.flush(1)  # COMPRESSOBJ_FLUSH_BLOCK
        self.out += text
        self._decide_pause(len(data), len(text))
        return True


class ZstdDataDecompressor:
    """The receiver's side of :class:`ZstdDataCompressor`."""

    __slots__ = ("_context",)

    def __init__(self) -> None:
        from zstandard import ZstdDecompressor

        self._context = ZstdDecompressor(max_window_size=1 << limits.ZSTD_WINDOW).decompressobj()

    def take(self, piece: bytes, most: int) -> bytes | None:
        """Decompress a piece like :meth:`DataDecompressor.take`."""
        from zstandard import ZstdError

        data = bytearray()
        try:
            # The library has no limit for its output: a few malicious bytes can become several blocks of 128 KiB.
            for at in range(0, len(piece), _ZSTD_SLICE):
                data += self._context.decompress(piece[at : at + _ZSTD_SLICE])
                if len(data) > most:
                    return None
        except ZstdError:
            return None
        return bytes(data)


# -- texts -------------------------------------------------------------------------------------------------------------


class _Shapes:
    """The shapes of a lane, each with the numbers of its last text. Both ends store the same texts in the same order."""

    __slots__ = ("_first", "_next", "_places", "_shapes")

    def __init__(self) -> None:
        self._shapes: list[tuple[bytes, list[int]]] = []  # bound: compression._SHAPES
        self._places: dict[bytes, int] = {}  # bound: compression._SHAPES
        self._next = 0  # the position of the next new shape
        self._first = 0  # the first number of the last text, usually the id of a request; ids usually grow by 1

    @staticmethod
    def _split(text: bytes) -> tuple[bytes, list[int]] | None:
        """The shape and the numbers of a text; None if it has no shape."""
        if len(text) > limits.SHAPE_MAX or b"\0" in text:
            return None
        numbers = [int(number) for number in _NUMBER.findall(text)]
        if len(numbers) > limits.SHAPE_NUMBERS:
            return None
        return _NUMBER.sub(b"\0", text), numbers

    def enter(self, text: bytes) -> None:
        """Store the shape and the numbers of a text that was sent completely."""
        split = self._split(text)
        if split is None:
            return
        shape, numbers = split
        place = self._places.get(shape)
        if place is None:
            place = self._next
            self._next = (place + 1) % _SHAPES
            if place == len(self._shapes):
                self._shapes.append(split)
            else:
                del self._places[self._shapes[place][0]]
            self._places[shape] = place
        self._note(place, shape, numbers)

    def _note(self, place: int, shape: bytes, numbers: list[int]) -> None:
        self._shapes[place] = (shape, numbers)
        if numbers:
            self._first = numbers[0]

    def write(self, text: bytes, room: int) -> bytes | None:
        """The short form of a text; None if its shape is unknown or the form has more than ``room`` bytes."""
        split = self._split(text)
        place = self._places.get(split[0]) if split is not None else None
        if split is None or place is None:
            return None
        shape, numbers = split
        nibbles: list[int] = []
        for number, before in zip(numbers, self._before(place), strict=True):
            if 0 <= number - before < _NIBBLE_FULL:
                nibbles.append(number - before)
                continue
            pairs = max((number.bit_length() + 7) // 8, 1)
            nibbles.append(_NIBBLE_FULL + pairs - 1)
            nibbles += [number >> 4 * at & 15 for at in range(2 * pairs - 1, -1, -1)]
        nibbles += [0] * (len(nibbles) % 2)
        if len(nibbles) // 2 >= room:
            return None
        self._note(place, shape, numbers)
        return bytes((0x80 | place, *(high << 4 | low for high, low in zip(nibbles[::2], nibbles[1::2], strict=True))))

    def read(self, payload: bytes, at: int) -> tuple[bytes, int] | None:
        """Read the short form at an offset. Return the text and the offset after the form; None if it is malformed."""
        place = payload[at] - 0x80 if at < len(payload) else -1
        if not 0 <= place < len(self._shapes):
            return None
        shape, _ = self._shapes[place]
        numbers: list[int] = []
        at = 2 * (at + 1)  # an offset in nibbles from this line on
        for before in self._before(place):
            number, at = self._read_number(payload, at, before)
            numbers.append(number)
        self._note(place, shape, numbers)
        parts = iter(numbers)
        text = b"".join(part if part != b"\0" else b"%d" % next(parts) for part in _NUL.split(shape))
        return text, min((at + 1) // 2, len(payload))

    @staticmethod
    def _read_number(payload: bytes, at: int, before: int) -> tuple[int, int]:
        first = _nibble(payload, at)
        at += 1
        if first < _NIBBLE_FULL:
            return before + first, at
        end = at + 2 * (first - _NIBBLE_FULL + 1)
        number = 0
        for place in range(at, end):
            number = number << 4 | _nibble(payload, place)
        return number, end

    def _before(self, place: int) -> list[int]:
        """The reference for each number of a shape. For the first number, it is the first number of the last text of any
        shape; for the others, the numbers of the last text of this shape."""
        numbers = self._shapes[place][1]
        return [self._first, *numbers[1:]] if numbers else []


_NUL = re.compile(rb"(\0)")


def _nibble(payload: bytes, at: int) -> int:
    if at >= 2 * len(payload):
        return 0  # zeros at the end of a payload are not sent
    byte = payload[at // 2]
    return byte & 15 if at % 2 else byte >> 4


class TextCompressor:
    """The sender's side of the texts of one lane."""

    __slots__ = ("_shapes", "_zip")

    def __init__(self) -> None:
        self._shapes = _Shapes()
        self._zip = zlib.compressobj(
            zlib.Z_BEST_COMPRESSION, zlib.DEFLATED, -limits.TEXT_WINDOW, 5, zlib.Z_DEFAULT_STRATEGY, PRESET
        )

    def recall(self, text: bytes, room: int) -> bytes | None:
        """The short form of a text of a known shape; None if the shape is unknown or the form has more than ``room`` bytes."""
        return self._shapes.write(text, room)

    def compress(self, text: bytes | memoryview, room: int, *, last: bool) -> bytes | None:
        """Compress a text, or a piece of a text, into at most ``room`` bytes.

        :param last: whether this is the last piece, usually the only piece. A short last piece is compressed even if it
            becomes slightly longer, because its shape is then stored.
        :returns: the compressed bytes; None, without a change, if they do not fit or save nothing.
        """
        context = self._zip.copy()
        out = context.compress(text) + context.flush(zlib.Z_SYNC_FLUSH)
        if not out.endswith(_TAIL):
            return None  # nothing to flush
        out = out[: -len(_TAIL)]
        remembered = last and len(text) <= limits.SHAPE_MAX
        if len(out) > room or len(out) > len(text) + (4 if remembered else -1):
            return None
        self._zip = context
        if last:
            self._shapes.enter(bytes(text))
        return out


class TextDecompressor:
    """The receiver's side of the texts of one lane."""

    __slots__ = ("_context", "_shapes")

    def __init__(self) -> None:
        self._shapes = _Shapes()
        self._context = zlib.decompressobj(-limits.TEXT_WINDOW, PRESET)

    def recall(self, payload: bytes, at: int) -> tuple[bytes, int] | None:
        """Read the short form at an offset of a payload. Return the text and the offset after the form; None if it is
        malformed."""
        return self._shapes.read(payload, at)

    def expand(self, piece: bytes, most: int) -> bytes | None:
        """Decompress a piece of a text; None if it is malformed or the result has more than ``most`` bytes."""
        return _inflate(self._context, piece + _TAIL, most)

    def remember(self, text: bytes) -> None:
        """Store the shape of the text, or of the last piece of a text, that was decompressed last."""
        self._shapes.enter(text)
