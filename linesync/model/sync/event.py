"""Events: names that are set or not, and stay as they are until somebody changes them.

1. An event that nobody has set is not set; there is nothing to create, and waiting first is normal. Setting what is set
   and clearing what is not change nothing.
2. A wait asks for *all* of its events or for *any* of them, and goes by their level: it ends as soon as they are set at
   one and the same moment, or at once where they are. An event that was set and cleared again while another one was still
   missing has not counted. A short pulse does serve whoever needed just that.
3. The events of one request are set, or cleared, at once: whoever waits sees all of them changed, or none. Waits are
   served in order of arrival, and take nothing away from each other.
4. The answer to a wait names those of its events that are set, in the order in which it asked for them.

Each wait counts how many of its events are not set, so that a change costs one step for each wait at each event that
changed, however many events they wait for.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import LinesyncFailed, TimedOut, UsageError
from ..decisions import ArrivalId, Names, Outcome
from ..participants import Cause, Client, check_name, check_timeout, names_in_words, seconds_in_words
from .waits import Place, Wait, Waits

__all__ = ["Events"]

SET_MAX = 10_000  # events of a hub that are set
NAMES_MAX = 100  # events of one request
AWAITED_MAX = 100_000  # names that all waits together ask for

_Key = tuple[str, str]


class Events:
    """All events of a hub, by namespace and name."""

    def __init__(self, waits: Waits) -> None:
        self.waits = waits
        self.is_set: dict[_Key, None] = {}
        """In the order in which they were set."""
        self._at: dict[_Key, dict[_Question, None]] = {}
        self._awaited = 0
        self._serial = 0

    def __len__(self) -> int:
        """How many events are set or waited for."""
        return len(self.is_set.keys() | self._at.keys())

    # -- requests --------------------------------------------------------------------------------------------------------

    def set(
        self, arrival: ArrivalId, namespace: str, names: tuple[str, ...], client: Client, now: float
    ) -> list[Outcome]:
        """Set events, 1 to 100 at once.

        :returns: :class:`Names` without names for this arrival, with names for those it served; else its failure:
            UsageError (a bad name, none or too many), LinesyncFailed (too many events are set).
        """

        def join() -> list[Outcome]:
            new = [key for key in _keys(namespace, names) if key not in self.is_set]
            if len(self.is_set) + len(new) > SET_MAX:
                raise LinesyncFailed(
                    f"event '{new[0][1]}' cannot be set: {len(self.is_set)} events are set on this hub, and more than "
                    f"{SET_MAX} are not kept; clear or reset those no longer used"
                )
            for key in new:
                self.is_set[key] = None
            done = self.waits.answer(arrival, client, Names(names=()), now)
            return [done, *self._serve(new, now)]

        return self.waits.admit(arrival, client, now, join)

    def clear(
        self, arrival: ArrivalId, namespace: str, names: tuple[str, ...], client: Client, now: float
    ) -> list[Outcome]:
        """Clear events, 1 to 100 at once.

        :returns: :class:`Names` without names, or UsageError (a bad name, none or too many).
        """

        def join() -> list[Outcome]:
            for key in _keys(namespace, names):
                self._unset(key)
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
        """Wait until all of 1 to 100 events are set at the same moment, or any of them.

        :param timeout: seconds; 0 polls, None waits for ever.
        :returns: :class:`Names`, those that are set; nothing while it waits; else its failure: UsageError (a bad name or
            timeout, no name or too many), TimedOut (a poll that came too early), LinesyncFailed (too many waits).
        """

        def join() -> list[Outcome]:
            keys = _keys(namespace, names)
            check_timeout(timeout)
            question = _Question(self, keys, any_)
            if question.answered:
                return [self.waits.answer(arrival, client, Names(names=question.present()), now)]
            if timeout == 0:
                raise question.unanswered(f"too early at {question.title}")
            if self._awaited + len(keys) > AWAITED_MAX:
                raise LinesyncFailed(
                    f"{question.title} cannot be waited for: the waits on this hub ask for {self._awaited} events, and "
                    f"more than {AWAITED_MAX} are too many; end some of them first"
                )
            question.wait = self.waits.open(arrival, client, question, client.host, now, timeout, within)
            self._file(question)
            return []

        return self.waits.admit(arrival, client, now, join)

    def reset(self, namespace: str, names: Iterable[str] | None, now: float) -> tuple[int, list[Wait]]:
        """Forget the set events of these names of a namespace (None: all of them).

        :returns: how many there were, and the waits that ask for any of the names, in order, which are to fail.
        """
        keys = (
            [key for key in [*self.is_set, *self._at] if key[0] == namespace]
            if names is None
            else [(namespace, name) for name in names]
        )
        forgotten = sum(self._unset(key) for key in dict.fromkeys(keys))
        return forgotten, [question.wait for question in self._at_any(keys)]

    def status(self, now: float) -> list[dict[str, object]]:
        """One JSON-able row for each event that is set or waited for; ``waiting`` is in seconds."""
        return [
            {
                "namespace": key[0],
                "name": key[1],
                "set": key in self.is_set,
                "waiting": [question.row(now) for question in self._at.get(key, ())],
            }
            for key in dict.fromkeys([*self.is_set, *self._at])
        ]

    # -- inside ------------------------------------------------------------------------------------------------------------

    def _unset(self, key: _Key) -> bool:
        if key not in self.is_set:
            return False
        del self.is_set[key]
        for question in self._at.get(key, ()):
            question.lacks += 1
        return True

    def _serve(self, new: list[_Key], now: float) -> list[Outcome]:
        """Grant what these events were all that was missing of."""
        for key in new:
            for question in self._at.get(key, ()):
                question.lacks -= 1
        ready = [question for question in self._at_any(new) if question.answered]
        for question in ready:
            self.remove(question)
        return [self.waits.grant(question.wait, Names(names=question.present()), now) for question in ready]

    def _at_any(self, keys: Iterable[_Key]) -> list[_Question]:
        """Who waits at any of these events, in order of arrival."""
        found = {question: None for key in keys for question in self._at.get(key, ())}
        return sorted(found, key=lambda question: question.serial)

    def _file(self, question: _Question) -> None:
        self._serial += 1
        question.serial = self._serial
        self._awaited += len(question.keys)
        for key in question.keys:
            self._at.setdefault(key, {})[question] = None

    def remove(self, question: _Question) -> None:
        """Forget what somebody waited for."""
        self._awaited -= len(question.keys)
        for key in question.keys:
            there = self._at[key]
            del there[question]
            if not there:
                del self._at[key]


class _Question(Place):
    """What one wait asks for: it is its own place, for it may stand at many events."""

    wait: Wait
    serial: int

    def __init__(self, home: Events, keys: list[_Key], any_: bool) -> None:
        names = tuple(name for _, name in keys)
        super().__init__("event" if len(names) == 1 else "events", keys[0][0], names_in_words(names, len(names)))
        self._home = home
        self.keys = keys
        self._any = any_
        self.lacks = sum(key not in home.is_set for key in keys)
        """How many of the events are not set."""

    @property
    def answered(self) -> bool:
        return self.lacks < len(self.keys) if self._any else self.lacks == 0

    def present(self) -> tuple[str, ...]:
        """Those that are set, in the order asked for."""
        return tuple(key[1] for key in self.keys if key in self._home.is_set)

    def unanswered(self, headline: str) -> TimedOut:
        """Word a timeout: which are set and which are missing."""
        there = self.present()
        missing = [key[1] for key in self.keys if key not in self._home.is_set]
        told = [f"missing: {names_in_words(missing, len(missing))}"]
        if there:
            told.insert(0, f"set: {names_in_words(there, len(there))}")
        if self._any and len(missing) > 1:
            told.append("any of them would do")
        return TimedOut(
            f"{headline}: {'; '.join(told)}", details={"set": list(there), "missing": missing, "any": self._any}
        )

    def timed_out(self, wait: Wait) -> TimedOut:
        return self.unanswered(f"timed out after {seconds_in_words(wait.timeout or 0)} at {self.title}")

    def leave(self, wait: Wait, cause: Cause) -> None:
        self._home.remove(self)

    def settle(self, now: float) -> list[Outcome]:
        return []  # whoever leaves was in nobody's way

    def row(self, now: float) -> dict[str, object]:
        wait = self.wait
        return {"name": wait.name, "client": wait.client.number, "waiting": now - wait.since, "any": self._any}


def _keys(namespace: str, names: tuple[str, ...]) -> list[_Key]:
    """Each event once, in the order named; raises UsageError."""
    check_name("namespace", namespace)
    if not 1 <= len(names) <= NAMES_MAX:
        raise UsageError(f"one request is about 1 to {NAMES_MAX} events, not {len(names)}; split it up")
    for name in names:
        check_name("event", name)
    return [(namespace, name) for name in dict.fromkeys(names)]
