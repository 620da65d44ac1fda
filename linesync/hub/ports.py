"""The ports of a hub, and the peer that has the line of each port.

A session may continue on another line: an adapter is moved to another port, or an agent calls over TCP while its serial line
is broken. The peer of the session then takes over the line, and the place of the peer that had the line. In exchange, that
peer gets the port that the session had before. So the peer of a port never has a line that belongs elsewhere, and the port
can open its own line again.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..runtime.peer import LineEnd, Peer

__all__ = ["Port", "Ports"]


class Port:
    """A port: its endpoint, and its peer at present."""

    def __init__(self, endpoint: str, peer: Peer) -> None:
        self.endpoint = endpoint
        self.peer = peer

    def receiver(self) -> LineEnd:
        """A receiver for a line that was opened on this port."""
        return self.peer.receiver()


class Ports:
    """All ports of a hub, by peer."""

    def __init__(self) -> None:
        self._ports: dict[Peer, Port] = {}  # bound: options

    def add(self, endpoint: str, peer: Peer) -> Port:
        port = self._ports[peer] = Port(endpoint, peer)
        return port

    def __contains__(self, peer: Peer) -> bool:
        return peer in self._ports

    def __iter__(self) -> Iterator[Port]:
        return iter(list(self._ports.values()))

    def endpoint(self, peer: Peer) -> str | None:
        """The endpoint of the port with this peer; None if it is not the peer of a port."""
        port = self._ports.get(peer)
        return port.endpoint if port is not None else None

    def swap(self, one: Peer, other: Peer) -> None:
        """The two peers change places. Each of them may be the peer of a port, or of an accepted line."""
        ports = self._ports.pop(one, None), self._ports.pop(other, None)
        for port, peer in zip(ports, (other, one), strict=True):
            if port is not None:
                port.peer = peer
                self._ports[peer] = port
