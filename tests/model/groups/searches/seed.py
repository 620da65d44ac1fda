"""The service synchronisation of a cluster as each node runs it by itself: a reference, which imports no code of linesync.

Nodes send messages that all nodes get in the same order. There is no hub:

1. On a new ring, a node aborts the service that it is processing. It sends the list of its services, and waits for the lists of
   all nodes of the ring. A message of another ring is discarded.
2. The merged list is sorted. For each service in turn, a node that has it calls ``init``, then ``process`` until it is done, and
   then ``activate``. A node that lacks it does nothing. Then the node sends a barrier message.
3. When the barrier messages of all nodes have come, the next service begins. After the last one, the round is completed.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Cluster", "Node"]


class Node:
    """One node.

    :ivar log: ``("view", members)``, ``(kind, service)`` and ``("completed", -1)``.
    """

    def __init__(self, cluster: Cluster, name: str, services: tuple[int, ...]) -> None:
        self.cluster = cluster
        self.name = name
        self.services = services
        self.log: list[tuple[object, ...]] = []
        self.ring = 0
        self.members: tuple[str, ...] = ()
        self.list: list[int] = []
        self.at = 0
        self.heard: set[str] = set()
        self.state = "building"  # then "process", "barrier", "over"
        self.calls = 0

    def new_ring(self, ring: int, members: tuple[str, ...]) -> None:
        """Handle a configuration change."""
        if self.state == "process" and self.calls:
            self.log.append(("abort", self.list[self.at]))
        self.ring, self.members = ring, members
        self.log.append(("view", members))
        self.state, self.list, self.at, self.calls, self.heard = "building", [], 0, 0, set()
        self.cluster.send(self.name, ring, self.services)

    def receive(self, sender: str, ring: int, services: tuple[int, ...] | None) -> None:
        """Handle a message: a list of services, or a barrier message."""
        if ring != self.ring:
            return
        if services is not None:
            self.list = sorted({*self.list, *services})
        self.heard.add(sender)
        if self.heard < set(self.members):
            return
        self.heard = set()
        if services is None:
            self.at += 1
        if self.at == len(self.list):
            self.state = "over"
            self.log.append(("completed", -1))
            return
        self.state, self.calls = "process", 0
        if self.list[self.at] not in self.services:
            self.barrier()

    def barrier(self) -> None:
        self.state = "barrier"
        self.cluster.send(self.name, self.ring, None)

    def work(self) -> None:
        """Call ``process`` once, with ``init`` before the first call and ``activate`` after the last call."""
        if self.state != "process":
            return
        service = self.list[self.at]
        if not self.calls:
            self.log.append(("init", service))
        self.calls += 1
        self.log.append(("process", service))
        if self.calls > self.cluster.again(self.name, self.ring, service):
            self.log.append(("activate", service))
            self.barrier()


class Cluster:
    """All nodes, and the messages between them.

    :param again: returns how often ``process`` asks to be called again: (node, ring, service) to a number.
    """

    def __init__(self, again: Callable[[str, int, int], int]) -> None:
        self.again = again
        self.nodes: dict[str, Node] = {}
        self.ring = 0
        self._messages: list[tuple[str, int, tuple[int, ...] | None]] = []

    def send(self, sender: str, ring: int, services: tuple[int, ...] | None) -> None:
        self._messages.append((sender, ring, services))

    def deliver(self) -> None:
        """Deliver the messages to all nodes in their order."""
        while self._messages:
            message = self._messages.pop(0)
            for node in self.nodes.values():
                node.receive(*message)

    def change(self) -> None:
        """Form a new ring, because the nodes have changed."""
        self.ring += 1
        self._messages.clear()
        for node in self.nodes.values():
            node.new_ring(self.ring, tuple(self.nodes))
        self.deliver()

    def join(self, name: str, services: tuple[int, ...]) -> Node:
        node = self.nodes[name] = Node(self, name, services)
        self.change()
        return node

    def leave(self, name: str) -> None:
        del self.nodes[name]
        self.change()

    def work(self, name: str) -> None:
        self.nodes[name].work()
        self.deliver()
