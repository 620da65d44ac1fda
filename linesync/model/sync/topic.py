"""One topic: its messages, and the waits for further messages.

A table contains each wait under the number of the message that will end it. For a wait that ignores the messages of its own
reader, this number grows by one with each message of the reader. The cost of a message is therefore one step for each wait
that it ends and for each such wait of its sender. It does not depend on the number of other waits.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from ...errors import TimedOut
from ..decisions import Message, Messages, Outcome
from ..kept.waits import AtTopic
from ..participants import Cause, host_of, names_in_words, seconds_in_words
from ..state.sync.topic import GroupReader, Reader, TopicState
from .gathering import ANSWER_ROOM, LISTED, Gathering, Groups, Last
from .place import Place
from .waits import Wait, Waits

__all__ = ["Home", "Reading", "Topic"]


@dataclass(slots=True, eq=False)
class Reading:
    """The messages that one wait asks for.

    :ivar first: the number of the first message, from 1, among the messages that count.
    :ivar most: the maximum number of messages.
    :ivar ignored: the member whose messages do not count; None if all count.
    :ivar due: the number of the message that will end the wait.
    """

    first: int
    most: int
    ignored: str | None
    due: int = 0


class Home(Protocol):
    """The mailbox of a topic, as the topic uses it.

    :ivar gatherings: the gatherings of all topics, by number.
    """

    waits: Waits
    groups: Groups
    gatherings: dict[int, Gathering]

    def remove(self, topic: Topic) -> None:
        """Forget a topic without messages and waits."""


class Topic(Place):
    """One topic: its messages, and the waits for further messages."""

    def __init__(self, home: Home, namespace: str, name: str) -> None:
        super().__init__("topic", namespace, name)
        self.messages: list[Message] = []
        self.room = 0
        """The size of all its messages in bytes, as the mailbox counts them."""
        self._home = home
        self._rooms: list[int] = []
        self._others_before: dict[str, list[int]] = {}
        """For each sender: the number of messages of other senders before each of its messages."""
        self._last: dict[str, Last] = {}
        self._readings: dict[Wait, Reading] = {}
        self._due: dict[int, dict[Wait, Reading]] = {}
        self._ignoring: dict[str, dict[Wait, Reading]] = {}
        self._gatherings: dict[tuple[str, str], Gathering] = {}

    # -- writing ---------------------------------------------------------------------------------------------------------------

    def add(self, sender: str, items: tuple[str, ...], room: int) -> int:
        """Add a message. Call :meth:`serve` to end the waits for it."""
        counts = self._others_before.setdefault(sender, [])
        counts.append(len(self.messages) - len(counts))
        message = Message(number=len(self.messages) + 1, sender=sender, items=items)
        self.messages.append(message)
        self._rooms.append(room)
        self.room += room
        self._last[host_of(sender)] = Last(message, room)
        return message.number

    def serve(self, sender: str, now: float) -> list[Outcome]:
        """End the waits for the newest message.

        :param sender: the sender of the newest message.
        """
        number = len(self.messages)
        for wait, reading in self._ignoring.get(sender, {}).items():
            self._remove_due(wait, reading)
            reading.due += 1
            self._due.setdefault(reading.due, {})[wait] = reading
        ready = sorted(self._due.get(number, {}).items(), key=lambda entry: entry[0].number)
        for wait, _ in ready:
            self._drop(wait)
        outcomes = [self._home.waits.grant(wait, self.read(reading), now) for wait, reading in ready]
        for gathering in list(self._gatherings.values()):
            outcomes += gathering.sent(host_of(sender), now)
        return outcomes

    # -- reading ---------------------------------------------------------------------------------------------------------------

    def holds(self, reading: Reading) -> bool:
        """Whether the topic has the first message of a reading."""
        return self._countable(reading) >= reading.first

    def read(self, reading: Reading) -> Messages:
        """The messages of a reading, as many as fit into one answer."""
        before: Sequence[int] = self._others_before.get(reading.ignored, ()) if reading.ignored is not None else ()
        found: list[Message] = []
        room = 0
        for number in range(reading.first, min(reading.first + reading.most - 1, self._countable(reading)) + 1):
            index = number + bisect_left(before, number) - 1  # skips the earlier messages of the ignored member
            room += self._rooms[index]
            if found and room > ANSWER_ROOM:
                break
            message = self.messages[index]
            found.append(message if reading.ignored is None else replace(message, number=number))
        return Messages(messages=tuple(found))

    def _countable(self, reading: Reading) -> int:
        """The number of messages that count for a reading."""
        return len(self.messages) - (
            len(self._others_before.get(reading.ignored, ())) if reading.ignored is not None else 0
        )

    # -- waits -----------------------------------------------------------------------------------------------------------------

    def all_waits(self) -> list[Wait]:
        return [*self._readings, *(wait for gathering in self._gatherings.values() for wait in gathering.all_waits())]

    def enter(self, wait: Wait, reading: Reading) -> None:
        """Add a wait whose first message was not sent yet."""
        reading.due = reading.first + len(self.messages) - self._countable(reading)
        self._readings[wait] = reading
        self._due.setdefault(reading.due, {})[wait] = reading
        if reading.ignored is not None:
            self._ignoring.setdefault(reading.ignored, {})[wait] = reading

    def gathering(self, group: str, role: str, stopped: Collection[str] = ()) -> Gathering:
        """The gathering for a group, or for a role in it: the existing gathering, or a new gathering that is not kept yet.

        :param stopped: for a restored gathering, the stopped hosts that still belong to it.
        """
        return self._gatherings.get((group, role)) or Gathering(
            self._home.waits, self._home.groups, self.key, self._last, group, role, self._gathered, stopped
        )

    def gather(self, gathering: Gathering) -> None:
        """Keep a gathering that will have waits."""
        if gathering.selection in self._gatherings:
            return
        journal = self._home.waits.journal
        gathering.number = gathering.number or journal.number()
        self._gatherings[gathering.selection] = gathering
        self._home.gatherings[gathering.number] = gathering
        journal.mark("gathering", gathering.number, new=True)

    def _gathered(self, gathering: Gathering) -> None:
        if self._gatherings.pop(gathering.selection, None) is not None:
            del self._home.gatherings[gathering.number]
            self._home.waits.journal.mark("gathering", gathering.number)
            self._remove_if_empty()

    def kept(self, wait: Wait) -> AtTopic:
        reading = self._readings[wait]
        return AtTopic(*self.key, reading.first, reading.most, reading.ignored)

    def restore_wait(self, wait: Wait, at: AtTopic) -> None:
        reading = Reading(at.first, at.most, at.apart)
        if self.holds(reading) or wait.granted is not None:
            raise ValueError(f"a wait for message {at.first} of {self.title} would have ended")
        self.enter(wait, reading)

    def leave(self, wait: Wait, cause: Cause) -> None:
        self._drop(wait)

    def settle(self, now: float) -> list[Outcome]:
        self._remove_if_empty()
        return []

    def _drop(self, wait: Wait) -> None:
        reading = self._readings.pop(wait)
        self._remove_due(wait, reading)
        if reading.ignored is not None:
            readings = self._ignoring[reading.ignored]
            del readings[wait]
            if not readings:
                del self._ignoring[reading.ignored]

    def _remove_due(self, wait: Wait, reading: Reading) -> None:
        readings = self._due[reading.due]
        del readings[wait]
        if not readings:
            del self._due[reading.due]

    def _remove_if_empty(self) -> None:
        if not (self.messages or self._readings or self._gatherings):
            self._home.remove(self)

    # -- in words --------------------------------------------------------------------------------------------------------------

    def missing(self, reading: Reading, timeout: float = 0) -> TimedOut:
        """The error for a timeout or a poll: the missing message, the number of existing messages and their senders.

        :param timeout: the timeout in seconds; 0 for a poll.
        """
        senders = [sender for sender in self._others_before if sender != reading.ignored]
        count = self._countable(reading)
        origin = "" if reading.ignored is None else f" from a sender other than {reading.ignored}"
        if senders:
            so_far = f"{count} so far, from {names_in_words(senders, len(senders))}"
        else:
            so_far = "no host has sent one" if reading.ignored is None else "no other sender has sent one"
        message = f"message {reading.first} of {self.title}{origin}"
        after = f"timed out after {seconds_in_words(timeout)} waiting for {message}"
        return TimedOut(
            f"{after if timeout else f'{message} is not there yet'}: {so_far}",
            details={"first": reading.first, "messages": count, "senders": senders[:LISTED]},
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
                others=reading.ignored is not None,
            )
            for wait, reading in self._readings.items()
        ]
        for gathering in self._gatherings.values():
            waiting += gathering.state(now)
        return TopicState(
            namespace=namespace,
            name=name,
            messages=len(self.messages),
            senders=tuple(islice(self._others_before, LISTED)),
            waiting=tuple(waiting),
        )
