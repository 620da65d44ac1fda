"""Compare messages with a reference model, over lossy lines."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

from linesync.client.aio import Client

from .reference import Ask, Reference
from .search import Search, asking, profile


class Send(NamedTuple):
    """A request that sends a message."""

    text: str


class Receive(NamedTuple):
    """A request for the messages from a number on; with ``others``, only for the messages of other hosts."""

    first: int
    others: bool


class Gather(NamedTuple):
    """A request that waits for a message from every other host."""


class Messages(Reference):
    """A list that only grows. A receive ends when the message with its number exists. A gather ends when every other known host
    has sent a message, and it fails when a host without a message is lost. A host that restarts is not lost. A hub without a
    stored state knows only the hosts that have registered since its start."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str]] = []
        self.waiting: dict[str, tuple[str, Receive | Gather]] = {}
        self.known_hosts: set[str] = set()
        self.lost_hosts: set[str] = set()

    def ask(self, arrival: str, host: str, what: Send | Receive | Gather) -> None:
        if isinstance(what, Send):
            self.sent.append((host, what.text))
            self.answer_ok(arrival, len(self.sent))
        else:
            self.waiting[arrival] = host, what
        self.settle()

    def settle(self) -> None:
        for arrival, (host, what) in list(self.waiting.items()):
            numbered = [(number, *message) for number, message in enumerate(self.sent, 1)]
            others = [message for message in self.sent if message[0] != host]
            needed = self.known_hosts - {host}
            last = {who: (number, who, text) for number, who, text in numbered if who in needed}
            missing = needed - set(last)
            if isinstance(what, Gather):
                if missing & self.lost_hosts:
                    self.answer_error(arrival, "MemberLost")
                elif needed and not missing:
                    self.answer_ok(arrival, sorted(last.values()))
            else:
                counted = [(n, *one) for n, one in enumerate(others, 1)] if what.others else numbered
                if len(counted) >= what.first:
                    self.answer_ok(arrival, counted[what.first - 1 :])
            if arrival in self.answers:
                self.leave(arrival)

    def leave(self, arrival: str) -> None:
        self.waiting.pop(arrival, None)

    def lost(self, host: str, cause: str) -> None:
        if cause == "restarted":
            return  # the host may still send
        self.lost_hosts.add(host)
        for arrival, (waiter, what) in list(self.waiting.items()):
            if isinstance(what, Gather) and host not in (waiter, *(who for who, _ in self.sent)):
                self.answer_error(arrival, "MemberLost")
                self.leave(arrival)

    def up(self, host: str) -> None:
        self.known_hosts.add(host)
        self.lost_hosts.discard(host)
        self.settle()

    def view(self) -> Any:
        return len(self.sent), sorted(host for host, _ in self.waiting.values())


class MessageSearch(Search):
    REFERENCE = Messages
    ASKS = st.one_of(
        asking(st.builds(Send, st.sampled_from(["k=v", "ready", "x" * 300])), st.none()),
        asking(st.builds(Receive, st.integers(1, 4), st.booleans())),
        asking(st.builds(Gather)),
    )

    async def request(self, client: Client, ask: Ask) -> Any:
        what = ask.what
        if isinstance(what, Send):
            return await client.send("t", what.text, arrival=ask.name)
        if isinstance(what, Gather):
            received = await client.receive_all("t", timeout=ask.timeout, arrival=ask.name)
        else:
            received = await client.receive("t", what.first, others=what.others, timeout=ask.timeout, arrival=ask.name)
        return [(one.number, one.sender, *one.items) for one in received]

    def patience(self, ask: Ask) -> float | None:
        return 10.0 if isinstance(ask.what, Send) else super().patience(ask)

    def view(self, status: dict[str, Any]) -> Any:
        for row in status["topics"]:
            return row["messages"], sorted(who["name"] for who in row["waiting"])
        return 0, []


MessageSearch.TestCase.settings = profile()
TestMessageSearch = MessageSearch.TestCase
