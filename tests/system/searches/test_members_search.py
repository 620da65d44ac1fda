"""Compare barriers by members with a reference model, over lossy lines."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

from linesync.client.aio import Client

from .reference import Ask, Reference
from .search import Search, asking, profile


class Terms(NamedTuple):
    """The members of a barrier, whether it tolerates the loss of members, and whether members may restart."""

    members: set[str]
    tolerate: bool = False
    rejoin: bool = False


BARRIERS = {
    "pair": Terms({"a", "b"}, rejoin=True),
    "all": Terms({"a", "b", "hub"}),
    "tags": Terms({"a#1", "a#2", "b#1"}),
    "rest": Terms({"a", "b", "hub"}, tolerate=True),
}


class Arrive(NamedTuple):
    """An arrival or an abort, as the member ``host`` or ``host#tag``."""

    name: str
    tag: str
    abort: bool


class Barriers(Reference):
    """All members are released together as soon as their hosts are known to be alive. If a member is lost, restarts after
    it had arrived, or aborts, the barrier fails for all; members that had not arrived get the error when they arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: dict[str, dict[str, str]] = {name: {} for name in BARRIERS}  # by name: member to arrival
        self.host: dict[str, str] = {}
        self.lost_hosts: set[str] = set()
        self.restarted: dict[str, set[str]] = {name: set() for name in BARRIERS}  # members that are not waited for
        self.failed: dict[str, tuple[str, set[str]]] = {}  # by name: the error, and the members that still get it
        self.used = dict.fromkeys(BARRIERS, 0)

    def ask(self, arrival: str, host: str, what: Arrive) -> None:
        member = f"{host}#{what.tag}" if what.tag else host
        terms, arrived = BARRIERS[what.name], self.arrived[what.name]
        members = terms.members
        if member not in members or (member in arrived and not what.abort):
            self.answer_error(arrival, "Mismatch")
            return
        why, to_notify = self.failed.get(what.name, ("", set()))
        error = why if member in to_notify else ""
        to_notify.discard(member)
        if what.abort and not (error == "Aborted" and not arrived):
            self.answer_error(arrival, "Aborted")
            self.fail(what.name, "Aborted", {member})
        elif error:
            self.answer_error(arrival, error)
        elif not terms.tolerate and any(host_of(one) in self.lost_hosts for one in members - set(arrived) - {member}):
            self.answer_error(arrival, "MemberLost")
        else:
            arrived[member] = arrival
            self.restarted[what.name].discard(member)
            self.host[arrival] = host

    def fail(self, name: str, why: str, informed: set[str]) -> None:
        arrived = self.arrived[name]
        to_notify = BARRIERS[name].members - set(arrived) - informed
        if to_notify:
            self.failed[name] = why, to_notify
        for arrival in arrived.values():
            self.answer_error(arrival, why)
        arrived.clear()
        self.restarted[name].clear()

    def lost(self, host: str, cause: str) -> None:
        if cause != "restarted":
            self.lost_hosts.add(host)
        for name, terms in BARRIERS.items():
            gone = {member for member in terms.members if host_of(member) == host}
            if cause == "restarted":
                gone &= set() if terms.rejoin else set(self.arrived[name])
                self.restarted[name] |= gone if terms.tolerate else set()
            if gone and self.arrived[name] and not terms.tolerate:
                self.fail(name, "MemberLost", gone)

    def up(self, host: str) -> None:
        self.lost_hosts.discard(host)

    def leave(self, arrival: str) -> None:
        for name, arrived in self.arrived.items():
            self.arrived[name] = {member: one for member, one in arrived.items() if one != arrival}
            if not self.arrived[name]:
                self.restarted[name].clear()

    def missing(self, name: str) -> list[str]:
        terms = BARRIERS[name]
        absent = sorted(terms.members - set(self.arrived[name]) - self.restarted[name])
        return [member for member in absent if not (terms.tolerate and host_of(member) in self.lost_hosts)]

    def patience(self, arrival: str) -> float:
        return any(arrival in arrived.values() and not self.missing(name) for name, arrived in self.arrived.items())

    def own_steps(self) -> list[tuple[str, list[str]]]:
        complete = [(name, arrived) for name, arrived in self.arrived.items() if arrived and not self.missing(name)]
        return [(name, [self.host[arrival] for arrival in arrived.values()]) for name, arrived in complete]

    def take_step(self, name: str) -> None:
        arrived = self.arrived[name]
        self.used[name] += 1
        self.failed.pop(name, None)
        lost = tuple(sorted(BARRIERS[name].members - set(arrived)))
        for place, arrival in enumerate(arrived.values(), 1):
            self.answer_ok(arrival, (self.used[name], place, tuple(arrived), lost))
        arrived.clear()
        self.restarted[name].clear()

    def view(self) -> Any:
        return {name: list(arrived) for name, arrived in self.arrived.items() if arrived}


def host_of(member: str) -> str:
    return member.partition("#")[0]


class MemberSearch(Search):
    REFERENCE = Barriers
    ASKS = st.one_of(
        asking(st.builds(Arrive, st.sampled_from(["pair", "all", "rest"]), st.just(""), st.just(False))),
        asking(st.builds(Arrive, st.sampled_from(["pair", "all", "rest"]), st.just(""), st.just(False))),
        asking(st.builds(Arrive, st.just("tags"), st.sampled_from("12"), st.just(False))),
        asking(st.builds(Arrive, st.sampled_from(["pair", "all", "rest"]), st.just(""), st.booleans()), st.none()),
    )

    async def request(self, client: Client, ask: Ask) -> Any:
        terms = BARRIERS[ask.what.name]
        released = await client.barrier(
            ask.what.name,
            members=terms.members,
            tolerate_loss=terms.tolerate,
            rejoin=terms.rejoin,
            member=f"{ask.host}#{ask.what.tag}" if ask.what.tag else "",
            abort="it is over" if ask.what.abort else "",
            timeout=ask.timeout,
            arrival=ask.name,
        )
        return released.generation, released.position, released.parties, released.lost

    def view(self, status: dict[str, Any]) -> Any:
        return {row["name"]: [who["name"] for who in row["arrived"]] for row in status["barriers"]}


MemberSearch.TestCase.settings = profile()
TestMemberSearch = MemberSearch.TestCase
