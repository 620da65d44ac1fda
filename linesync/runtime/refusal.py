"""The line of text with which a hub or an agent refuses a new connection (docs/protocol.md, 4.10)."""

from __future__ import annotations

__all__ = ["REFUSAL_MOST", "read_refusal", "refusal"]

_MARK = "linesync refuses: "
REFUSAL_MOST = 1000  # bytes of text that a caller keeps until its session begins


def refusal(sentence: str) -> bytes:
    """The bytes that refuse a new connection for this reason."""
    return f"{_MARK}{sentence}\n".encode("utf-8", "replace")


def read_refusal(text: bytes) -> str:
    """The reason in the text that a caller received instead of frames; empty if the text is not a refusal."""
    for line in text.decode("utf-8", "replace").splitlines():
        if line.startswith(_MARK):
            return "".join(char for char in line[len(_MARK) :] if char.isprintable())
    return ""
