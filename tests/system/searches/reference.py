"""The possible states of the hub, computed with a reference model. A search compares the hub with them.

A reference model is short, because it has no lines and no deadlines. It processes the messages that arrive at the hub, one
after the other, and decides the answer to each arrival.
"""

from __future__ import annotations

import asyncio
from typing import Any, Self

from linesync.client.aio import Client
from linesync.client.sync import Held
from linesync.errors import LinesyncError

__all__ = ["Ask", "Attempt", "GiveBack", "Outcome", "Reference", "Script", "State"]

Outcome = tuple[Any, ...]
"""``("ok", value)``, or the name of an error's class."""


class Script:
    """A script's connection."""

    def __init__(self, host: str, client: Client) -> None:
        self.host = host
        self.client = client
        self.alive = True

    def sent(self, attempt: Attempt) -> bool:
        """Whether this client has sent the request of an attempt."""
        return attempt.script is self


class Attempt:
    """One request for an arrival. A retry is another attempt."""

    def __init__(self, script: Script, task: asyncio.Task[Any], since: float) -> None:
        self.script = script
        self.task = task
        self.since = since
        self.seen = False
        """Whether the attempt had ended in an earlier batch."""
        self.local = False
        """Whether the attempt ended without the hub: it was cancelled or killed, or its agent had no line."""
        self.answer: Outcome | None = None
        """The answer, or None before it arrives."""
        self.by_agent = False
        """Whether the agent answered, because the agent had no line to the hub."""
        self.unsure = False
        """Whether the error says that the grant may have been taken."""
        self.held: Held | None = None
        """The hold in the answer."""

    def listen(self) -> None:
        """Read the answer if the request has ended."""
        if self.answer is None and self.task.done() and not self.task.cancelled():
            error = self.task.exception()
            if error is not None and not isinstance(error, LinesyncError):
                raise AssertionError(f"a client raised {error!r}") from error
            if error is not None:
                self.answer = (type(error).__name__,)
                self.by_agent = any(text in str(error) for text in ("no answer from the hub", "no connection to a hub"))
                self.unsure = "may have been taken" in str(error)
                return
            value = self.task.result()
            self.held = value if isinstance(value, Held) else None
            self.answer = ("ok", value.value if isinstance(value, Held) else value)


class Ask:
    """One arrival: a request, its host, and its timeout in seconds."""

    def __init__(self, name: str, host: str, what: Any, timeout: float | None) -> None:
        self.name = name
        self.host = host
        self.what = what
        self.timeout = timeout
        self.attempts: list[Attempt] = []

    @property
    def held(self) -> Held | None:
        """The hold that a script got."""
        return next((attempt.held for attempt in self.attempts if attempt.held is not None), None)

    @property
    def granted(self) -> list[Attempt]:
        """The attempts whose scripts know that the arrival was granted. Then the hub has received the commit."""
        return [attempt for attempt in self.attempts if attempt.answer is not None and attempt.answer[0] == "ok"]


class GiveBack:
    """The request of a script that gives back a hold."""

    def __init__(self, of: Ask) -> None:
        self.of = of

    def __repr__(self) -> str:
        return f"to give back {self.of.name}"


def copied(value: Any) -> Any:
    """Copy nested containers; everything else never changes. ``copy.deepcopy`` takes several times as long."""
    kind = type(value)
    if kind is dict:
        return {key: copied(one) for key, one in value.items()}
    if kind is list or kind is tuple:
        return kind([copied(one) for one in value])
    return set(value) if kind is set else value


