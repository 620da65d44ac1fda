"""Bytes together with their text in the eight form, so that a hub can forward them without encoding them again.

A hub forwards the data of a file from one line to another line. If both lines use the eight form
(:mod:`linesync.wire.framing.payload`), the received text is also the text to send. A second encoding would be a third of the
work. The payload of a long bulk frame therefore keeps its text on its way from the receiving channel to the sending channel,
unless it is divided or joined with other data. All other code treats the payload as ordinary bytes.
"""

from __future__ import annotations

__all__ = ["Encoded"]


class Encoded(bytes):
    """Bytes with their text in the eight form.

    :ivar text: the bytes in the eight form.
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
        """The bytes after the first ``plain`` bytes. None of the first bytes needs an escape."""
        return Encoded.of(memoryview(self)[plain:], self.text[plain:])

    def with_head(self, plain: bytes) -> Encoded:
        """The same bytes with ``plain`` before them. No byte of ``plain`` needs an escape."""
        return Encoded.of(plain + self, plain + self.text)
