"""The hosts that a request may get, and the hosts that earlier requests reserve.

1. A want names a host, or capabilities, or neither. The controller itself is a candidate only if a want names it.
2. The candidates of a want are the live hosts that it fits. A host with few capabilities comes first, so that special hosts
   stay free for the requests that need them; among these, the host that was seen first.
3. Requests are examined in the order of their arrival (:class:`Room`). A request that can be met with different free hosts
   gets them. Otherwise, if the live hosts could meet it when no test used them, it *reserves* all of its candidates: no later
   request gets them. It therefore gets its hosts as soon as they are released. A request that needs a host that is down
   reserves nothing, and therefore does not block the bus.
4. A test that already has hosts may still get reserved hosts, if the reserving request cannot be met without the hosts
   of this test. Otherwise the two would wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import Protocol

from ...hosts.membership import Membership
from ...participants import HUB
from ...state.testbus import Want
from ..objects import Host, Node
from ..tree import Tree, root_of
from .matching import match

__all__ = ["Asking", "Candidates", "Room"]


class Asking(Protocol):
    """The part of a request that this module uses."""

    @property
    def wants(self) -> Sequence[Want]: ...
    @property
    def root(self) -> Node: ...


class Candidates:
    """The live hosts that fit a want. The lists are kept until a host comes, goes, or publishes other capabilities."""

    def __init__(self, tree: Tree, hosts: Membership) -> None:
        self._tree = tree
        self._hosts = hosts
        self._version = (-1, -1)
        self._live: list[Host] = []
        self._able: dict[str, dict[Host, None]] = {}
        """The live hosts with each capability."""
        self._lists: dict[tuple[str, tuple[str, ...]], list[Host]] = {}
        self._sets: dict[tuple[str, tuple[str, ...]], frozenset[Host]] = {}

    def live(self) -> list[Host]:
        """All live hosts, in the order of preference."""
        self._refresh()
        return self._live

    def _refresh(self) -> None:
        version = (self._hosts.version, self._tree.version)
        if version == self._version:
            return
        self._version = version
        self._able, self._lists, self._sets = {}, {}, {}
        found = [
            (len(self._hosts.capabilities(host.name)), host.number, host)
            for host in self._tree.hosts.values()
            if self._hosts.absent(host.name) is None
        ]
        self._live = [host for _, _, host in sorted(found, key=lambda one: one[:2])]
        for host in self._live:
            for capability in self._hosts.capabilities(host.name):
                self._able.setdefault(capability, {})[host] = None

    def of(self, want: Want) -> list[Host]:
        """The candidates of a want, the best first."""
        self._refresh()
        key = (want.host, want.capabilities)
        if key not in self._lists:
            self._lists[key] = self._find(want)
        return self._lists[key]

    def set_of(self, want: Want) -> frozenset[Host]:
        """The candidates of a want."""
        self._refresh()
        key = (want.host, want.capabilities)
        if key not in self._sets:
            self._sets[key] = frozenset(self.of(want))
        return self._sets[key]

    def _find(self, want: Want) -> list[Host]:
        if want.host:
            host = self._tree.hosts.get(want.host)
            up = host is not None and self._hosts.absent(host.name) is None
            able = up and set(want.capabilities) <= set(self._hosts.capabilities(want.host))
            return [host] if able and host is not None else []
        if not want.capabilities:
            return [host for host in self._live if host.name != HUB]
        tables = [self._able.get(capability, {}) for capability in want.capabilities]
        smallest = min(tables, key=len)
        return [host for host in smallest if host.name != HUB and all(host in table for table in tables)]

    def could_meet(self, request: Asking, without: Node | None = None) -> bool:
        """Whether the live hosts could meet a request if no test used them.

        :param without: a test whose hosts do not count; None if all hosts count.
        """
        count = len(request.wants)
        lists = []
        for want in request.wants:
            found: Iterable[Host] = self.of(want)
            if without is not None:
                found = (host for host in found if all(root_of(claim) is not without for claim in host.users.values()))
            lists.append(list(islice(found, count)))
        return match(lists) is not None


class Room:
    """The hosts that are free for the requests of one pass, which are examined in their order."""

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates
        live = candidates.live()
        self._free = {host for host in live if host.free}
        self._sharable = {host for host in live if host.sharable}
        self._open_free, self._open_sharable = set(self._free), set(self._sharable)
        self._reserving: list[Asking] = []
        """The requests that reserve hosts."""
        self._closed: set[tuple[frozenset[Host], bool]] = set()
        """The sets of hosts that are reserved, and whether shared requests may still get them."""

    def __bool__(self) -> bool:
        """Whether a later request could get a host."""
        return bool(self._sharable)

    def choose(self, request: Asking) -> list[Host] | None:
        """Choose a different free host for each want, or None."""
        found = self._match(request, self._open_free, self._open_sharable)
        if found is not None or not self._reserving or self._match(request, self._free, self._sharable) is None:
            return found
        free, sharable = set(self._free), set(self._sharable)
        for earlier in self._reserving:
            if self._candidates.could_meet(earlier, without=request.root):
                for want in earlier.wants:
                    free -= self._candidates.set_of(want)
                    sharable -= frozenset() if want.share else self._candidates.set_of(want)
        return self._match(request, free, sharable)

    def _match(self, request: Asking, free: Collection[Host], sharable: Collection[Host]) -> list[Host] | None:
        """Match a request with these hosts. As many candidates as there are wants are enough for each want."""
        count = len(request.wants)
        lists = []
        for want in request.wants:
            allowed = sharable if want.share else free
            found = list(islice((host for host in self._candidates.of(want) if host in allowed), count))
            if not found:
                return None
            lists.append(found)
        return match(lists)

    def reserve(self, request: Asking) -> None:
        """Reserve the candidates of a waiting request, so that no later request gets them."""
        if not self._candidates.could_meet(request):
            return
        self._reserving.append(request)
        for want in request.wants:
            hosts = self._candidates.set_of(want)
            if (hosts, want.share) not in self._closed:
                self._closed.add((hosts, want.share))
                self._open_free -= hosts
                self._open_sharable -= frozenset() if want.share else hosts

    def take(self, request: Asking, hosts: Iterable[Host]) -> None:
        """Give these hosts to a request, in the order of its wants."""
        for want, host in zip(request.wants, hosts, strict=True):
            self._free.discard(host)
            self._open_free.discard(host)
            if not want.share:
                self._sharable.discard(host)
                self._open_sharable.discard(host)
