"""Ids: a number, and behind an agent also the number of the script (docs/protocol.md, section 8.1)."""

from __future__ import annotations

from ..frozen_record import Record

__all__ = ["NOTE", "Id"]

NOTE = "-"
"""The number of a message that gets no answer."""


class Id(Record):
    """``N``, or ``N.S`` behind an agent. Before the dot, the id of a request has the sender's own number, and the id of a
    client of the hub has the number of its session."""

    number: str
    script: str = ""
    """The agent's number of the script; empty for the peer of the session itself."""

    @classmethod
    def read(cls, text: str) -> Id:
        """Read an id; any text is valid."""
        number, _, script = text.partition(".")
        return cls(number, script)

    def __str__(self) -> str:
        return f"{self.number}.{self.script}" if self.script else self.number
