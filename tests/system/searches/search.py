"""Search a world for a difference from a reference model.

A life is a series of *batches*. In a batch, a few steps happen at the same time: scripts send requests, cancel them or are
killed, an agent is killed, a line is cut. Then all messages are delivered. The answers to the scripts must equal the answers
of the reference model for *some* order in which requests reached the hub. The order of one host's requests is known, but not
the order between hosts. If a line was cut, only the first of the messages on it have arrived, or none. Each order that
explains the answers gives a possible state of the hub, and the hub's own status must match one of these states.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from itertools import combinations
from typing import Any

from hypothesis import currently_in_test_context, settings
from hypothesis import event as record_event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from linesync.client.aio import Client
from linesync.testing.faults import Faults
from tests.effort import SOAK
from tests.model import conftest  # registers the profile

from ..world import World
from .reference import Ask, Attempt, GiveBack, Reference, Script, State

__all__ = ["KILLS", "MOMENTS", "PLACES", "TIMEOUTS", "Search", "asking", "profile", "repeat"]

assert conftest

LINE_FAULTS = (
    None,
    Faults(ber=1e-4, drop=1e-4),
    Faults(ber=3e-4, dup=3e-4),
    Faults(printk=0.7, ber=3e-5),
    Faults(burst=3e-4),
)
HOSTS = ("a", "b")
EVERYWHERE = ("hub", *HOSTS)
PLACES = st.sampled_from(("hub", "a", "b", "a", "b"))
TIMEOUTS = st.sampled_from([None, None, None, 0, 5.0, 30.0])
GRACE = 16.0
"""A request ends at most this many seconds after twice its timeout: it may wait once without a line and once at the hub."""
FRESH = 3.5  # seconds of silence after which a host must give a new sign of life to count as alive
STATES = 200  # the maximum number of possible states; a life that needs more ends early
ORDERS = 3000  # the maximum number of states that are tried to explain one batch; a life that needs more ends early


def profile(steps: int = 7) -> settings:
    """The settings of a search: as many lives as in the tests of the model, and in CI always the same lives."""
    return settings(settings.get_profile("model"), stateful_step_count=steps, derandomize=not SOAK)


def asking(
    what: st.SearchStrategy[Any], timeouts: st.SearchStrategy[float | None] = TIMEOUTS
) -> st.SearchStrategy[Any]:
    """A step in which a script sends a request."""
    return st.tuples(st.just("ask"), PLACES, st.integers(0, 1), what, timeouts)


_CHOICE = st.integers(0, 20)
_STEPS = st.one_of(
    st.tuples(st.just("retry"), _CHOICE, st.integers(0, 1)),
    st.tuples(st.just("cancel"), _CHOICE),
    st.tuples(st.just("kill_script"), _CHOICE),
    st.tuples(st.just("kill_agent"), st.sampled_from(HOSTS)),
    st.tuples(st.just("kill_hub")),
    st.tuples(st.just("cut_line"), st.sampled_from(HOSTS), st.booleans()),
)
_PAUSES = st.sampled_from([0.0, 0.0, 0.01, 0.03])
MOMENTS = st.sampled_from([0.005 * step for step in range(1, 16)])
"""Delays in seconds. After some of them, a grant, its commit or the acknowledgement of the commit is on the line."""
KILLS = st.sampled_from(
    [("kill_agent", "a"), ("kill_agent", "a"), ("cut_line", "a", False), ("kill_hub",), ("kill_script", 0)]
)
"""Failures during a grant to a taker on host a."""


class Search(RuleBasedStateMachine):
    """One life of a search. The search of an operation defines ``REFERENCE``, ``ASKS``, :meth:`request` and :meth:`view`."""

    DURABLE = False
    """Whether the hub stores its state, and continues after it was killed."""
    REFERENCE: type[Reference]
    STATE: type[State] = State
    ASKS: st.SearchStrategy[Any]
    """The steps of the operation: tuples of a method's name and its arguments."""

    def request(self, client: Client, ask: Ask) -> Coroutine[Any, Any, Any]:
        """Send a request. Its result must equal the result of the reference model."""
        raise NotImplementedError

    def view(self, status: dict[str, Any]) -> Any:
        """The hub's status, in the form of the reference model's view."""
        raise NotImplementedError

    # -- the world ----------------------------------------------------------------------------------------------------

    world: World | None = None

    @initialize(seed=st.integers(0, 2**20), faults=st.sampled_from(LINE_FAULTS))
    def begin(self, seed: int, faults: Faults | None) -> None:
        self.world = World(seed, faults=faults, durable=self.DURABLE)
        self.since: dict[str, float] = {}
        """The hosts that the hub cannot hear, and the time when that began."""
        self.silent: set[str] = set()
        """The hosts that the hub could not hear during the whole batch."""
        self.asks: dict[str, Ask] = {}
        self.scripts: dict[tuple[str, int], Script] = {}
        self.states = [self.STATE(self.REFERENCE(), EVERYWHERE)]
        self.given_up = False
        for host in HOSTS:
            self.world.agent(host)
        self.world.deliver()
        self.explain((self.world.now, self.world.now))

    def reachable(self, host: str) -> bool:
        return host == "hub" or (self.world.hosts[host].wire.plugged and self.world.hosts[host].agent is not None)

    def script(self, host: str, number: int) -> Script | None:
        """The script with this number on a host. It is started if necessary. None if the host has no agent."""
        if host != "hub" and self.world.hosts[host].agent is None:
            return None
        script = self.scripts.get((host, number))
        if script is None or not script.alive:
            script = self.scripts[host, number] = Script(host, self.world.client(host))
        return script

    def record_sent(self, host: str, kind: str, who: Any, by: Any = None) -> None:
        """Add a message from a host to its queue in all possible states.

        :param kind: see :attr:`State.queue`.
        """
        for state in self.states:
            state.queue[host].append((kind, who, by))

    # -- steps of scripts and hosts -----------------------------------------------------------------------------------

    def ask(self, host: str, number: int, what: Any, timeout: float | None) -> None:
        script = self.script(host, number)
        if script is not None:
            ask = Ask(f"x{len(self.asks)}", host, what, timeout)
            self.asks[ask.name] = ask
            self.send_request(ask, script)

    def send_request(self, ask: Ask, script: Script) -> None:
        self.world.note(f"a script of {ask.host} asks {ask.name}: {ask.what}, timeout {ask.timeout}")
        client = script.client
        work = client.give_back(ask.what.of.held) if isinstance(ask.what, GiveBack) else self.request(client, ask)
        ask.attempts.append(Attempt(script, self.world.start(work), self.world.now))
        self.record_sent(ask.host, "ask", ask, script)

    def retry(self, choice: int, number: int) -> None:
        """A script repeats an arrival that no script knows to be granted.

        It replaces a script that is dead, or a script that still waits and is killed now.
        """
        self.listen()
        asks = [ask for ask in self.asks.values() if not ask.granted and self.can_retry(ask)]
        if asks:
            ask = asks[choice % len(asks)]
            script = self.script(ask.host, number)
            self.listen()  # a new script takes time to connect
            if script is not None and script not in [attempt.script for attempt in ask.attempts] and not ask.granted:
                hanging = [
                    attempt.script for attempt in ask.attempts if attempt.script.alive and not attempt.task.done()
                ]
                self.send_request(ask, script)
                self.world.pass_time(0.0)
                for other_script in hanging:
                    self.kill(other_script)

    def can_retry(self, ask: Ask) -> bool:
        """Whether the request names its arrival."""
        return not isinstance(ask.what, GiveBack)

    def listen(self) -> None:
        for ask in self.asks.values():
            for attempt in ask.attempts:
                attempt.listen()

    def pending(self) -> list[tuple[Ask, Attempt]]:
        return [
            (ask, attempt)
            for ask in self.asks.values()
            for attempt in ask.attempts
            if not (attempt.task.done() or attempt.local)
        ]

    def cancel(self, choice: int) -> None:
        pending = self.pending()
        if pending:
            ask, attempt = pending[choice % len(pending)]
            self.world.note(f"{ask.name} is cancelled")
            attempt.task.cancel()
            attempt.local = True
            self.record_sent(ask.host, "cancelled", ask, attempt.script)

    def give_back(self, choice: int) -> None:
        """A script gives back a hold."""
        self.listen()
        holding = [
            (ask, attempt)
            for ask in self.asks.values()
            for attempt in ask.attempts
            if attempt.script.alive and attempt.held is not None
        ]
        if holding:
            ask, attempt = holding[choice % len(holding)]
            back = Ask(f"x{len(self.asks)}", ask.host, GiveBack(ask), None)
            self.asks[back.name] = back
            known = ask.name in attempt.script.client.revoked
            self.send_request(back, attempt.script)
            if known:  # the script knows that the hold is lost, and sends nothing to the hub
                self.world.pass_time(0.0)
                assert attempt.script.client.revoked == {} or back.attempts[0].task.done()
                back.attempts[0].local = True

    def kill_script(self, choice: int) -> None:
        scripts = [script for script in self.scripts.values() if script.alive]
        if scripts:
            self.kill(scripts[choice % len(scripts)])

    def kill(self, script: Script) -> None:
        self.world.note(f"a script of {script.host} is killed")
        self.mark_dead(script)
        self.world.kill(script.client)
        self.record_sent(script.host, "ended", script)

    def mark_dead(self, script: Script) -> None:
        """Ignore the answers to a dead script."""
        script.alive = False
        for _, attempt in self.pending():
            attempt.local = attempt.local or attempt.script is script

    def kill_agent(self, host: str) -> None:
        if self.world.hosts[host].agent is not None:
            for script in self.scripts.values():
                if script.host == host:
                    self.mark_dead(script)
            self.world.kill_agent(host)

    def kill_hub(self) -> None:
        """The hub is killed and started again. Its state is lost, and so are requests on the way to it.

        Requests that an agent had not sent yet go to the new hub. If the hub stores its state, nothing is lost.
        """
        if self.DURABLE:
            self.world.kill_hub()
            return
        self.listen()
        waiting = self.unsent()
        for script in self.scripts.values():
            if script.host == "hub":
                self.mark_dead(script)
        for ask in self.asks.values():
            for attempt in ask.attempts:
                attempt.seen = attempt.seen or attempt.task.done()
                attempt.local = attempt.local or not (attempt.seen or ask.name in waiting)
        self.world.kill_hub()
        fresh = self.STATE(self.REFERENCE(), EVERYWHERE)
        for host in HOSTS:
            sent = self.states[0].queue[host]
            fresh.queue[host] = [entry for entry in sent if entry[0] == "ask" and entry[1].name in waiting]
        self.states = [fresh]

    def unsent(self) -> set[str]:
        """The names of the arrivals that agents have not sent to the hub yet."""
        agents = [agent for host in HOSTS if (agent := self.world.hosts[host].agent) is not None]
        return {getattr(request.message, "arrival", "") for agent in agents for request in agent.relayed._queue}

    def cut_line(self, host: str, vanish: bool) -> None:
        wire = self.world.hosts[host].wire
        if wire.plugged:
            self.world.note(f"the line of {host} is {'unplugged' if vanish else 'cut'}")
            (wire.vanish if vanish else wire.pull)()

    def reconnect(self, host: str) -> None:
        """Start a dead agent again, or else connect a line again."""
        wire = self.world.hosts[host].wire
        if self.world.hosts[host].agent is None:
            for state in self.states:
                state.queue[host].clear()
            self.world.agent(host)
        elif not wire.plugged:
            self.world.note(f"the line of {host} is back")
            wire.plug()

    # -- a batch ------------------------------------------------------------------------------------------------------

    def batch(self, steps: list[tuple[Any, ...]], pause: float = 0.0, seconds: float = 0.0) -> None:
        """Do some steps, with a pause after each. Then let time pass, deliver all messages, and compare with the model."""
        if self.given_up:
            return
        world, began = self.world, self.world.now
        silent = {host for host in HOSTS if not self.reachable(host)}
        for step, *arguments in steps:
            getattr(self, step)(*arguments)
            world.pass_time(pause)
        if seconds:
            world.pass_time(seconds)
        world.deliver()
        while world.has_lapsing_holds():  # the lease of a host that has restarted still runs
            world.pass_time(1.0)
            world.deliver()
        self.silent = {host for host in silent if not self.reachable(host)}
        self.since = {host: self.since.get(host, began) for host in HOSTS if not self.reachable(host)}
        self.explain((began, world.now))

    def explain(self, window: tuple[float, float]) -> None:
        """Find the states that the hub may be in now. At least one state must explain all answers."""
        self.listen()
        ended_sessions = self.world.take_ended_sessions()
        for ask in self.asks.values():
            for attempt in ask.attempts:
                if attempt.seen or attempt.local:
                    continue
                if attempt.by_agent:
                    attempt.local = True
                    assert attempt.unsure or self.ended_by_agent(ask, attempt), (
                        f"{ask.name} was ended early\n{self.world.transcript()}"
                    )
                    self.record_sent(ask.host, "cancelled", ask, attempt.script)
                elif attempt.answer == ("LinesyncFailed",) and ask.host in ended_sessions:
                    attempt.local = True
        explaining = _Explaining(self, window, self.world.take_events(), ended_sessions)
        for state in self.states:
            explaining.explore(state, 0)
        if explaining.too_many:
            self.given_up = True
            return
        view = self.view(self.world.status())
        matching = [state for state in explaining.found.values() if state.reference.view() == view]
        assert matching, self.differs(list(explaining.found.values()), view)
        self.states = matching
        self.given_up = len(matching) > STATES
        for ask in self.asks.values():
            for attempt in ask.attempts:
                attempt.seen = attempt.seen or attempt.task.done()
                # The agent of a host that is not reachable cannot know yet that the hub was killed.
                dead = attempt.local and self.reachable(ask.host)
                assert attempt.seen or not dead, (
                    f"{ask.name} waits although its script or agent is dead\n{self.world.transcript()}"
                )
                late = ask.timeout is not None and window[1] > attempt.since + 2 * ask.timeout + GRACE
                assert attempt.seen or not late, f"{ask.name} has not ended\n{self.world.transcript()}"

    def ended_by_agent(self, ask: Ask, attempt: Attempt) -> bool:
        """Whether the agent has ended the request because the agent had no line. The agent notifies the hub later."""
        patience = self.patience(ask)
        return ask.host != "hub" and patience is not None and self.world.now >= attempt.since + patience

    def patience(self, ask: Ask) -> float | None:
        """The seconds after which an agent without a line ends a request; None if it does not end the request."""
        if isinstance(ask.what, GiveBack):
            return 10.0
        return None if ask.timeout is None else ask.timeout + 2.0

    def differs(self, states: list[State], view: Any) -> str:
        """The error message if no state explains the answers."""

        def shown(attempt: Attempt) -> str:
            marks = [] if attempt.script.alive else ["dead"]
            return f"{' '.join([attempt.script.host, *marks, *(['local'] if attempt.local else [])])}: {attempt.answer}"

        def queued(state: State) -> dict[str, list[Any]]:
            queues = state.queue.items()
            return {
                host: [(kind, getattr(who, "name", "")) for kind, who, _ in queue] for host, queue in queues if queue
            }

        seen = {name: [shown(attempt) for attempt in ask.attempts] for name, ask in self.asks.items()}
        lines = [f"no order of requests explains these answers: {seen}", f"the hub's view is {view}"]
        lines += [f"possible now: {state.reference.view()}, {state.reference.answers}" for state in states[:5]]
        lines += [
            f"possible before: {state.reference.view()}, {state.reference.answers}, on the way: {queued(state)}"
            for state in self.states[:5]
        ]
        return "\n".join([*lines, self.world.transcript()])

    # -- rules of all operations --------------------------------------------------------------------------------------

    @rule(data=st.data(), count=st.integers(1, 3), pause=_PAUSES)
    def several_steps(self, data: st.DataObject, count: int, pause: float) -> None:
        step = st.one_of(self.ASKS, self.ASKS, self.ASKS, _STEPS)
        self.batch([data.draw(step) for _ in range(count)], pause)

    @rule(data=st.data(), pause=_PAUSES)
    def two_requests(self, data: st.DataObject, pause: float) -> None:
        self.batch([data.draw(self.ASKS), data.draw(self.ASKS)], pause)

    @rule(seconds=st.sampled_from([0.3, 2.0, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.batch([], seconds=seconds)

    @precondition(lambda self: self.world and any(map(self.reachable, HOSTS)))
    @rule(data=st.data(), first=st.booleans(), how=st.sampled_from(["agent", "cut", "cut", "vanish"]), pause=_PAUSES)
    def a_host_goes(self, data: st.DataObject, first: bool, how: str, pause: float) -> None:
        host = [host for host in HOSTS if self.reachable(host)][0 if first else -1]
        step = ("kill_agent", host) if how == "agent" else ("cut_line", host, how == "vanish")
        self.batch([data.draw(self.ASKS), step], pause)

    @rule(data=st.data(), host=st.sampled_from(HOSTS), vanish=st.booleans(), seconds=st.sampled_from([2.5, 19.0]))
    def a_line_is_cut_for_some_time(self, data: st.DataObject, host: str, vanish: bool, seconds: float) -> None:
        """A script waits on a host whose line is cut for some time, while the other scripts continue."""
        if self.reachable(host):
            name, *rest = data.draw(self.ASKS)
            self.batch([(name, host, *rest[1:]) if name == "ask" else (name, *rest)])
            self.batch([("cut_line", host, vanish), data.draw(self.ASKS)], seconds=5.0)
            self.batch([data.draw(self.ASKS)], seconds=seconds)
            self.batch([("reconnect", host)])

    @precondition(lambda self: self.world and not all(map(self.reachable, HOSTS)))
    @rule(seconds=st.sampled_from([7.5, 24.0]))
    def silence_lasts(self, seconds: float) -> None:
        self.batch([], seconds=seconds)

    @precondition(lambda self: self.world and not all(map(self.reachable, HOSTS)))
    @rule(first=st.booleans())
    def a_host_returns(self, first: bool) -> None:
        gone = [host for host in HOSTS if not self.reachable(host)]
        self.batch([("reconnect", gone[0 if first else -1])])

    def teardown(self) -> None:
        if self.world is None:
            return
        try:
            for host in HOSTS * 2:
                if not self.reachable(host):
                    self.batch([("reconnect", host)])
            for host in EVERYWHERE:
                left = [script for script in self.scripts.values() if script.alive and script.host == host]
                if left:
                    self.batch([("kill", script) for script in left])
            if not self.given_up:
                self.nothing_is_left()
            elif currently_in_test_context():
                record_event("the life ended early")  # shown by --hypothesis-show-statistics
        finally:
            self.world.close()

    def nothing_is_left(self) -> None:
        """All scripts have ended. After ten minutes, the hub must have removed all data that it kept for them."""
        self.world.skip(700.0)
        held = self.world.status()["held"]
        assert held == {"waits": 0, "deadlines": 0, "results": 0}, f"{held}\n{self.world.transcript()}"


def repeat(search: type[Search], *batches: Any, seed: int = 0, faults: Faults | None = None) -> None:
    """Live a life that a search has found.

    :param batches: the arguments of :meth:`Search.batch`.
    """
    life = search()
    life.begin(seed=seed, faults=faults)
    try:
        for batch in batches:
            life.batch(*batch)
        assert not life.given_up, "the life ended early, because too many states are possible"
    finally:
        life.teardown()


class _Explaining:
    """The search for orders of the events of one batch that explain the answers."""

    def __init__(
        self, search: Search, window: tuple[float, float], events: list[tuple[str, str, str]], ended_sessions: set[str]
    ) -> None:
        self.found: dict[str, State] = {}
        self._search = search
        self._asks = list(search.asks.values())
        self._window = window
        self._events = events
        self._ended_sessions = ended_sessions
        self._explored: set[tuple[str, int]] = set()

    @property
    def too_many(self) -> bool:
        return len(self._explored) > ORDERS

    def explore(self, state: State, event: int) -> None:
        """Continue the search from a state.

        :param event: how many of the events of hosts (up, lost) have happened in this state.
        """
        key = state.key(), event
        if key in self._explored or len(self._explored) > ORDERS or self._refuted(state):
            return
        self._explored.add(key)
        for host, queue in state.queue.items():
            if queue and host not in self._search.silent:
                for position in state.next(host):
                    self._take(state, host, position, event)
            if queue and host in self._ended_sessions:
                other = state.copy()
                other.queue[host].clear()
                self.explore(other, event)
        if event < len(self._events):
            self._happen(state, event)
        for name, (earliest, _) in state.deadline.items():
            ask = self._search.asks[name]
            if earliest <= self._window[1] and state.answer(ask) is None:
                other = state.copy()
                other.end([ask], "TimedOut")
                self.explore(other, event)
        for step, hosts in state.reference.own_steps():
            if all(self._window[0] - self._search.since.get(host, self._window[0]) < FRESH for host in hosts):
                other = state.copy()
                other.reference.take_step(step)
                self.explore(other, event)
        if event == len(self._events):
            self._finish(state)

    def _take(self, state: State, host: str, position: int, event: int) -> None:
        """The entry at a position of a host's queue arrives at the hub."""
        other = state.copy()
        queue = other.queue[host]
        kind, who, by = queue.pop(position)
        if kind == "ask" and (("cancelled", who, by) in queue or ("ended", by, None) in queue):
            self.explore(other.copy(), event)  # an agent does not have to send a request that was cancelled
        if kind == "ask":
            other.join(who, by, self._window)
            self.explore(other, event)
        elif kind == "cancelled":
            for after in self._committed(other, [who]):
                after.take_back(who, by)
                after.withdraw([who])
                self.explore(after, event)
        else:
            for after in self._committed(other, [ask for ask in self._asks if other.owner.get(ask.name) is who]):
                after.client_ended(who, self._asks)
                self.explore(after, event)

    def _committed(self, state: State, asks: list[Ask]) -> Iterator[State]:
        """The states in which commits of some of these arrivals have reached the hub, though their scripts do not know it."""
        open_ = [ask for ask in asks if state.may_commit(ask)]
        for count in range(len(open_) + 1):
            for some in combinations(open_, count):
                other = state.copy()
                for ask in some:
                    other.confirm(ask)
                yield other

    def _happen(self, state: State, event: int) -> None:
        """The next event of a host happens: it is lost, or up again."""
        what, host, cause = self._events[event]
        if what == "up":
            other = state.copy()
            other.reference.up(host)
            self.explore(other, event + 1)
            return
        mine = [ask for ask in self._asks if ask.host == host and host not in self._search.silent]
        for other in self._committed(state, mine):
            other.lose(host, cause, self._asks)
            self.explore(other, event + 1)

    def _refuted(self, state: State) -> bool:
        """Whether the hub's answers in this state differ from the answers that scripts got."""
        final = [ask for ask in self._asks if state.answer(ask) is not None and state.over(ask)]
        return any(self._differs(state, ask) for ask in final)

    def _differs(self, state: State, ask: Ask) -> bool:
        """Whether the answer to an arrival differs from the answer that its script got."""
        expected = state.answer(ask)
        return ask.name not in state.returned and any(
            attempt.answer != expected and (attempt.answer is not None or self._must_have_answer(attempt))
            for attempt in ask.attempts
            if not (attempt.local or attempt.seen)
        )

    def _must_have_answer(self, attempt: Attempt) -> bool:
        return attempt.script.alive and self._search.reachable(attempt.script.host)

    def _finish(self, state: State) -> None:
        """Keep a state if all steps that had to happen have happened. Add its variants with further commits."""
        reachable = self._search.reachable
        if any(queue and reachable(host) for host, queue in state.queue.items()):
            return
        if any(
            late < self._window[1] and state.reference.answers.get(name) is None
            for name, (_, late) in state.deadline.items()
        ):
            return
        if any(all(map(reachable, hosts)) for _, hosts in state.reference.own_steps()):
            return
        if any(self._differs(state, ask) for ask in self._asks):
            return
        state = state.copy()
        for ask in self._asks:
            if state.known(ask):
                state.confirm(ask)  # the script got its answer after that
        unsure = [ask for ask in self._asks if not reachable(ask.host) and ask.host not in self._search.silent]
        for other in self._committed(state, unsure):
            self.found[other.key()] = other
