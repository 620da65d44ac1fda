"""Compare exchanges with a reference model, over lossy lines.

A script opens one channel for each of its exchanges, and the hub treats each channel as a separate client. A channel ends
when its script is killed or cancels the exchange, and when another channel repeats the same arrival. The arrival of a
member's data at the hub is a step without a request.
"""

from __future__ import annotations

import math
import zlib
from typing import Any, NamedTuple

from hypothesis import strategies as st

from linesync.client.aio import Client

from .reference import Ask, Attempt, Reference, Script, State
from .search import Search, asking, profile, repeat

MEMBERS = {
    "pair": {"a", "b"},
    "all": {"a", "b", "hub"},
    "tags": {"a#1", "a#2", "b#1"},
}
"""The members of each exchange."""
SIZES = st.sampled_from([0, 3, 40, 40, 700, 1500, 3000])


class Give(NamedTuple):
    """A request that gives ``size`` bytes, as the member ``host`` or ``host#tag``."""

    name: str
    tag: str
    size: int


class Exchanges(Reference):
    """Each member gets the data of all members.

    If a member is lost before its data has arrived, the exchange fails for all. Members that had not arrived get the error
    once. The loss of a member whose data has arrived has no effect. A member that cancels or times out withdraws its data.
    """

    def __init__(self) -> None:
        super().__init__()
        self.arrived: dict[str, dict[str, str]] = {name: {} for name in MEMBERS}
        """For each exchange: member to arrival."""
        self.data: dict[str, dict[str, str]] = {name: {} for name in MEMBERS}
        """For each exchange: member to arrival, for the members whose data has arrived."""
        self.host: dict[str, str] = {}
        self.size: dict[str, int] = {}
        self.polls: set[str] = set()
        """The arrivals with timeout 0."""
        self.killed: set[str] = set()
        """The arrivals whose script was killed or whose host is lost."""
        self.failed: dict[str, set[str]] = {name: set() for name in MEMBERS}
        """For each exchange: the members that were just lost before they gave their data."""
        self.lost_hosts: set[str] = set()
        self.to_notify: dict[str, set[str]] = {name: set() for name in MEMBERS}
        """For each exchange: the members that get the error of the last failure when they arrive."""

    def ask(self, arrival: str, host: str, what: Give) -> None:
        member, members = f"{host}#{what.tag}" if what.tag else host, MEMBERS[what.name]
        arrived, data = self.arrived[what.name], self.data[what.name]
        others = members - {member}
        if member not in members or member in arrived:
            self.answer_error(arrival, "Mismatch")
        elif member in self.to_notify[what.name]:
            self.to_notify[what.name].discard(member)
            self.answer_error(arrival, "MemberLost")
        elif not arrived and not data and any(host_of(other) in self.lost_hosts for other in others):
            self.answer_error(arrival, "MemberLost")
        elif arrival in self.polls and not others <= set(data):
            self.answer_error(arrival, "TimedOut")
        else:
            arrived[member] = arrival
            data.pop(member, None)
            self.host[arrival], self.size[arrival] = host, what.size

    def own_steps(self) -> list[tuple[Any, list[str]]]:
        return [
            ((name, member), [self.host[arrival]])
            for name, arrived in self.arrived.items()
            for member, arrival in arrived.items()
            if member not in self.data[name]
        ]

    def take_step(self, what: Any) -> None:
        """A member's data has arrived."""
        name, member = what
        arrived, data = self.arrived[name], self.data[name]
        data[member] = arrived[member]
        if set(data) == MEMBERS[name]:
            value = {giver: sum_of(data_of(arrival, self.size[arrival])) for giver, arrival in data.items()}
            for arrival in arrived.values():
                self.answer_ok(arrival, value)
            self.forget(name)
            self.to_notify[name] = set()
        elif arrived[member] in self.polls:
            self.answer_error(arrived.pop(member), "TimedOut")
            del data[member]

    def leave(self, arrival: str) -> None:
        for name, arrived in self.arrived.items():
            for member in [member for member, one in arrived.items() if one == arrival]:
                del arrived[member]
                if arrival not in self.killed:
                    self.data[name].pop(member, None)
                elif member not in self.data[name]:
                    self.failed[name].add(member)

    def settle(self) -> None:
        for name, members in self.failed.items():
            if members:
                self.fail(name, members)

    def fail(self, name: str, informed: set[str]) -> None:
        for arrival in self.arrived[name].values():
            self.answer_error(arrival, "MemberLost")
        self.to_notify[name] = MEMBERS[name] - set(self.arrived[name]) - informed or self.to_notify[name]
        self.forget(name)

    def forget(self, name: str) -> None:
        self.arrived[name], self.data[name], self.failed[name] = {}, {}, set()

    def lost(self, host: str, cause: str) -> None:
        fatal = cause != "restarted"
        self.lost_hosts |= {host} if fatal else set()
        self.killed |= {arrival for arrival, its_host in self.host.items() if its_host == host}
        for name, arrived in self.arrived.items():
            no_data = {member for member in MEMBERS[name] if host_of(member) == host and member not in self.data[name]}
            members = {member for member in no_data if member in arrived or (fatal and (arrived or self.data[name]))}
            if members:
                self.fail(name, members)

    def up(self, host: str) -> None:
        self.lost_hosts.discard(host)

    def patience(self, arrival: str) -> float:
        return math.inf  # a request with timeout 0 also waits until its own data has arrived

    def view(self) -> Any:
        shown = {name: (sorted(arrived), sorted(self.data[name])) for name, arrived in self.arrived.items()}
        return {name: both for name, both in shown.items() if any(both)}


