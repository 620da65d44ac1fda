"""Several links on one shared line, for tests with other stations or two hubs."""

from __future__ import annotations

import random
from typing import Any

from linesync.testing.virtual_line import tokens
from linesync.wire.events import Event
from linesync.wire.link import Link
from linesync.wire.reliability.handshake import LocalParameters

__all__ = ["Bus"]

_STEP = 0.005


class Bus:
    """Links by name on a shared medium without collisions. All other links receive the bytes of a link 5 ms later."""

    def __init__(self, **roles: str) -> None:
        self.now = 0.0
        self.events: dict[str, list[Event]] = {}
        self.links: dict[str, Link] = {}
        self.deaf: set[str] = set()  # the links that receive nothing
        for name, role in roles.items():
            self.add(name, role)

    def add(self, name: str, role: str) -> Link:
        """Add a link, or replace the link with the same name."""
        token = tokens(random.Random(f"{name} {self.now}"))
        link = Link(LocalParameters(role=role, boot=token(), frame=2048, credit=1 << 16, flags="n"), token)
        link.line_up(self.now, byte_rate=11520.0, shared=True)
        self.links[name] = link
        self.events.setdefault(name, [])
        return link

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self.now < until:
            sent = {name: link.data_to_send(self.now) for name, link in self.links.items()}
            self.now += _STEP
            for name, link in self.links.items():
                for other, data in sent.items():
                    if other != name and data and name not in self.deaf:
                        self.events[name] += link.receive_data(data, self.now)
                self.events[name] += link.handle_timer(self.now)

    def seen(self, name: str, kind: type[Event]) -> list[Any]:
        return [event for event in self.events[name] if isinstance(event, kind)]
