"""The line between the tester and the endpoint under test."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Wire"]


class Wire(Protocol):
    """A line as the tester uses it. The tester waits only in :meth:`receive`."""

    shared: bool
    """Whether other stations may use the line, as on a serial line. Otherwise the line is a clean pipe."""

    def now(self) -> float:
        """The time of a monotonic clock, in seconds."""

    def send(self, data: bytes) -> None:
        """Send bytes to the endpoint."""

    def receive(self, seconds: float) -> bytes:
        """Wait for bytes of the endpoint for at most this time. Returns b"" if none arrive."""