def host_of(member: str) -> str:
    return member.partition("#")[0]


def data_of(arrival: str, size: int) -> bytes:
    """The data of an arrival: its id, repeated."""
    return (f"{arrival}," * size)[:size].encode()


def sum_of(data: bytes) -> tuple[int, int]:
    """The length and the checksum of the data, for comparisons."""
    return len(data), zlib.crc32(data)


class Channel(Script):
    """The channel of one script for one arrival. The hub treats it as a separate client."""

    def __init__(self, ask: Ask, script: Script) -> None:
        super().__init__(script.host, script.client)
        self.ask = ask
        self.script = script
        self.name = ask.name
        self.attempt = ask.attempts[-1]
        self.cancelled = False

    def sent(self, attempt: Attempt) -> bool:
        return attempt is self.attempt

    def over(self) -> bool:
        """Whether the script has its answer, so that the end of the channel changes nothing."""
        return self.attempt.seen and not self.attempt.local


class ChannelState(State):
    """A possible state of the hub. Its clients are channels instead of scripts."""

    reference: Exchanges

    def next(self, host: str) -> list[int]:
        """Channels may overtake each other, but a request of a script arrives after its cancelled channels ended."""
        positions, seen, ended = [], set(), set()
        for position, (kind, who, by) in enumerate(self.queue[host]):
            channel = by if kind == "ask" else who
            if channel not in seen and channel.script not in ended:
                positions.append(position)
            seen.add(channel)
            ended |= set() if kind == "ask" else {channel.script}
        return positions

    def join(self, ask: Ask, script: Script, window: tuple[float, float]) -> None:
        if ask.timeout == 0:
            self.reference.polls.add(ask.name)
        super().join(ask, script, window)
        assert isinstance(script, Channel)
        if ask.timeout and ask.name in self.deadline:  # the time without a connection to the hub counts, too
            earliest, latest = self.deadline[ask.name]
            self.deadline[ask.name] = min(earliest, script.attempt.since + ask.timeout), latest

    def client_ended(self, script: Script, asks: list[Ask]) -> None:
        assert isinstance(script, Channel)
        if not script.cancelled:
            self.reference.killed |= {ask.name for ask in asks if self.owner.get(ask.name) is script}
        super().client_ended(script, asks)


