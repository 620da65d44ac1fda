"""Compare barriers by members with a reference, over lossy lines."""

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


TERMS = {
    "pair": Terms({"a", "b"}, rejoin=True),
    "all": Terms({"a", "b", "hub"}),
    "tags": Terms({"a#1", "a#2", "b#1"}),
    "rest": Terms({"a", "b", "hub"}, tolerate=True),
}


class Arrive(NamedTuple):
    """An arrival or an abort, as the host itself or with a tag."""

    name: str
    tag: str
    abort: bool


class Barriers(Reference):
    """All members are released together as soon as their hosts are known to be alive. If a member is lost, restarts after
    it had arrived, or aborts, the barrier fails for all; members that had not arrived get the error when they arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.there: dict[str, dict[str, str]] = {name: {} for name in TERMS}  # name to member to arrival
        self.host: dict[str, str] = {}
        self.dead: set[str] = set()
        self.restarted: dict[str, set[str]] = {name: set() for name in TERMS}  # members that are not waited for
        self.failed: dict[str, tuple[str, set[str]]] = {}  # by name: why, and the members that still get the error
        self.used = dict.fromkeys(TERMS, 0)

    def ask(self, arrival: str, host: str, what: Arrive) -> None:
        member = f"{host}#{what.tag}" if what.tag else host
        terms, there = TERMS[what.name], self.there[what.name]
        members = terms.members
        if member not in members or (member in there and not what.abort):
            self.no(arrival, "Mismatch")
            return
        why, owed = self.failed.get(what.name, ("", set()))
        late = why if member in owed else ""
        owed.discard(member)
        if what.abort and not (late == "Aborted" and not there):
            self.no(arrival, "Aborted")
            self.fail(what.name, "Aborted", {member})
        elif late:
            self.no(arrival, late)
        elif not terms.tolerate and any(host_of(one) in self.dead for one in members - set(there) - {member}):
            self.no(arrival, "MemberLost")
        else:
            there[member] = arrival
            self.restarted[what.name].discard(member)
            self.host[arrival] = host

    def fail(self, name: str, why: str, informed: set[str]) -> None:
        there = self.there[name]
        owed = TERMS[name].members - set(there) - informed
        if owed:
            self.failed[name] = why, owed
        for arrival in there.values():
            self.no(arrival, why)
        there.clear()
        self.restarted[name].clear()

    def lost(self, host: str, cause: str) -> None:
        if cause != "restarted":
            self.dead.add(host)
        for name, terms in TERMS.items():
            gone = {member for member in terms.members if host_of(member) == host}
            if cause == "restarted":
                gone &= set() if terms.rejoin else set(self.there[name])
                self.restarted[name] |= gone if terms.tolerate else set()
            if gone and self.there[name] and not terms.tolerate:
                self.fail(name, "MemberLost", gone)

    def up(self, host: str) -> None:
        self.dead.discard(host)

    def leave(self, arrival: str) -> None:
        for name, there in self.there.items():
            self.there[name] = {member: one for member, one in there.items() if one != arrival}
            if not self.there[name]:
                self.restarted[name].clear()

    def missing(self, name: str) -> list[str]:
        terms = TERMS[name]
        absent = sorted(terms.members - set(self.there[name]) - self.restarted[name])
        return [member for member in absent if not (terms.tolerate and host_of(member) in self.dead)]

    def patience(self, arrival: str) -> float:
        return any(arrival in there.values() and not self.missing(name) for name, there in self.there.items())

    def moves(self) -> list[tuple[str, list[str]]]:
        complete = [(name, there) for name, there in self.there.items() if there and not self.missing(name)]
        return [(name, [self.host[arrival] for arrival in there.values()]) for name, there in complete]

    def move(self, name: str) -> None:
        there = self.there[name]
        self.used[name] += 1
        self.failed.pop(name, None)
        lost = tuple(sorted(TERMS[name].members - set(there)))
        for place, arrival in enumerate(there.values(), 1):
            self.yes(arrival, (self.used[name], place, tuple(there), lost))
        there.clear()
        self.restarted[name].clear()

    def view(self) -> Any:
        return {name: list(there) for name, there in self.there.items() if there}


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
        terms = TERMS[ask.what.name]
        got = await client.barrier(
            ask.what.name,
            members=terms.members,
            tolerate_loss=terms.tolerate,
            rejoin=terms.rejoin,
            member=f"{ask.host}#{ask.what.tag}" if ask.what.tag else "",
            abort="it is over" if ask.what.abort else "",
            timeout=ask.timeout,
            arrival=ask.name,
        )
        return got.generation, got.position, got.parties, got.lost

    def view(self, status: dict[str, Any]) -> Any:
        return {row["name"]: [who["name"] for who in row["arrived"]] for row in status["barriers"]}


MemberSearch.TestCase.settings = profile()
TestMemberSearch = MemberSearch.TestCase
