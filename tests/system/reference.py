"""What the hub may know, by a reference: the state that a search compares the hub with.

A reference is a few lines, for it knows neither lines nor deadlines. It is told of what comes to the hub, one thing after
the other, and says to each arrival what becomes of it.
"""

from __future__ import annotations

import asyncio
from copy import deepcopy
from typing import Any

from linesync.client.aio import Client
from linesync.client.sync import Held
from linesync.errors import LinesyncError

__all__ = ["Ask", "GiveBack", "Outcome", "Reference", "Script", "State", "Try"]

Outcome = tuple[Any, ...]
"""``("ok", value)``, or the name of an error's class."""


class Script:
    """A script's connection."""

    def __init__(self, host: str, client: Client) -> None:
        self.host = host
        self.client = client
        self.alive = True


class Try:
    """One request of an arrival."""

    def __init__(self, script: Script, task: asyncio.Task[Any], since: float) -> None:
        self.script = script
        self.task = task
        self.since = since
        self.told = False
        """Its end was seen in an earlier batch."""
        self.local = False
        """Not the hub ended it: it was given up or killed, or its agent had no line."""
        self.heard: Outcome | None = None
        self.by_agent = False
        """Its agent answered, which had no line to the hub."""
        self.unsure = False
        """It was told that what was granted may have been taken."""
        self.held: Held | None = None
        """What it was told that it holds."""

    def listen(self) -> None:
        """Look whether it has ended."""
        if self.heard is None and self.task.done() and not self.task.cancelled():
            error = self.task.exception()
            if error is not None and not isinstance(error, LinesyncError):
                raise AssertionError(f"a client raised {error!r}") from error
            if error is not None:
                self.heard = (type(error).__name__,)
                self.by_agent = "no answer from the hub" in str(error)
                self.unsure = "may have been taken" in str(error)
                return
            value = self.task.result()
            self.held = value if isinstance(value, Held) else None
            self.heard = ("ok", value.value if isinstance(value, Held) else value)


class Ask:
    """One arrival: what is asked, and by whom."""

    def __init__(self, name: str, host: str, what: Any, timeout: float | None) -> None:
        self.name = name
        self.host = host
        self.what = what
        self.timeout = timeout
        self.tries: list[Try] = []

    @property
    def held(self) -> Held | None:
        """What a script was told that it holds."""
        return next((one.held for one in self.tries if one.held is not None), None)

    @property
    def ok(self) -> bool:
        """A script was told that it is granted: the hub had made that final before."""
        return any(one.heard is not None and one.heard[0] == "ok" for one in self.tries)


class GiveBack:
    """What is asked by a script that gives back what it holds."""

    def __init__(self, of: Ask) -> None:
        self.of = of

    def __repr__(self) -> str:
        return f"to give back {self.of.name}"


class Reference:
    """What a service should do."""

    def __init__(self) -> None:
        self.said: dict[str, Outcome] = {}

    def yes(self, arrival: str, value: Any) -> None:
        self.said[arrival] = ("ok", value)

    def no(self, arrival: str, why: str) -> None:
        self.said[arrival] = (why,)

    # -- what comes to the hub ----------------------------------------------------------------------------------------

    def ask(self, arrival: str, host: str, what: Any) -> None:
        """Somebody arrives."""
        raise NotImplementedError

    def leave(self, arrival: str) -> None:
        """An arrival ends that waits, or that has what goes back. All that end together leave before :meth:`settle`."""
        raise NotImplementedError

    def settle(self) -> None:
        """Serve who can be served."""

    def confirm(self, arrival: str) -> None:
        """The hub has made final what was granted."""

    def give_again(self, arrival: str) -> None:
        """What was granted and has left the service comes back: its call was cancelled while it was made final. Nothing to
        do where what is granted does not leave the service."""

    def lost(self, host: str, cause: str) -> None:
        """A host is lost; its own arrivals leave after this."""

    def up(self, host: str) -> None:
        """A host is there, or is back."""

    # -- what it is asked ---------------------------------------------------------------------------------------------

    def forget(self, arrival: str) -> None:
        """An arrival is unknown again: who asks under its id arrives anew."""

    def returns(self, arrival: str) -> bool:
        """Whether what was granted goes back when the client ends now."""
        return False

    def outlives(self, arrival: str) -> bool:
        """Whether what was granted outlives its client, and ends with its host."""
        return False

    def patience(self, arrival: str) -> float:
        """Seconds that a poll may wait after all."""
        return 0.0

    def moves(self) -> list[tuple[Any, list[str]]]:
        """What may happen by itself as soon as all of some hosts are heard from."""
        return []

    def move(self, what: Any) -> None:
        """It happens."""

    def view(self) -> Any:
        """What ``status`` should show."""
        raise NotImplementedError


