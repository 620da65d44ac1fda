"""The sender of a request."""

from __future__ import annotations

from .record import State

__all__ = ["Principal"]


class Principal(State):
    """The sender of a request."""

    line: str
    """the line on which the request came, as the hub names it"""
    host: str
    """the host; ``hub`` for the controller's own scripts"""
    script: str = ""
    """the number of the script on the host; empty for the host's agent itself"""
    uid: int | None = None
    """the user id at the other end of a unix socket of the hub's machine; ``null`` if it is not known"""

    def __str__(self) -> str:
        sender = f"script {self.script} on {self.host}" if self.script else f"the agent of {self.host}"
        user = f" (uid {self.uid})" if self.uid is not None else ""
        return f"{sender}{user}, line {self.line}"