class ExchangeSearch(Search):
    REFERENCE = Exchanges
    STATE = ChannelState
    ASKS = st.one_of(
        asking(st.builds(Give, st.sampled_from(["pair", "all"]), st.just(""), SIZES)),
        asking(st.builds(Give, st.sampled_from(["pair", "all"]), st.just(""), SIZES)),
        asking(st.builds(Give, st.just("tags"), st.sampled_from("12"), SIZES)),
    )

    def __init__(self) -> None:
        super().__init__()
        self.channels: dict[tuple[str, Script], Channel] = {}
        """The channels that have not ended, by arrival and script."""
        self.lost_at: dict[str, float] = {}
        """The time when each host was last lost."""

    async def request(self, client: Client, ask: Ask) -> Any:
        received = await client.exchange(
            ask.what.name,
            MEMBERS[ask.what.name],
            data_of(ask.name, ask.what.size),
            member=f"{ask.host}#{ask.what.tag}" if ask.what.tag else "",
            timeout=ask.timeout,
            arrival=ask.name,
        )
        return {member: sum_of(data) for member, data in received.items()}

    def view(self, status: dict[str, Any]) -> Any:
        return {
            row["name"]: (sorted(who["name"] for who in row["arrived"]), row["given"]) for row in status["exchanges"]
        }

    # -- channels -----------------------------------------------------------------------------------------------------

    def record_sent(self, host: str, kind: str, who: Any, by: Any = None) -> None:
        """Translate the action of a script into actions of its channels."""
        if kind == "ask":
            channel = self.channels[who.name, by] = Channel(who, by)
            super().record_sent(host, "ask", who, channel)
            return
        for channel in list(self.channels.values()):
            if channel.script is (by or who) and (kind == "ended" or channel.ask is who):
                channel.cancelled = kind == "cancelled"
                del self.channels[channel.name, channel.script]
                if not channel.over():
                    super().record_sent(host, "ended", channel)

    def explain(self, window: tuple[float, float]) -> None:
        assert self.world is not None
        self.lost_at |= {host: window[1] for what, host, _ in self.world._events if what == "lost"}
        super().explain(window)

    def listen(self) -> None:
        """Read the answers of the scripts. Some attempts get no other answer than the end of their channel."""
        super().listen()
        for ask in self.asks.values():
            for attempt in ask.attempts:
                moved = attempt is not ask.attempts[-1]  # the arrival continues on a later channel
                # The hub ends all channels of a lost host. The host learns this when its line is connected again.
                lost = self.reachable(ask.host) and attempt.since <= self.lost_at.get(ask.host, 0.0)
                attempt.local = attempt.local or (attempt.answer == ("LinesyncFailed",) and (moved or lost))

    def patience(self, ask: Ask) -> float | None:
        return ask.timeout

    # -- the end ------------------------------------------------------------------------------------------------------

    def nothing_is_left(self) -> None:
        super().nothing_is_left()
        assert self.world is not None
        service = self.world.hub._exchanging
        left = (
            service._channels,
            service._bundles,
            list(service.unopened),
            service.requests.on_outcome,
            service.requests.memory.data,
            self.world.status()["exchanges"],
            self.world.disk.blobs if self.world.disk is not None else {},
        )
        assert not any(left), f"{left}\n{self.world.transcript()}"
        assert (len(service.blobs), service.blobs.used) == (0, 0), self.world.transcript()


ExchangeSearch.TestCase.settings = profile()
TestExchangeSearch = ExchangeSearch.TestCase


def test_an_agent_that_has_not_reached_the_hub_answers_a_poll_itself() -> None:
    repeat(
        ExchangeSearch,
        ([("kill_agent", "b"), ("cut_line", "b", True)],),
        ([("reconnect", "b")],),
        ([("ask", "b", 1, Give("pair", "", 0), 0)],),
    )
