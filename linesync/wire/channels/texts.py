"""The received compressed texts of a session. A text is a message or an opening.

The texts of a closed channel are also read and remembered, because later texts depend on them.
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
        """A function for traces that is called with (``in`` or ``out``, number of the channel, text) for each text, or
        None. The sender of texts calls it with ``out``."""

    def _reader(self, lane: Lane) -> TextDecompressor:
        reader = self._readers.get(lane)
        if reader is None:
            from .compression import TextDecompressor

            reader = self._readers[lane] = TextDecompressor()
        return reader

    def expand(self, lane: Lane, kind: bytes, number: int, body: bytes, most: int) -> bytes | None:
        """Decompress a text, or a piece of a text. Return None if it is malformed or too long.

        :param kind: the kind of the same record without compression.
        :param most: the maximum length of the result, in bytes.
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
        """Read the record of a recalled text from a payload.

        :param at: the offset of the record, in bytes.
        :returns: (the number of the channel, the text, the offset of the next record); None if it is malformed.
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
