"""Messages: topics that hosts send to, and that keep each message for all readers.

1. A topic is a list of messages, numbered from 1, that only grows. Reading consumes nothing: a late reader gets the same
   messages as an early one.
2. A reader *receives*: it waits for the message with a given number, and also gets the messages after it, up to a limit of
   messages and of bytes. It may ask for the messages of others only: its own messages then do not count and are not in
   the answer. Readers and senders are members; two members of one host are different senders.
3. A reader *gathers* (LAVA's wait-all): it waits until every other host of its group, or every other host with a role, has
   sent; see :mod:`.gathering`.
4. A reset forgets a topic; its numbers start at 1 again.

A wait is filed under the number of the message that will end it. For a wait that ignores its reader's own messages, that is
the number if the reader sends nothing more; it grows by one with each message of the reader. So a message costs one step
for each wait that it ends and for each such wait of its sender, for any number of other waits.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from ...errors import LinesyncFailed, TimedOut, UsageError
from ..decisions import ArrivalId, Message, Messages, Outcome, Posted
from ..participants import (
    Cause,
    Client,
    check_member,
    check_name,
    check_timeout,
    host_of,
    names_in_words,
    seconds_in_words,
)
from ..state.topic import GroupReader, Reader, TopicState
from .gathering import ANSWER_ROOM, LISTED, Gathering, Group, Groups, Last
from .waits import Place, Wait, Waits

__all__ = ["Group", "Groups", "Mailbox"]

ITEMS_MAX = 100  # most items of one message
TEXT_MAX = 64 << 10  # most bytes of UTF-8 in the items of one message
MESSAGES_MAX = 10_000  # most messages of one topic
TOPICS_MAX = 10_000  # most topics that have messages
ROOM = 64 << 20  # most bytes of all messages, as _room counts them
MOST = 1000  # most messages in one answer

_MESSAGE_ROOM = 192  # bytes counted for a message besides its items; its sender and number take less
_ITEM_ROOM = 64  # bytes counted for an item besides its text
_PLAIN = bytes(range(0x30, 0x3A)) + bytes(range(0x41, 0x5B)) + bytes(range(0x61, 0x7B))  # bytes that are never escaped
_CONTROLS = bytes(range(0x20)) + b"\x7f"


class Mailbox:
    """All topics of a hub, by namespace and name.

    :param room: the most bytes that all messages together may use, as :func:`_room` counts them.
    """

    def __init__(self, waits: Waits, groups: Groups, *, room: int = ROOM) -> None:
        self.waits = waits
        self.groups = groups
        self.gatherings: dict[Gathering, None] = {}
        self._topics: dict[tuple[str, str], _Topic] = {}
        self._written = 0  # topics that have messages
        self._room = room
        self._taken = 0

    def __len__(self) -> int:
        return len(self._topics)

    # -- requests --------------------------------------------------------------------------------------------------------

    def send(
        self,
        arrival: ArrivalId,
        namespace: str,
        topic: str,
        items: tuple[str, ...],
        sender: str,
        client: Client,
        now: float,
    ) -> list[Outcome]:
        """Add a message to a topic: at most 100 items, at most 64 KiB together.

        :param sender: the member that sends it.
        :returns: :class:`Posted` for this arrival and :class:`Messages` for each wait that it ends; else its failure:
            UsageError (a bad name, or a message that is too large), LinesyncFailed (too many messages or topics).
        """

        def join() -> list[Outcome]:
            check_member(sender)
            found = self._find(namespace, topic)
            room = _room(items)
            self._refuse(found, room)
            self._topics[found.key] = found
            self._written += not found.messages
            self._taken += room
            number = found.add(sender, items, room)
            self.waits.note("message sent", found.key, sender, number)
            done = self.waits.answer(arrival, client, Posted(number=number), now)
            return [done, *found.serve(sender, now)]

        return self.waits.admit(arrival, client, now, join)

    def receive(
        self,
        arrival: ArrivalId,
        namespace: str,
        topic: str,
        first: int,
        most: int,
        others: bool,
        reader: str,
        client: Client,
        now: float,
        timeout: float | None = None,
        within: str = "",
    ) -> list[Outcome]:
        """Wait until a topic has its message number ``first`` (1 to 10,000), and read from there.

        :param most: the most messages to read, 1 to 1,000. The answer has the first one, and more up to about 512 KiB.
        :param others: count only messages whose sender is not ``reader``.
        :param timeout: seconds; 0 polls, None waits without limit.
        :param within: the arrival id of the held grant on whose behalf this arrival waits; empty for none.
        :returns: :class:`Messages`; an empty list while it waits; else its failure: UsageError (a bad name, number or
            timeout), TimedOut (a poll for a message that is not there), LinesyncFailed (too many waits).
        """

        def join() -> list[Outcome]:
            check_member(reader)
            check_timeout(timeout)
            found = self._find(namespace, topic)
            if not (1 <= first <= MESSAGES_MAX and 1 <= most <= MOST):
                raise UsageError(
                    f"invalid range of {most} messages from number {first}: expected 1 to {MOST} messages "
                    f"from a number of 1 to {MESSAGES_MAX}"
                )
            reading = _Reading(first, most, reader if others else None)
            if found.holds(reading):
                return [self.waits.answer(arrival, client, found.read(reading), now)]
            if timeout == 0:
                raise found.missing(reading)
            wait = self.waits.open(arrival, client, found, reader, now, timeout, within)
            self._topics[found.key] = found
            found.enter(wait, reading)
            return []

        return self.waits.admit(arrival, client, now, join)

    def receive_all(
        self,
        arrival: ArrivalId,
        namespace: str,
        topic: str,
        reader: str,
        role: str,
        client: Client,
        now: float,
        timeout: float | None = None,
        within: str = "",
    ) -> list[Outcome]:
        """Wait until every other host of the reader's group has sent to a topic.

        :param role: wait only for the hosts with this role; empty for all.
        :param timeout: seconds; 0 polls, None waits without limit.
        :param within: the arrival id of the held grant on whose behalf this arrival waits; empty for none.
        :returns: :class:`Messages` with the last message of each host; an empty list while it waits; else its failure:
            UsageError (a bad name or timeout), MemberLost, Mismatch (no host has the role), TimedOut (a poll while a
            host has not sent), LinesyncFailed (too many waits, or messages that are too large for one answer).
        """

        def join() -> list[Outcome]:
            check_member(reader)
            check_timeout(timeout)
            if role:
                check_name("role", role)
            found = self._find(namespace, topic)
            gathering = found.gathering(self.groups.name_of(host_of(reader)), role)
            gathering.refuse(reader)
            if gathering.ready(reader):
                return [self.waits.answer(arrival, client, gathering.read(reader), now)]
            if timeout == 0:
                raise gathering.missing(f"poll failed at {found.title}", reader)
            wait = self.waits.open(arrival, client, gathering, reader, now, timeout, within)
            self._topics[found.key] = found
            found.gather(wait, gathering)
            return []

        return self.waits.admit(arrival, client, now, join)

    def names(self) -> set[tuple[str, str]]:
        """The namespaces and names that a reset would forget."""
        return set(self._topics)

    def reset(self, namespace: str, names: Iterable[str] | None, now: float) -> tuple[int, list[Wait]]:
        """Forget topics of a namespace (None: all of them).

        :returns: how many of them had messages, and the waits at them, in order, which the caller must fail.
        """
        keys = list(self._topics) if names is None else [(namespace, name) for name in names]
        found = [self._topics.pop(key) for key in keys if key[0] == namespace and key in self._topics]
        written = [topic for topic in found if topic.messages]
        self._written -= len(written)
        self._taken -= sum(topic.room for topic in written)
        return len(written), [wait for topic in found for wait in topic.everybody()]

    def status(self, now: float) -> list[TopicState]:
        """The state of each topic."""
        return [topic.state(now) for topic in self._topics.values()]

    # -- hosts -------------------------------------------------------------------------------------------------------------

    def hosts_changed(self, now: float) -> list[Outcome]:
        """The group or the role of a host may have changed."""
        return [outcome for gathering in list(self.gatherings) for outcome in gathering.look_again(now)]

    def host_lost(self, host: str, now: float) -> list[Outcome]:
        """A host was lost: fail the waits that need it. The caller ends the host's own waits."""
        needing = [gathering for gathering in self.gatherings if gathering.needs(host)]
        return [outcome for gathering in needing for outcome in gathering.end_hopeless(now)]

    # -- inside --------------------------------------------------------------------------------------------------------------

    def _find(self, namespace: str, name: str) -> _Topic:
        check_name("namespace", namespace)
        check_name("topic", name)
        return self._topics.get((namespace, name)) or _Topic(self, namespace, name)

    def _refuse(self, topic: _Topic, room: int) -> None:
        """Raise LinesyncFailed if a message of this size cannot be kept."""
        if len(topic.messages) >= MESSAGES_MAX:
            raise LinesyncFailed(f"{topic.title} already has {MESSAGES_MAX} messages; use another one, or reset it")
        if not topic.messages and self._written >= TOPICS_MAX:
            raise LinesyncFailed(
                f"{topic.title} cannot be created: this hub already has {TOPICS_MAX} topics; "
                "reset those that are no longer used"
            )
        if self._taken + room > self._room:
            raise LinesyncFailed(
                f"the message does not fit into {topic.title}: the messages on this hub use {self._taken >> 10} of "
                f"{self._room >> 10} KiB; reset topics that are no longer used"
            )

    def remove(self, topic: _Topic) -> None:
        """Forget a topic without messages and waits, unless a reset has already forgotten it."""
        if self._topics.get(topic.key) is topic:
            del self._topics[topic.key]