class State:
    """What the hub may know, and what is on its way to it."""

    def __init__(self, reference: Reference, hosts: tuple[str, ...]) -> None:
        self.reference = reference
        self.owner: dict[str, Script] = {}
        """Who asked for each arrival that the hub has heard of, last."""
        self.deadline: dict[str, tuple[float, float]] = {}
        """When each times out, at the earliest and at the latest."""
        self.confirmed: set[str] = set()
        self.returned: set[str] = set()
        """A script was told of a grant that has gone back since."""
        self.queue: dict[str, list[tuple[str, Any, Any]]] = {host: [] for host in hosts}
        """What each host has said that has not come to the hub: ("ask", Ask, Script), ("end", Ask, Script) for what is
        given up or given back, ("gone", Script, None), ("return", Ask, Script) for what a cancelled call had taken."""

    def copy(self) -> State:
        other = State.__new__(type(self))
        other.reference = deepcopy(self.reference)
        other.owner = dict(self.owner)
        other.deadline = dict(self.deadline)
        other.confirmed = set(self.confirmed)
        other.returned = set(self.returned)
        other.queue = {host: list(queue) for host, queue in self.queue.items()}
        return other

    def key(self) -> str:
        """The same for equal states."""
        reference = sorted(vars(self.reference).items())
        queue = [(host, [(kind, id(who), id(by)) for kind, who, by in said]) for host, said in self.queue.items()]
        owner = sorted((name, id(script)) for name, script in self.owner.items())
        return repr((reference, queue, owner, sorted(self.confirmed), sorted(self.returned)))

    def next(self, host: str) -> list[int]:
        """Which of what a host has said may come to the hub next, as positions in its queue."""
        return [0]

    def said(self, ask: Ask) -> Outcome | None:
        return self.reference.said.get(ask.name)

    def may_commit(self, ask: Ask) -> bool:
        """A grant was said that goes back, and the commit of it may come to the hub or not; the script knows nothing yet."""
        said = self.said(ask)
        granted = ask.name in self.owner and said is not None and said[0] == "ok"
        return granted and ask.name not in self.confirmed and not ask.ok and self.reference.returns(ask.name)

    def over(self, ask: Ask) -> bool:
        """Nothing can change what becomes of it."""
        said = self.said(ask)
        return ask.name not in self.owner or (
            said is not None and not (said[0] == "ok" and self.reference.returns(ask.name))
        )

    # -- what comes to the hub ----------------------------------------------------------------------------------------

    def join(self, ask: Ask, script: Script, window: tuple[float, float]) -> None:
        """Somebody arrives, or asks again."""
        known = ask.name in self.owner
        self.owner[ask.name] = script
        if known:
            return
        reference = self.reference
        if isinstance(ask.what, GiveBack):
            self.give_back(ask, ask.what.of)
            return
        reference.ask(ask.name, ask.host, ask.what)
        if ask.timeout is not None and self.said(ask) is None:
            patience = ask.timeout or reference.patience(ask.name)
            if patience:
                self.deadline[ask.name] = (window[0] + patience, window[1] + patience)
            else:
                self.end([ask], "TimedOut")

    def give_back(self, ask: Ask, held: Ask) -> None:
        """Somebody gives back what he holds, or believes to hold."""
        self.confirm(held)  # the script was told after that
        if self.over(held):
            self.reference.no(ask.name, "LinesyncFailed")
        else:
            self.withdraw([held])
            self.reference.yes(ask.name, None)

    def end(self, asks: list[Ask], why: str) -> None:
        """All these end at once."""
        asks = [ask for ask in asks if not self.over(ask)]
        for ask in asks:
            self.reference.leave(ask.name)
            self.reference.no(ask.name, why)
            if ask.name in self.confirmed and not ask.ok:  # what was held has no result, and nobody was told of it
                self.confirmed.discard(ask.name)
                self.returned.add(ask.name)
                del self.owner[ask.name], self.reference.said[ask.name]
                self.reference.forget(ask.name)
        if asks:
            self.reference.settle()

    def withdraw(self, asks: list[Ask]) -> None:
        """The client ends these, or ends."""
        for ask in asks:
            if ask.ok:
                self.confirm(ask)  # the script was told after that
                if not self.over(ask):
                    self.returned.add(ask.name)
        self.end(asks, "LinesyncFailed")

    def gone(self, script: Script, asks: list[Ask]) -> None:
        """A client has ended."""
        mine = [ask for ask in asks if self.owner.get(ask.name) is script]
        for ask in mine:
            if ask.ok:
                self.confirm(ask)
        self.withdraw([ask for ask in mine if not self.reference.outlives(ask.name)])

    def lose(self, host: str, cause: str, asks: list[Ask]) -> None:
        """A host is lost."""
        self.reference.lost(host, cause)
        for ask in asks:
            if ask.host == host and ask.ok:
                self.confirm(ask)  # the script was told after that
        mine = [ask for ask in asks if ask.host == host and not self.over(ask)]
        self.returned |= {ask.name for ask in mine if ask.ok}
        self.end(mine, "LinesyncFailed")
        self.reference.settle()

    def confirm(self, ask: Ask) -> None:
        """The client's commit or confirmation has come."""
        said = self.said(ask)
        if ask.name not in self.confirmed and said is not None and said[0] == "ok":
            self.confirmed.add(ask.name)
            self.reference.confirm(ask.name)
