"""The ports of a hub, and the peer object of each port.

A session may continue on another line: an adapter is moved to another port, or an agent calls over TCP while its serial line
is broken. The peer object of the session then gets the new line and its port. In exchange, the earlier peer object of the
new line gets the earlier port of the session. So each port has a peer object without the line of another port, and can open
its own line again.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..runtime.peer import LineEnd, Peer

__all__ = ["Port", "Ports"]


class Port:
    """A port: its endpoint and its current peer."""

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

    def swap(self, first: Peer, second: Peer) -> None:
        """Exchange the ports of two peers. A peer of an accepted line has no port."""
        ports = self._ports.pop(first, None), self._ports.pop(second, None)
        for port, peer in zip(ports, (second, first), strict=True):
            if port is not None:
                port.peer = peer
                self._ports[peer] = port