@dataclass(slots=True, eq=False)
class _Reading:
    """The messages that one wait asks for.

    :ivar apart: the member whose messages do not count; None if all count.
    :ivar due: the number of the message that will end the wait.
    :ivar turn: the wait's place in the order of arrival.
    """

    first: int
    most: int
    apart: str | None
    due: int = 0
    turn: int = 0


class _Topic(Place):
    """One topic: its messages, and the waits for more."""

    def __init__(self, home: Mailbox, namespace: str, name: str) -> None:
        super().__init__("topic", namespace, name)
        self.messages: list[Message] = []
        self.room = 0
        """The bytes of all its messages, as :func:`_room` counts them."""
        self._home = home
        self._rooms: list[int] = []
        self._of: dict[str, list[int]] = {}
        """For each sender: how many messages of others come before each of its own."""
        self._last: dict[str, Last] = {}
        self._readings: dict[Wait, _Reading] = {}
        self._due: dict[int, dict[Wait, _Reading]] = {}
        self._apart: dict[str, dict[Wait, _Reading]] = {}
        self._gatherings: dict[tuple[str, str], Gathering] = {}
        self._turn = 0

    # -- writing ---------------------------------------------------------------------------------------------------------------

    def add(self, sender: str, items: tuple[str, ...], room: int) -> int:
        """Add a message. Call :meth:`serve` to end the waits for it."""
        own = self._of.setdefault(sender, [])
        own.append(len(self.messages) - len(own))
        message = Message(number=len(self.messages) + 1, sender=sender, items=items)
        self.messages.append(message)
        self._rooms.append(room)
        self.room += room
        self._last[host_of(sender)] = Last(message, room)
        return message.number

    def serve(self, sender: str, now: float) -> list[Outcome]:
        """End the waits for the newest message, which is from this sender."""
        number = len(self.messages)
        for wait, reading in self._apart.get(sender, {}).items():
            self._unfile(wait, reading)
            reading.due += 1
            self._due.setdefault(reading.due, {})[wait] = reading
        ready = sorted(self._due.get(number, {}).items(), key=lambda entry: entry[1].turn)
        for wait, _ in ready:
            self._drop(wait)
        outcomes = [self._home.waits.grant(wait, self.read(reading), now) for wait, reading in ready]
        for gathering in list(self._gatherings.values()):
            outcomes += gathering.sent(host_of(sender), now)
        return outcomes

    # -- reading ---------------------------------------------------------------------------------------------------------------

    def holds(self, reading: _Reading) -> bool:
        """Whether the first message of a reading is there."""
        return self._countable(reading) >= reading.first

    def read(self, reading: _Reading) -> Messages:
        """The messages of a reading that are there, as many as fit into one answer."""
        before: Sequence[int] = self._of.get(reading.apart, ()) if reading.apart is not None else ()
        found: list[Message] = []
        room = 0
        for number in range(reading.first, min(reading.first + reading.most - 1, self._countable(reading)) + 1):
            place = number + bisect_left(before, number) - 1  # skips the reader's own messages before it
            room += self._rooms[place]
            if found and room > ANSWER_ROOM:
                break
            message = self.messages[place]
            found.append(message if reading.apart is None else replace(message, number=number))
        return Messages(messages=tuple(found))

    def _countable(self, reading: _Reading) -> int:
        """How many messages count for a reading."""
        return len(self.messages) - (len(self._of.get(reading.apart, ())) if reading.apart is not None else 0)

    # -- waits -----------------------------------------------------------------------------------------------------------------

    def everybody(self) -> list[Wait]:
        return [*self._readings, *(wait for gathering in self._gatherings.values() for wait in gathering.everybody())]

    def enter(self, wait: Wait, reading: _Reading) -> None:
        """Add a wait whose first message is not there yet."""
        self._turn += 1
        reading.turn = self._turn
        reading.due = reading.first + len(self.messages) - self._countable(reading)
        self._readings[wait] = reading
        self._due.setdefault(reading.due, {})[wait] = reading
        if reading.apart is not None:
            self._apart.setdefault(reading.apart, {})[wait] = reading

    def gathering(self, group: str, role: str) -> Gathering:
        """The gathering for a group, or for a role in it: the existing one, or a new one that is not kept yet."""
        return self._gatherings.get((group, role)) or Gathering(
            self._home.waits, self._home.groups, self.key, self._last, group, role, self._gathered
        )

    def gather(self, wait: Wait, gathering: Gathering) -> None:
        """Add a wait to a gathering."""
        self._gatherings[gathering.whom] = gathering
        self._home.gatherings[gathering] = None
        gathering.enter(wait)

    def _gathered(self, gathering: Gathering) -> None:
        if self._gatherings.pop(gathering.whom, None) is not None:
            del self._home.gatherings[gathering]
            self._vanish_if_empty()

    def leave(self, wait: Wait, cause: Cause) -> None:
        self._drop(wait)

    def settle(self, now: float) -> list[Outcome]:
        self._vanish_if_empty()
        return []

    def _drop(self, wait: Wait) -> None:
        reading = self._readings.pop(wait)
        self._unfile(wait, reading)
        if reading.apart is not None:
            there = self._apart[reading.apart]
            del there[wait]
            if not there:
                del self._apart[reading.apart]

    def _unfile(self, wait: Wait, reading: _Reading) -> None:
        there = self._due[reading.due]
        del there[wait]
        if not there:
            del self._due[reading.due]

    def _vanish_if_empty(self) -> None:
        if not (self.messages or self._readings or self._gatherings):
            self._home.remove(self)

    # -- in words --------------------------------------------------------------------------------------------------------------

    def missing(self, reading: _Reading, timeout: float = 0) -> TimedOut:
        """The error for a timeout or a poll (0): the message that is missing, and how many there are from whom."""
        senders = [sender for sender in self._of if sender != reading.apart]
        there = self._countable(reading)
        whose = "" if reading.apart is None else f" from a sender other than {reading.apart}"
        if senders:
            so_far = f"{there} so far, from {names_in_words(senders, len(senders))}"
        else:
            so_far = "no host has sent one" if reading.apart is None else "no other sender has sent one"
        message = f"message {reading.first} of {self.title}{whose}"
        after = f"timed out after {seconds_in_words(timeout)} waiting for {message}"
        return TimedOut(
            f"{after if timeout else f'{message} is not there yet'}: {so_far}",
            details={"first": reading.first, "messages": there, "senders": senders[:LISTED]},
        )

    def timed_out(self, wait: Wait) -> TimedOut:
        return self.missing(self._readings[wait], wait.timeout or 0)

    def state(self, now: float) -> TopicState:
        namespace, name = self.key
        waiting: list[Reader | GroupReader] = [
            Reader(
                name=wait.name,
                client=wait.client.number,
                waiting=now - wait.since,
                first=reading.first,
                others=reading.apart is not None,
            )
            for wait, reading in self._readings.items()
        ]
        for gathering in self._gatherings.values():
            waiting += gathering.state(now)
        return TopicState(
            namespace=namespace,
            name=name,
            messages=len(self.messages),
            senders=tuple(islice(self._of, LISTED)),
            waiting=tuple(waiting),
        )


def _room(items: tuple[str, ...]) -> int:
    """The bytes counted for a message of these items: at least as many as it takes in an answer, including escapes.

    :raises UsageError: the message is too large.
    """
    if len(items) > ITEMS_MAX or sum(map(len, items)) > TEXT_MAX:
        raise _too_large()
    text = "".join(items).encode(errors="surrogatepass")
    if len(text) > TEXT_MAX:
        raise _too_large()
    escaped = len(text.translate(None, _PLAIN))
    controls = len(text) - len(text.translate(None, _CONTROLS))
    return _MESSAGE_ROOM + _ITEM_ROOM * len(items) + len(text) + 2 * escaped + 3 * controls


def _too_large() -> UsageError:
    return UsageError(
        f"the message is too large: it may have at most {ITEMS_MAX} items and {TEXT_MAX >> 10} KiB; "
        "send several messages, or copy a file instead"
    )