class Reference:
    """The reference model of an operation: its specified behaviour."""

    def __init__(self) -> None:
        self.answers: dict[str, Outcome] = {}
        """The hub's answer to each arrival, by arrival id."""

    def copy(self) -> Self:
        """A copy for another possible state."""
        other = type(self).__new__(type(self))
        vars(other).update({name: copied(value) for name, value in vars(self).items() if name != "answers"})
        other.answers = dict(self.answers)
        return other

    def answer_ok(self, arrival: str, value: Any) -> None:
        self.answers[arrival] = ("ok", value)

    def answer_error(self, arrival: str, why: str) -> None:
        self.answers[arrival] = (why,)

    # -- messages that arrive at the hub --------------------------------------------------------------------------------------

    def ask(self, arrival: str, host: str, what: Any) -> None:
        """Handle a new arrival."""
        raise NotImplementedError

    def leave(self, arrival: str) -> None:
        """Handle the end of an arrival, which waited before, or had a grant that is now returned.

        If several arrivals end together, this is called for each of them before :meth:`settle`.
        """
        raise NotImplementedError

    def settle(self) -> None:
        """Grant all arrivals that can be granted now."""

    def confirm(self, arrival: str) -> None:
        """Handle the commit of a grant, which the hub has received."""

    def take_back(self, arrival: str) -> bool:
        """Handle the withdrawal of a committed arrival by its client. Returns whether the grant is returned."""
        return False

    def lost(self, host: str, cause: str) -> None:
        """Handle the loss of a host. Its own arrivals leave after this call."""

    def up(self, host: str) -> None:
        """Record that a host is up, for the first time or again."""

    # -- questions to the reference model -----------------------------------------------------------------------------------

    def forget(self, arrival: str) -> None:
        """Forget an arrival, as the hub does: a later request with its id is a new arrival."""

    def returns(self, arrival: str) -> bool:
        """Whether the grant is returned if the client ends now."""
        return False

    def outlives(self, arrival: str) -> bool:
        """Whether the grant outlives its client and ends with its host."""
        return False

    def patience(self, arrival: str) -> float:
        """The seconds that a request may wait although its timeout is 0."""
        return 0.0

    def own_steps(self) -> list[tuple[Any, list[str]]]:
        """The steps that the hub takes by itself: (step, the hosts that the hub must have heard from)."""
        return []

    def take_step(self, step: Any) -> None:
        """Take a step that :meth:`own_steps` returned."""

    def view(self) -> Any:
        """The state that ``status`` must show."""
        raise NotImplementedError


