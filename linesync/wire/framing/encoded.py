"""Bytes that go on as they came.

A hub takes a file's data from one line and puts it on another. Where both use the eight form
(:mod:`linesync.wire.framing.payload`) the text that came is the text to send, and making it again would be a third of the work.
So the payload of a long bulk frame remembers its text on its way up through the channels and down again, as long as
nobody cuts it or puts something beside it; for everybody else it is bytes like any other.
"""

from __future__ import annotations

__all__ = ["Encoded"]


class Encoded(bytes):
    """Bytes with their text in the eight form.

    :ivar text: the text.
    """

    text: bytes

    @classmethod
    def of(cls, data: bytes | memoryview, text: bytes) -> Encoded:
        """
        :param text: what ``data`` is in the eight form.
        """
        encoded = cls(data)
        encoded.text = text
        return encoded

    def behind(self, plain: int) -> Encoded:
        """What comes after the first ``plain`` bytes, none of which is escaped."""
        return Encoded.of(memoryview(self)[plain:], self.text[plain:])

    def with_head(self, plain: bytes) -> Encoded:
        """The same after ``plain``, in which nothing needs an escape."""
        return Encoded.of(plain + self, plain + self.text)
