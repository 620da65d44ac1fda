"""Claims: tests get hosts, first come, first served, all hosts of a request or none.

The rules for the choice of the hosts and their order are in :mod:`.candidates`. In addition:

1. A grant is provisional until the client confirms it. If the client disconnects before that, the hosts are free again.
2. A role is unique in its test, also among the requests that wait. A test cannot ask for a host that it already uses, because
   it would wait for itself.
3. A request can be part of a deadlock, because a test owns its hosts. The owner of the test can release them. If the owner is
   a client, it can do so unless it waits itself. If the owner is a process or a host, it can do so unless all requests for
   hosts of this test wait: they are made on its behalf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

from ....errors import LinesyncError, LinesyncFailed, MemberLost, Mismatch, UsageError
from ...decisions import ArrivalId, Objects, Outcome
from ...hosts.membership import Membership
from ...kept.waits import AtClaim
from ...participants import Cause, Client, cause_in_words, check_host, check_name, check_timeout
from ...state.testbus import ClaimingState, Want
from ...sync.place import Acting, Edge, Wait
from ...sync.waits import Waits
from ..checks import ROLES_MAX, check_role
from ..objects import Claim, Host, Node, Test
from ..tree import Tree, root_of
from .candidates import Candidates, Room
from .matching import match
from .request import Request

__all__ = ["Claims"]

EDGES_MAX = 100  # the maximum number of hosts that are examined for the reasons of one deadlock


class Claims:
    """The requests of all tests for hosts.

    :ivar remove: deletes claims and everything below them.
    :ivar candidates: the live hosts that fit a want.
    """

    remove: Callable[[Iterable[Node]], object]

    def __init__(self, tree: Tree, waits: Waits, hosts: Membership) -> None:
        self._tree = tree
        self._waits = waits
        self._hosts = hosts
        self._queue: dict[Request, None] = {}
        self._granted: dict[Request, None] = {}
        self.candidates = Candidates(tree, hosts)

    def __len__(self) -> int:
        return len(self._queue)

    def claim(
        self,
        arrival: ArrivalId,
        test: Callable[[], Test],
        wants: tuple[Want, ...],
        client: Client,
        now: float,
        timeout: float | None,
    ) -> list[Outcome]:
        """Ask for hosts.

        :param test: returns the test, or raises for an unknown handle.
        :param timeout: seconds; 0 polls, None waits without limit.
        :returns: :class:`Objects`, provisional; an empty list while it waits; else its failure: UsageError (an invalid
            role, name or timeout), Mismatch (a role or a host that the test already has), TimedOut, MemberLost and
            LinesyncFailed (polls of hosts that are in use, lost or not known).
        """

        def join() -> list[Outcome]:
            check_timeout(timeout)
            request = Request(self, test(), wants)
            self._check(request)
            if timeout == 0 and (now < self._waits.holds_from or self._chosen(request) is None):
                raise self._refused(request)
            request.wait = self._waits.open(arrival, client, request, client.host, now, timeout)
            self._queue[request] = None
            return self.settle(now)

        return self._waits.admit(arrival, client, now, join)

    def _check(self, request: Request) -> None:
        """Refuse a request that can never be met."""
        wants, test = request.wants, request.test
        if not wants:
            raise UsageError(f"a claim for {test} needs at least one host")
        asking = [other for other in chain(self._queue, self._granted) if other.test is test]
        roles = {want.role for other in asking for want in other.wants} | test.claims.keys()
        if len(roles) + len(wants) > ROLES_MAX:
            raise LinesyncFailed(
                f"{test} uses or asks for {len(roles)} hosts, and the limit is {ROLES_MAX}; release some"
            )
        names: set[str] = set()
        for want in wants:
            check_role(want.role)
            for capability in want.capabilities:
                check_name("capability", capability)
            if want.role in roles:
                raise Mismatch(f"the role '{want.role}' is taken in {test}; use another role, or release it first")
            roles.add(want.role)
            if want.host:
                check_host(want.host)
                if want.host in names:
                    raise UsageError(f"a claim cannot ask for host {want.host} twice")
                names.add(want.host)
                self._refuse_own(request, want)
        self._tree.check_room(test, len(wants))

    def _refuse_own(self, request: Request, want: Want) -> None:
        host = self._tree.hosts.get(want.host)
        for claim in host.users.values() if host is not None else ():
            if root_of(claim) is request.root and not (claim.share and want.share):
                raise Mismatch(
                    f"{claim.test} already uses host {want.host} in the role '{claim.name}'; use this claim"
                    f" ({claim.handle}), or release it first"
                )

    def _chosen(self, request: Request) -> list[Host] | None:
        """The hosts that a new request would get now, or None."""
        room = Room(self.candidates)
        for earlier in self._queue:
            if not room:
                return None
            room.reserve(earlier)
        return room.choose(request)

    def _refused(self, request: Request) -> LinesyncError:
        """The error for a request that does not wait and cannot be met now."""
        error = request.unmet("poll failed at")
        for want in request.wants:
            if want.host and (cause := self._hosts.absent(want.host)) is not None:
                if cause is Cause.NEVER_SEEN:
                    why = "the hub has never seen it; check its name, or start its agent"
                    return LinesyncFailed(f"host {want.host} cannot be claimed: {why}", details=error.details)
                return MemberLost(f"host {want.host} cannot be claimed: it is lost ({cause})", details=error.details)
        return error

    # -- granting ------------------------------------------------------------------------------------------------------

    def settle(self, now: float) -> list[Outcome]:
        """Grant the requests that can be met, in order."""
        if not self._queue or now < self._waits.holds_from:
            return []
        outcomes: list[Outcome] = []
        while granted := self._pass(now):  # a test that got a host may then get hosts that are reserved
            outcomes += granted
        return outcomes

    def _pass(self, now: float) -> list[Outcome]:
        """Examine all requests once, in order."""
        granted: list[Outcome] = []
        room = Room(self.candidates)
        for request in list(self._queue):
            if not room:
                break
            hosts = room.choose(request)
            if hosts is None:
                room.reserve(request)
            else:
                room.take(request, hosts)
                granted.append(self._grant(request, hosts, now))
        return granted

    def _grant(self, request: Request, hosts: list[Host], now: float) -> Outcome:
        del self._queue[request]
        self._granted[request] = None
        for want, host in zip(request.wants, hosts, strict=True):
            number = self._tree.next_number()
            claim = Claim(number=number, name=want.role, parent=request.test, host=host, share=want.share, since=now)
            self._tree.add(claim)
            request.claims.append(claim)
            self._waits.note("host claimed", request.key, host.name, client=request.wait.client)
        value = Objects(
            handles=tuple([claim.handle for claim in request.claims]), hosts=tuple([host.name for host in hosts])
        )
        return self._waits.grant(request.wait, value, now, provisional=True)

    # -- the end of requests -------------------------------------------------------------------------------------------

    def left(self, request: Request, cause: Cause) -> None:
        """Handle the end of a request: it no longer waits, or its hosts are free again."""
        self._queue.pop(request, None)
        if self._granted.pop(request, request) is None:
            claims, request.claims = request.claims, []
            self.remove(claims)

    def done(self, request: Request) -> None:
        """Record that the client has confirmed the hosts of a request."""
        del self._granted[request]

    def gone(self, claim: Claim) -> None:
        """Remove a deleted claim from the request that got it."""
        for request in self._granted:
            if claim in request.claims:
                request.claims.remove(claim)
                self._waits.journal.mark("wait", request.wait.number)

    def of_tests(self, tests: set[Node]) -> list[Wait]:
        """The waits of the requests of these tests."""
        return [request.wait for request in chain(self._queue, self._granted) if request.test in tests]

    # -- reasons -------------------------------------------------------------------------------------------------------

    def missing(self, request: Request) -> list[str]:
        """For each want of a request, the reason why it does not have its host, as a clause."""
        return [self._why(request, want) for want in request.wants]

    def _why(self, request: Request, want: Want) -> str:
        found = self.candidates.of(want)
        if want.host:
            lost = self._hosts.lost(want.host)
            if lost is not None:
                return f"host {want.host} is lost ({cause_in_words(*lost)})"
            if self._hosts.absent(want.host) is not None:
                return f"host {want.host} was never seen"
            if not found:
                return f"host {want.host} does not have the capabilities"
        elif not found:
            return f"no {'host' if str(want) == 'any host' else str(want).removeprefix('a ')} is up"
        free = [host for host in found if (host.sharable if want.share else host.free)]
        if free:
            return f"{want} is free, but an earlier claim waits for it, or another host of this claim is missing"
        users = [str(claim.test) for host in found for claim in host.users.values()]
        if not users:
            return f"{want} is not free yet, because processes of an earlier test may still run there"
        return f"{want} is in use by {users[0]}" if len(found) == 1 else f"{want} is in use ({len(found)} fit)"

    def states(self, now: float) -> list[ClaimingState]:
        """The requests that wait, in order."""
        return [request.state(now) for request in self._queue]

    # -- deadlocks -----------------------------------------------------------------------------------------------------

    def could_proceed(self, request: Request, acting: Acting) -> bool:
        """Whether a request could be met if every owner that can act released its hosts."""
        if not self.candidates.could_meet(request):
            return True  # a host may come up
        count = len(request.wants)
        released = _Released(self, self._ahead(request, acting), acting)
        lists = [
            list(islice((host for host in self.candidates.of(want) if released.has(want, host)), count))
            for want in request.wants
        ]
        return match(lists) is not None

    def edges(self, request: Request, acting: Acting) -> Iterator[Edge]:
        """The tests and the earlier requests that a request waits for and that cannot act."""
        ahead = self._ahead(request, acting)
        for want in request.wants:
            for host in islice(self.candidates.of(want), EDGES_MAX):
                for claim in host.users.values():
                    if not (claim.share and want.share) and not self.acts(root_of(claim), acting):
                        waits = self._waits_of(root_of(claim), acting)
                        yield Edge(tuple(waits), f"host {host.name}, which {claim.test} uses")
            for earlier in ahead:
                if any(self.candidates.set_of(other) & self.candidates.set_of(want) for other in earlier.wants):
                    yield Edge((earlier.wait,), f"{want}, for which {earlier.title} came first")

    def _ahead(self, request: Request, acting: Acting) -> list[Request]:
        """The earlier requests that reserve hosts against a request and that cannot proceed."""
        found = []
        for earlier in self._queue:
            if earlier is request:
                break
            if not acting.client(earlier.wait.client) and self.candidates.could_meet(earlier, without=request.root):
                found.append(earlier)
        return found

    def acts(self, root: Node, acting: Acting) -> bool:
        """Whether the owner of a test can release its hosts."""
        client = _client_of(root)
        if client is not None:
            return acting.client(client)
        asking = [request for request in self._queue if request.root is root]
        return not asking or any(acting.client(request.wait.client) for request in asking)

    def _waits_of(self, root: Node, acting: Acting) -> list[Wait]:
        client = _client_of(root)
        if client is not None:
            return acting.client_waits(client)
        return [request.wait for request in self._queue if request.root is root]

    # -- storing -------------------------------------------------------------------------------------------------------

    def place(self, at: AtClaim) -> Request:
        """The request of a stored wait.

        :raises KeyError: its test is not stored.
        """
        test = self._tree.get(f"test{at.test}")
        assert isinstance(test, Test)
        return Request(self, test, at.wants)

    def restored(self, request: Request, wait: Wait, claims: tuple[int, ...]) -> None:
        """Add a stored request, which waits or has claims that are not confirmed."""
        request.wait = wait
        for number in claims:
            claim = self._tree.get(f"claim{number}")
            if not isinstance(claim, Claim) or claim.test is not request.test:
                raise ValueError(f"the claim {number} is not a claim of {request.test}")
            request.claims.append(claim)
        if wait.granted is None:
            self._queue[request] = None
        else:
            self._granted[request] = None


class _Released:
    """The hosts that a request could get if every owner that can act released its hosts."""

    def __init__(self, claims: Claims, ahead: list[Request], acting: Acting) -> None:
        self._claims = claims
        self._acting = acting
        self._reserved: set[Host] = set()
        self._reserved_shared: set[Host] = set()
        for earlier in ahead:
            for want in earlier.wants:
                hosts = claims.candidates.set_of(want)
                self._reserved |= hosts
                if not want.share:
                    self._reserved_shared |= hosts

    def has(self, want: Want, host: Host) -> bool:
        """Whether a want could get a host."""
        if host in (self._reserved_shared if want.share else self._reserved):
            return False
        return all(
            (claim.share and want.share) or self._claims.acts(root_of(claim), self._acting)
            for claim in host.users.values()
        )


def _client_of(root: Node) -> Client | None:
    """The client that owns a test; None if a process or a host owns it."""
    assert isinstance(root, Test) and root.owner is not None
    return root.owner.client if not root.keep and not root.owner.pid else None
