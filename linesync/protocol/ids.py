"""The ids of requests and clients: a number, and for a script of an agent also the number of the script
(docs/protocol.md, section 8.1)."""

from __future__ import annotations

from ..frozen_record import Record

__all__ = ["NOTE", "Id"]

NOTE = "-"
"""The id of a note, which gets no answer."""


class Id(Record):
    """``N``, or ``N.S`` for a script S of an agent. In the id of a request, N is the number that the sender chose. In the id
    of a client of the hub, N is the number of its session."""

    number: str
    script: str = ""
    """The agent's number of the script; empty for the peer of the session itself."""

    @classmethod
    def read(cls, text: str) -> Id:
        """Read an id. Any text is valid."""
        number, _, script = text.partition(".")
        return cls(number, script)

    def __str__(self) -> str:
        return f"{self.number}.{self.script}" if self.script else self.number
