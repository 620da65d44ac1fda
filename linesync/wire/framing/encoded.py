"""Bytes that remember their text in the eight form, so that they can be forwarded without encoding them again.

A hub forwards the data of a file from one line to another. If both lines use the eight form
(:mod:`linesync.wire.framing.payload`), the received text is also the text to send; encoding it again would be a third of
the work. So the payload of a long bulk frame keeps its text while it passes from the receiving channel to the sending one,
unless it is divided or joined with other data. All other code treats it as ordinary bytes.
"""

from __future__ import annotations

__all__ = ["Encoded"]


class Encoded(bytes):
    """Bytes with their text in the eight form.

    :ivar text: that text.
    """

    text: bytes

    @classmethod
    def of(cls, data: bytes | memoryview, text: bytes) -> Encoded:
        """Attach a text to bytes.

        :param text: ``data`` in the eight form.
        """
        encoded = cls(data)
        encoded.text = text
        return encoded

    def behind(self, plain: int) -> Encoded:
        """The bytes after the first ``plain`` bytes, none of which is escaped."""
        return Encoded.of(memoryview(self)[plain:], self.text[plain:])

    def with_head(self, plain: bytes) -> Encoded:
        """The same bytes after ``plain``, in which no byte needs an escape."""
        return Encoded.of(plain + self, plain + self.text)
