"""Members of groups that act immediately: they ask for events, run steps and report them, without lines and without time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from random import Random
from typing import Any

from linesync.client.groups.events import Inbox, Message, Step, View
from linesync.errors import LinesyncError
from linesync.model.decisions import Batch, Failed, Granted, Names, Posted
from linesync.model.groups.member import Member
from linesync.model.participants import Cause, Client
from linesync.model.state.group import Announced, GroupState, Terms
from linesync.model.sync.services import SyncServices
from linesync.protocol.groups import event_words, read_event_words
from tests.model.kept.life import Store

__all__ = ["Actor", "Play", "services"]

NS, GROUP = "default", "net"


def services(*ids: int, **options: Any) -> tuple[Announced, ...]:
    """Services with these ids."""
    return tuple([Announced(one, f"s{one}", **options) for one in ids])


class Actor:
    """One member.

    :ivar log: its events: ``("view", members)``, ``("message", sender, data)``, and ``(kind, service)`` for each step.
    :ivar slow: the steps that it does not report: ``(kind, service)``, or the kind alone.
    """

    def __init__(self, play: Play, name: str, member: Member) -> None:
        self.play = play
        self.name = name
        self.member = member
        self.client = member.client
        self.inbox = Inbox(member.sent)
        self.log: list[tuple[Any, ...]] = []
        self.slow: set[Any] = set()
        self.results: dict[Any, list[tuple[str, str]]] = {}
        """The results of steps, other than ``done``, in order: ``(kind, service)`` to (result, text)."""
        self.view: View | None = None
        self.unreported: list[Step] = []
        self.unsent = 0
        """The number of a step that is reported together with a later step."""
        self.deaf = False
        """Whether it requests no events."""
        self.arriving: deque[tuple[str, Iterable[Any]]] = deque()
        """The batches that have not arrived yet."""
        self._asks = 0
        self.open = ""
        self.error: LinesyncError | None = None

    @property
    def steps(self) -> list[Any]:
        """The steps in the log, without views and messages."""
        return [one for one in self.log if one[0] not in ("view", "message")]

    def ask(self, number: int = 0, result: str = "done", text: str = "", **options: Any) -> None:
        """Ask for events, and report a step."""
        self._asks += 1
        self.open = f"{self.member.number}/{self._asks}"
        play = self.play
        try:
            outcomes = play.groups.next(
                self.open,
                self.member.number,
                self.client,
                self.inbox.last,
                play.now,
                number=number,
                result=result,
                text=text,
                **options,
            )
        except LinesyncError as error:
            self.open, self.error = "", error
            self.inbox.end(str(error.details.get("end", "removed")), str(error.details.get("cause", "")))
            return
        play.tell(outcomes)

    def take(self, arrival: str, events: Iterable[Any]) -> None:
        """Take a batch that the hub has sent."""
        self.arriving.append((arrival, events))
        if not self.play.delays:
            self.receive()

    def receive(self) -> None:
        """Let the next batch arrive."""
        arrival, events = self.arriving.popleft()
        words = event_words([(one.number, one.kind, one.service, one.sender, one.data) for one in events])
        self.inbox.take(read_event_words(words))
        if arrival == self.open:
            self.open = ""

    def act(self) -> bool:
        """Handle one event, or ask for the next ones. Return False if there is nothing to do."""
        event = self.inbox.next()
        if event is None:
            if self.open or self.deaf or self.inbox.ended is not None:
                return False
            self.ask()
            return True
        match event:
            case View():
                self.view = event
                self.log.append(("view", event.members))
            case Message():
                self.log.append(("message", event.sender, event.data))
            case Step(kind="stop") if not self.inbox.to_stop(event):
                self.report(event)
            case Step():
                self.log.append((event.kind, event.service))
                self.run(event)
        return True

    def run(self, step: Step) -> None:
        key = (step.kind, step.service)
        if step.kind in self.slow or key in self.slow:
            self.unreported.append(step)
            return
        result, text = self.results[key].pop(0) if self.results.get(key) else ("done", "")
        self.report(step, result, text)

    def report(self, step: Step, result: str = "done", text: str = "") -> None:
        self.inbox.finish(step)
        if self.inbox.awaits(step) or (result != "done" and self.inbox.valid(step)):
            self.ask(step.number, result, text)
        elif self.inbox.valid(step):
            self.unsent = step.number

    def finish(self) -> None:
        """Report the steps that were not reported."""
        held, self.unreported, self.slow = self.unreported, [], set()
        for step in held:
            self.report(step)

    def cast(self, text: str, epoch: int | None = None, **options: Any) -> list[Any]:
        """Send a message; return its outcomes."""
        self._asks += 1
        arrival = f"{self.member.number}/{self._asks}"
        assert self.view is not None
        number = self.view.ring.epoch if epoch is None else epoch
        outcomes = self.play.groups.cast(
            arrival, self.member.number, self.client, number, f"t{text}", len(text), self.play.now, **options
        )
        self.play.tell(outcomes)
        return [one.value for one in outcomes if isinstance(one, Granted) and one.arrival == arrival]


class Play:
    """A hub with groups, and the members.

    :param terms: the terms of the group.
    """

    def __init__(self, **terms: Any) -> None:
        self.model = SyncServices(stored=True)
        self.groups.hub = "h"
        self.terms = Terms(**terms)
        self.store = Store()
        self.now = 100.0
        self.actors: dict[int, Actor] = {}
        self.delays = False
        """Whether batches arrive only with :meth:`Actor.receive`."""
        self.posted: list[str] = []
        """The arrival ids of messages that were answered."""
        self.names: list[tuple[str, ...]] = []
        """The results of waits for members."""
        self._clients = 0
        self._hosts: set[str] = set()

    @property
    def groups(self) -> Any:
        return self.model.groups

    def client(self, host: str) -> Client:
        self._clients += 1
        if host != "hub" and host not in self._hosts:
            self._hosts.add(host)
            self.tell(self.model.register(host, f"{host}.{self._clients}", "boot", "line", self.now))
        return Client(host, str(self._clients))

    def join(self, name: str, *ids: Any, group: str = GROUP, act: bool = True, **options: Any) -> Actor:
        """Let a member join."""
        announced = [one if isinstance(one, Announced) else services(one)[0] for one in ids]
        client = self.client(name.partition("#")[0])
        terms = options.pop("terms", self.terms)
        member, outcomes = self.groups.join(NS, group, name, client, terms, announced, self.now, **options)
        actor = Actor(self, name, member)
        if not member.passive:
            self.actors[member.number] = actor
        self.tell(outcomes)
        if act:
            self.settle()
        return actor

    def tell(self, outcomes: Iterable[Any]) -> None:
        for one in outcomes:
            if isinstance(one, Granted) and isinstance(one.value, Batch):
                number = int(one.arrival.partition("/")[0])
                if number in self.actors:
                    self.actors[number].take(one.arrival, one.value.events)
            elif isinstance(one, Granted) and isinstance(one.value, Posted):
                self.posted.append(one.arrival)
            elif isinstance(one, Granted) and isinstance(one.value, Names):
                self.names.append(one.value.names)
            elif isinstance(one, Failed):
                self.posted.append(f"{one.arrival}: {one.error.message}")
        self.store.take(self.model)

    def settle(self, random: Random | None = None) -> None:
        """Let all members act until nothing is left to do."""
        busy = True
        while busy:
            actors = list(self.actors.values())
            if random is not None:
                random.shuffle(actors)
            acted = [actor.act() for actor in actors]
            busy = any(acted)

    def pass_time(self, seconds: float) -> None:
        """Let time pass. The hub hears the hosts in the meantime."""
        end = self.now + seconds
        while (due := self.model.next_timer()) is not None and due <= end:
            self.now = max(self.now, due)
            for host in self.model.hosts(self.now):
                self.tell(self.model.heard(host.name, host.session, self.now))
            self.tell(self.model.handle_timer(self.now))
            self.settle()
        self.now = end

    def end_client(self, actor: Actor) -> None:
        """Let the script of a member die."""
        self.actors.pop(actor.member.number, None)
        self.tell(self.model.client_gone(actor.client, self.now))

    def lose(self, host: str, cause: Cause = Cause.RESTARTED) -> None:
        """Let a host restart or stop."""
        session = next(one.session for one in self.model.hosts(self.now) if one.name == host)
        self.actors = {n: actor for n, actor in self.actors.items() if actor.client.host != host}
        self._hosts.discard(host)
        self.tell(self.model.ended(host, session, cause, "", self.now))

    def restart_hub(self, random: Random | None = None) -> None:
        """Kill the hub, and start the next hub with the stored rows."""
        self.store.take(self.model)
        stored, dumped = self.store.rows, Store.dump(self.model)
        differ = {key for key in stored.keys() | dumped.keys() if stored.get(key) != dumped.get(key)}
        assert not differ, f"the rows of the changes are the rows of the state: {differ}"
        rows = self.store.shuffled(random or Random(1))
        self.model = SyncServices.restore(rows, 0.0, self.now)
        self.groups.hub = "h2"
        assert self.store.rows == Store.dump(self.model), "the restored state has the same rows"

    def state(self, group: str = GROUP) -> GroupState:
        found: GroupState = self.groups.state(NS, group, self.now)
        return found
