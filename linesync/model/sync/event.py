"""Events: named flags that stay set or cleared until a client changes them.

1. A client does not create an event before its first use. Every event is cleared at first. A client may wait for an event
   before another client sets it. A request that sets a set event or clears a cleared event changes nothing.
2. A wait asks for *all* of its events or for *any* of them. It ends as soon as they are set at the same moment, or
   immediately if they already are. An event that is set and cleared while another event of the wait is still missing does
   not count. A short pulse ends a wait that lacks only this event.
3. One request changes all of its events together: a wait sees all changes, or none. Waits are served in order of arrival.
   A served wait does not clear its events.
4. The answer to a wait names its events that are set, in the order in which the wait named them.

Each wait counts its events that are not set. The cost of a change is therefore one step for each wait at each changed event,
for any number of events in the waits.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import LinesyncFailed, TimedOut, UsageError
from ..decisions import ArrivalId, Names, Outcome
from ..kept.objects import KeptEvent
from ..kept.rows import Rows, by_number
from ..kept.waits import AtEvents
from ..participants import Cause, Client, check_name, check_timeout, names_in_words, seconds_in_words
from ..state.sync.event import EventState, EventWaiting
from .place import Place
from .waits import Wait, Waits

__all__ = ["Events"]

SET_MAX = 10_000  # the maximum number of set events of a hub
NAMES_MAX = 100  # the maximum number of events of one request
AWAITED_MAX = 100_000  # the maximum number of events that all waits together name

_Key = tuple[str, str]


class Events:
    """All events of a hub, by namespace and name."""

    def __init__(self, waits: Waits) -> None:
        self.waits = waits
        self.is_set: dict[_Key, int] = {}
        """The events that are set, in the order in which they were set, each with an increasing sequence number."""
        self._waits_at: dict[_Key, dict[_Question, None]] = {}
        self._awaited = 0
        waits.journal.source("event", self._kept, lambda: self.is_set)

    def __len__(self) -> int:
        """The number of events that are set or waited for."""
        return len(self.is_set.keys() | self._waits_at.keys())

    # -- requests --------------------------------------------------------------------------------------------------------

    def set(
        self, arrival: ArrivalId, namespace: str, names: tuple[str, ...], client: Client, now: float
    ) -> list[Outcome]:
        """Set 1 to 100 events together.

        :returns: :class:`Names` without names for this arrival, and with names for each wait that it ends; else its
            failure: UsageError (an invalid name, no name or too many), LinesyncFailed (too many events are set).
        """

        def join() -> list[Outcome]:
            new = [key for key in _keys(namespace, names) if key not in self.is_set]
            if len(self.is_set) + len(new) > SET_MAX:
                raise LinesyncFailed(
                    f"event '{new[0][1]}' cannot be set: {len(self.is_set)} events are set on this hub, and the limit "
                    f"is {SET_MAX}; clear or reset the events that are no longer used"
                )
            for key in new:
                self.is_set[key] = self.waits.journal.number()
                self.waits.journal.mark("event", key, new=True)
                self.waits.note("event set", key, client.host)
            outcome = self.waits.answer(arrival, client, Names(names=()), now)
            return [outcome, *self._serve(new, now)]

        return self.waits.admit(arrival, client, now, join)

    def clear(
        self, arrival: ArrivalId, namespace: str, names: tuple[str, ...], client: Client, now: float
    ) -> list[Outcome]:
        """Clear 1 to 100 events together.

        :returns: :class:`Names` without names, or the failure UsageError (an invalid name, no name or too many).
        """

        def join() -> list[Outcome]:
            for key in _keys(namespace, names):
                if self._unset(key):
                    self.waits.note("event cleared", key, client.host)
            return [self.waits.answer(arrival, client, Names(names=()), now)]

        return self.waits.admit(arrival, client, now, join)

    def wait(
        self,
        arrival: ArrivalId,
        namespace: str,
        names: tuple[str, ...],
        any_: bool,
        client: Client,
        now: float,
        timeout: float | None = None,
        within: str = "",
    ) -> list[Outcome]:
        """Wait until 1 to 100 events are set at the same moment, or until any of them is set.

        :param any_: whether one of the events is enough.
        :param timeout: seconds; 0 polls, None waits without limit.
        :param within: the arrival id of the hold on whose behalf this arrival waits; empty for none.
        :returns: :class:`Names` of the events that are set; an empty list while it waits; else its failure: UsageError (an
            invalid name or timeout, no name or too many), TimedOut (a poll of events that are not set), LinesyncFailed
            (too many waits).
        """

        def join() -> list[Outcome]:
            keys = _keys(namespace, names)
            check_timeout(timeout)
            question = _Question(self, keys, any_)
            if question.answered:
                return [self.waits.answer(arrival, client, Names(names=question.names_set()), now)]
            if timeout == 0:
                raise question.unanswered(f"poll failed at {question.title}")
            if self._awaited + len(keys) > AWAITED_MAX:
                raise LinesyncFailed(
                    f"{question.title} cannot be waited for: the waits on this hub name {self._awaited} events, and the "
                    f"limit is {AWAITED_MAX}; end some of these waits first"
                )
            question.enter(self.waits.open(arrival, client, question, client.host, now, timeout, within))
            return []

        return self.waits.admit(arrival, client, now, join)

    def names(self) -> frozenset[_Key]:
        """The namespace and name of each object that a reset would forget."""
        return frozenset({*self.is_set, *self._waits_at})

    def reset(self, namespace: str, names: Iterable[str] | None, now: float) -> tuple[int, list[Wait]]:
        """Clear events of a namespace.

        :param names: the events; None for all events of the namespace.
        :returns: the number of events that were set, and the waits that name any of the events, in order of arrival. The
            caller must fail these waits.
        """
        keys = (
            [key for key in [*self.is_set, *self._waits_at] if key[0] == namespace]
            if names is None
            else [(namespace, name) for name in names]
        )
        forgotten = sum(self._unset(key) for key in dict.fromkeys(keys))
        return forgotten, [question.wait for question in self._at_any(keys)]

    def status(self, now: float) -> list[EventState]:
        """The state of each event. Set events come first, in the order in which they were set; then events with waits, the
        oldest wait first."""
        return [
            EventState(
                namespace=key[0],
                name=key[1],
                set=key in self.is_set,
                waiting=tuple([question.state(now) for question in self._waits_at.get(key, ())]),
            )
            for key in dict.fromkeys([*self.is_set, *sorted(self._waits_at, key=self._longest)])
        ]

    # -- storing -----------------------------------------------------------------------------------------------------------

    def _kept(self, key: _Key) -> KeptEvent | None:
        number = self.is_set.get(key)
        return KeptEvent(number) if number is not None else None

    def restore(self, rows: Rows) -> None:
        """Restore the events that are set.

        :raises BadRow: a row is not valid.
        """

        def restore_row(key: list[str], kept: KeptEvent) -> None:
            namespace, name = key
            self.is_set[namespace, name] = self.waits.journal.numbered(kept.number)

        rows.each("event", KeptEvent, restore_row, by_number)

    def place(self, at: AtEvents) -> Place:
        """Make the place of a stored wait.

        :raises UsageError: a name is not valid.
        """
        return _Question(self, _keys(at.namespace, at.events), at.any)

    # -- inside ------------------------------------------------------------------------------------------------------------

    def _unset(self, key: _Key) -> bool:
        if key not in self.is_set:
            return False
        del self.is_set[key]
        self.waits.journal.mark("event", key)
        for question in self._waits_at.get(key, ()):
            question.lacks += 1
        return True

    def _serve(self, new: list[_Key], now: float) -> list[Outcome]:
        """End the waits that lacked only these events."""
        for key in new:
            for question in self._waits_at.get(key, ()):
                question.lacks -= 1
        ready = [question for question in self._at_any(new) if question.answered]
        for question in ready:
            self.remove(question)
        return [self.waits.grant(question.wait, Names(names=question.names_set()), now) for question in ready]

    def _at_any(self, keys: Iterable[_Key]) -> list[_Question]:
        """The waits at any of these events, in order of arrival."""
        found = {question: None for key in keys for question in self._waits_at.get(key, ())}
        return sorted(found, key=lambda question: question.wait.number)

    def _longest(self, key: _Key) -> tuple[int, int]:
        """The sort key of an event with waits: the number of its oldest wait, and its position in that request."""
        question = next(iter(self._waits_at[key]))
        return question.wait.number, question.keys.index(key)

    def file(self, question: _Question) -> None:
        """Add a wait that has not ended."""
        self._awaited += len(question.keys)
        for key in question.keys:
            self._waits_at.setdefault(key, {})[question] = None

    def remove(self, question: _Question) -> None:
        """Forget a wait that has ended."""
        self._awaited -= len(question.keys)
        for key in question.keys:
            questions = self._waits_at[key]
            del questions[question]
            if not questions:
                del self._waits_at[key]


class _Question(Place):
    """The events that one wait asks for. Each wait has its own place, because it may wait at many events."""

    wait: Wait

    def __init__(self, home: Events, keys: list[_Key], any_: bool) -> None:
        names = tuple(name for _, name in keys)
        super().__init__("event" if len(names) == 1 else "events", keys[0][0], names_in_words(names, len(names)))
        self._home = home
        self.keys = keys
        self._any = any_
        self.lacks = sum(key not in home.is_set for key in keys)
        """The number of the events that are not set."""

    def enter(self, wait: Wait) -> None:
        """Begin the wait."""
        self.wait = wait
        self._home.file(self)

    def kept(self, wait: Wait) -> AtEvents:
        return AtEvents(self.keys[0][0], tuple([name for _, name in self.keys]), self._any)

    def restore_wait(self, wait: Wait, at: AtEvents) -> None:
        if self.answered or wait.granted is not None:
            raise ValueError(f"a wait for the {self.title} would have ended")
        self.enter(wait)

    @property
    def answered(self) -> bool:
        return self.lacks < len(self.keys) if self._any else self.lacks == 0

    def names_set(self) -> tuple[str, ...]:
        """The events that are set, in the order of the request."""
        return tuple(key[1] for key in self.keys if key in self._home.is_set)

    def unanswered(self, headline: str) -> TimedOut:
        """The error for a timeout, with the set events and the missing events."""
        present = self.names_set()
        missing = [key[1] for key in self.keys if key not in self._home.is_set]
        parts = [f"missing: {names_in_words(missing, len(missing))}"]
        if present:
            parts.insert(0, f"set: {names_in_words(present, len(present))}")
        if self._any and len(missing) > 1:
            parts.append("any of them is enough")
        return TimedOut(
            f"{headline}: {'; '.join(parts)}", details={"set": list(present), "missing": missing, "any": self._any}
        )

    def timed_out(self, wait: Wait) -> TimedOut:
        return self.unanswered(f"timed out after {seconds_in_words(wait.timeout or 0)} at {self.title}")

    def leave(self, wait: Wait, cause: Cause) -> None:
        self._home.remove(self)

    def settle(self, now: float) -> list[Outcome]:
        return []  # a wait for events does not block other waits

    def state(self, now: float) -> EventWaiting:
        wait = self.wait
        return EventWaiting(name=wait.name, client=wait.client.number, waiting=now - wait.since, any=self._any)


def _keys(namespace: str, names: tuple[str, ...]) -> list[_Key]:
    """The keys of the events, each once, in the order of the request.

    :raises UsageError: a name is not valid, or the number of names.
    """
    check_name("namespace", namespace)
    if not 1 <= len(names) <= NAMES_MAX:
        raise UsageError(f"a request must name 1 to {NAMES_MAX} events, not {len(names)}; split it")
    for name in names:
        check_name("event", name)
    return [(namespace, name) for name in dict.fromkeys(names)]
