"""Links on clean pipes in memory. Each byte that one link sends reaches the other link immediately."""

from __future__ import annotations

from itertools import count

from linesync.wire.events import Event
from linesync.wire.link import Link
from linesync.wire.reliability.handshake import LocalParameters

__all__ = ["Pipes"]


class Pipes:
    """Links in pairs: the first and the second share a pipe, the third and the fourth another one."""

    def __init__(self, *locals_: LocalParameters) -> None:
        tokens = (f"token{number:03}" for number in count())
        self.ends = [Link(local, lambda: next(tokens)) for local in locals_]
        self.sent = [b""] * len(self.ends)
        """All bytes that each link has sent."""
        self.now = 0.0
        for end in self.ends:
            end.line_up(0.0)

    def run(self, seconds: float) -> None:
        """Advance the clock in steps, and carry the bytes across."""
        until = self.now + seconds
        while self.now < until:
            self.now += 0.001
            for at, end in enumerate(self.ends):
                while data := end.data_to_send(self.now):
                    self.sent[at] += data
                    self.take(at ^ 1, self.ends[at ^ 1].receive_data(data, self.now))
                self.take(at, end.handle_timer(self.now))

    def take(self, at: int, events: list[Event]) -> None:
        """Handle the events of the link with this index."""
        raise NotImplementedError
