"""The compressed texts that arrive in a session: messages and openings.

Texts are read and remembered even for a channel that is over, because later texts depend on them.
"""

from __future__ import annotations

from ..framing.digits import read_counted
from ..framing.frames import Lane
from .record_kinds import MESSAGE, NUMBER_DIGITS, OPEN, RECALLED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .compression import TextDecompressor

__all__ = ["ReceivedTexts"]


class ReceivedTexts:
    """Reads the compressed texts of both lanes."""

    __slots__ = ("_readers", "watch")

    def __init__(self) -> None:
        self._readers: dict[Lane, TextDecompressor] = {}  # bound: fixed
        self.watch: Callable[[str, int, bytes], None] | None = None
        """Called with (``in``, channel, text) for each text; the sender of texts calls it with ``out``. For traces."""

    def _reader(self, lane: Lane) -> TextDecompressor:
        reader = self._readers.get(lane)
        if reader is None:
            from .compression import TextDecompressor

            reader = self._readers[lane] = TextDecompressor()
        return reader

    def expand(self, lane: Lane, kind: bytes, number: int, body: bytes, most: int) -> bytes | None:
        """Decompress a text, or a piece of one, for a channel; None if it is malformed or too long.

        :param kind: the kind of the record if it were not compressed.
        :param most: the most bytes of the result.
        """
        reader = self._reader(lane)
        text = reader.expand(body, most)
        if text is not None:
            if kind in (MESSAGE, OPEN):
                reader.remember(text)
            if self.watch is not None:
                self.watch("in", number, text)
        return text

    def recall(self, lane: Lane, kind: bytes, payload: bytes, at: int) -> tuple[int, bytes, int] | None:
        """Take the record of a recalled text from a payload.

        :param at: the offset of the record.
        :returns: (the number of its channel, the text, the offset after it); None if it is malformed.
        """
        number = 0
        if kind < RECALLED:
            number, at = read_counted(payload, at + 1, NUMBER_DIGITS)
        found = self._reader(lane).recall(payload, at) if number >= 0 else None
        if found is None:
            return None
        text, at = found
        if self.watch is not None:
            self.watch("in", number, text)
        return number, text, at