class State:
    """A possible state of the hub, and the messages on the way to the hub."""

    def __init__(self, reference: Reference, hosts: tuple[str, ...]) -> None:
        self.reference = reference
        self.owner: dict[str, Script] = {}
        """The script of the latest request for each arrival that the hub knows."""
        self.deadline: dict[str, tuple[float, float]] = {}
        """The earliest and the latest time at which each arrival times out."""
        self.confirmed: set[str] = set()
        self.returned: set[str] = set()
        """The arrivals whose grant a script knew, and whose grant was returned after that."""
        self.queue: dict[str, list[tuple[str, Any, Any]]] = {host: [] for host in hosts}
        """The messages of each host that the hub has not received: ("ask", Ask, Script) for a request,
        ("cancelled", Ask, Script) for the withdrawal of an arrival, and ("ended", Script, None) for the end of a script."""

    def copy(self) -> State:
        other = State.__new__(type(self))
        other.reference = self.reference.copy()
        other.owner = dict(self.owner)
        other.deadline = dict(self.deadline)
        other.confirmed = set(self.confirmed)
        other.returned = set(self.returned)
        other.queue = {host: list(queue) for host, queue in self.queue.items()}
        return other

    def key(self) -> str:
        """A text that is the same for equal states."""
        reference = sorted(vars(self.reference).items())
        queue = [(host, [(kind, id(who), id(by)) for kind, who, by in sent]) for host, sent in self.queue.items()]
        owner = sorted((name, id(script)) for name, script in self.owner.items())
        return repr((reference, queue, owner, sorted(self.confirmed), sorted(self.returned)))

    def next(self, host: str) -> list[int]:
        """The positions in a host's queue of the entries that may arrive at the hub next."""
        return [0]

    def answer(self, ask: Ask) -> Outcome | None:
        return self.reference.answers.get(ask.name)

    def known(self, ask: Ask) -> bool:
        """Whether a script knows of the grant. A grant to an attempt that has not arrived yet does not count: the hub forgets
        a hold that ends before a script knows of it, and then gives a later attempt another grant."""
        granted = ask.granted
        if not granted:
            return False
        coming = [by for kind, who, by in self.queue[ask.host] if kind == "ask" and who is ask]
        return not all(any(script.sent(attempt) for script in coming) for attempt in granted)

    def may_commit(self, ask: Ask) -> bool:
        """Whether it is unknown if the commit of a grant has reached the hub: the script has no answer yet."""
        answer = self.answer(ask)
        granted = ask.name in self.owner and answer is not None and answer[0] == "ok"
        return granted and ask.name not in self.confirmed and self.reference.returns(ask.name) and not self.known(ask)

    def over(self, ask: Ask) -> bool:
        """Whether the answer to the arrival is final."""
        answer = self.answer(ask)
        return ask.name not in self.owner or (
            answer is not None and not (answer[0] == "ok" and self.reference.returns(ask.name))
        )

    # -- messages that arrive at the hub --------------------------------------------------------------------------------------

    def join(self, ask: Ask, script: Script, window: tuple[float, float]) -> None:
        """Handle a request that arrives, for the first time or again."""
        known = ask.name in self.owner
        self.owner[ask.name] = script
        if known:
            return
        reference = self.reference
        if isinstance(ask.what, GiveBack):
            self.give_back(ask, ask.what.of)
            return
        reference.ask(ask.name, ask.host, ask.what)
        if ask.timeout is not None and self.answer(ask) is None:
            patience = ask.timeout or reference.patience(ask.name)
            if patience:
                self.deadline[ask.name] = (window[0] + patience, window[1] + patience)
            else:
                self.end([ask], "TimedOut")

    def give_back(self, ask: Ask, held: Ask) -> None:
        """Handle the return of a hold by a script. The hold may be lost already."""
        self.confirm(held)  # the script got its answer after the commit
        if self.over(held):
            self.reference.answer_error(ask.name, "LinesyncFailed")
        else:
            self.withdraw([held])
            self.reference.answer_ok(ask.name, None)

    def end(self, asks: list[Ask], why: str) -> None:
        """End several arrivals together."""
        asks = [ask for ask in asks if not self.over(ask)]
        for ask in asks:
            self.reference.leave(ask.name)
            self.reference.answer_error(ask.name, why)
            if ask.name in self.confirmed and not self.known(ask):
                # The hub keeps no result of a hold, and no script knows the hold.
                self.confirmed.discard(ask.name)
                self.returned.add(ask.name)
                del self.owner[ask.name], self.reference.answers[ask.name]
                self.deadline.pop(ask.name, None)
                self.reference.forget(ask.name)
        if asks:
            self.reference.settle()

    def withdraw(self, asks: list[Ask]) -> None:
        """Withdraw arrivals of a client that gives them up or has ended."""
        for ask in asks:
            if self.known(ask):
                self.confirm(ask)  # the script got its answer after the commit
                if not self.over(ask):
                    self.returned.add(ask.name)
        self.end(asks, "LinesyncFailed")

    def take_back(self, ask: Ask, script: Script) -> None:
        """Handle the withdrawal of an arrival whose client has committed it and does not know that yet."""
        mine = self.owner.get(ask.name) is script and not self.known(ask)
        if mine and self.over(ask) and self.reference.take_back(ask.name):
            self.reference.answer_error(ask.name, "LinesyncFailed")
            self.reference.settle()

    def client_ended(self, script: Script, asks: list[Ask]) -> None:
        """Handle the end of a client."""
        mine = [ask for ask in asks if self.owner.get(ask.name) is script]
        for ask in mine:
            if self.known(ask):
                self.confirm(ask)
        self.withdraw([ask for ask in mine if not self.reference.outlives(ask.name)])

    def lose(self, host: str, cause: str, asks: list[Ask]) -> None:
        """Handle the loss of a host."""
        self.reference.lost(host, cause)
        for ask in asks:
            if ask.host == host and self.known(ask):
                self.confirm(ask)  # the script got its answer after the commit
        mine = [ask for ask in asks if ask.host == host and not self.over(ask)]
        self.returned |= {ask.name for ask in mine if self.known(ask)}
        if cause == "restarted":  # the holds end later, with the lease of the host
            held = [ask for ask in mine if ask.name in self.confirmed and self.reference.returns(ask.name)]
            self.end([ask for ask in mine if ask not in held], "LinesyncFailed")
            mine = held
        self.end(mine, "LinesyncFailed")
        self.reference.settle()

    def confirm(self, ask: Ask) -> None:
        """Handle the commit or the confirmation of a client."""
        answer = self.answer(ask)
        if ask.name not in self.confirmed and answer is not None and answer[0] == "ok":
            self.confirmed.add(ask.name)
            self.reference.confirm(ask.name)
