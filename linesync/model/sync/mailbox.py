"""Messages: members send them to a topic, and the topic keeps each message for all readers.

1. A topic is a list of messages, numbered from 1, that only grows. Reading does not remove a message: a late reader gets the
   same messages as an early reader.
2. A reader *receives*: it waits for the message with a given number. It also gets the messages after it, up to a limit of
   messages and of bytes. It may ask only for the messages of other members. Its own messages then do not count and are not in
   the answer. Readers and senders are members; two members of one host are different senders.
3. A reader *gathers* (LAVA's wait-all): it waits until every other host of its group, or every other host with a role, has
   sent; see :mod:`.gathering`.
4. A reset forgets a topic; its numbers start at 1 again.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import LinesyncFailed, UsageError
from ..decisions import ArrivalId, Outcome, Posted
from ..kept.objects import KeptGathering, KeptMessageRow, KeptTopic
from ..kept.rows import Rows, by_key, by_number
from ..kept.waits import AtGathering, AtTopic
from ..participants import Client, check_member, check_name, check_timeout, host_of
from ..state.sync.topic import TopicState
from .gathering import Gathering, Group, Groups
from .place import Place
from .topic import Reading, Topic
from .waits import Wait, Waits

__all__ = ["Group", "Groups", "Mailbox"]

ITEMS_MAX = 100  # the maximum number of items of one message
TEXT_MAX = 64 << 10  # the maximum size of the items of one message together, in bytes of UTF-8
MESSAGES_MAX = 10_000  # the maximum number of messages of one topic
TOPICS_MAX = 10_000  # the maximum number of topics that have messages
ROOM = 64 << 20  # the maximum size of all messages together, in bytes as _room counts them
MOST = 1000  # the maximum number of messages in one answer

_MESSAGE_ROOM = 192  # bytes counted for the sender, the number and the overhead of a message
_ITEM_ROOM = 64  # bytes counted for the overhead of an item
_PLAIN = bytes(range(0x30, 0x3A)) + bytes(range(0x41, 0x5B)) + bytes(range(0x61, 0x7B))  # bytes that are never escaped
_CONTROLS = bytes(range(0x20)) + b"\x7f"


class Mailbox:
    """All topics of a hub, by namespace and name.

    :param room: the maximum size of all messages together, in bytes as :func:`_room` counts them.
    """

    def __init__(self, waits: Waits, groups: Groups, *, room: int = ROOM) -> None:
        self.waits = waits
        self.groups = groups
        self.gatherings: dict[int, Gathering] = {}
        """All gatherings by number, in increasing order."""
        self._topics: dict[tuple[str, str], Topic] = {}
        self._written = 0  # topics that have messages
        self._room = room
        self._taken = 0
        journal = waits.journal
        journal.source("topic", self._kept, lambda: self._topics)
        journal.source("message", self._kept_message, self._message_keys)
        journal.source("gathering", self._kept_gathering, lambda: self.gatherings)

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
        """Add a message to a topic.

        :param items: the texts of the message: at most 100 items, at most 64 KiB of UTF-8 together.
        :param sender: the member that sends it.
        :returns: :class:`Posted` for this arrival and :class:`Messages` for each wait that it ends; else its failure:
            UsageError (an invalid name, or a message that is too large), LinesyncFailed (too many messages or topics).
        """

        def join() -> list[Outcome]:
            check_member(sender)
            found = self._find(namespace, topic)
            room = _room(items)
            self._refuse(found, room)
            self._keep(found)
            number = self._add(found, sender, items, room)
            self.waits.journal.mark("message", (*found.key, number), new=True)
            self.waits.note("message sent", found.key, sender, number)
            outcome = self.waits.answer(arrival, client, Posted(number=number), now)
            return [outcome, *found.serve(sender, now)]

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
        """Wait for a message of a topic, and read this message and the messages after it.

        :param first: the number of the message to wait for, 1 to 10,000.
        :param most: the maximum number of messages to read, 1 to 1,000. The answer contains the first message, and further
            messages up to about 512 KiB.
        :param others: whether only messages of other senders than ``reader`` count.
        :param timeout: seconds; 0 polls, None waits without limit.
        :param within: the arrival id of the hold on whose behalf this arrival waits; empty for none.
        :returns: :class:`Messages`; an empty list while it waits; else its failure: UsageError (an invalid name, number or
            timeout), TimedOut (a poll for a message that does not exist), LinesyncFailed (too many waits).
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
            reading = Reading(first, most, reader if others else None)
            if found.holds(reading):
                return [self.waits.answer(arrival, client, found.read(reading), now)]
            if timeout == 0:
                raise found.missing(reading)
            wait = self.waits.open(arrival, client, found, reader, now, timeout, within)
            self._keep(found)
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

        :param role: the role of the hosts to wait for; empty for all hosts of the group.
        :param timeout: seconds; 0 polls, None waits without limit.
        :param within: the arrival id of the hold on whose behalf this arrival waits; empty for none.
        :returns: :class:`Messages` with the last message of each host; an empty list while it waits; else its failure:
            UsageError (an invalid name or timeout), MemberLost, Mismatch (no host has the role), TimedOut (a poll while a
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
            self._keep(found)
            found.gather(gathering)
            gathering.enter(wait)
            return []

        return self.waits.admit(arrival, client, now, join)

    def names(self) -> set[tuple[str, str]]:
        """The namespace and name of each object that a reset would forget."""
        return set(self._topics)

    def reset(self, namespace: str, names: Iterable[str] | None, now: float) -> tuple[int, list[Wait]]:
        """Forget topics of a namespace.

        :param names: the topics; None for all topics of the namespace.
        :returns: the number of topics that had messages, and the waits at the topics in order. The caller must fail these
            waits.
        """
        keys = list(self._topics) if names is None else [(namespace, name) for name in names]
        found = [self._topics.pop(key) for key in keys if key[0] == namespace and key in self._topics]
        written = [topic for topic in found if topic.messages]
        for topic in found:
            self._mark_removed(topic)
        self._written -= len(written)
        self._taken -= sum(topic.room for topic in written)
        return len(written), [wait for topic in found for wait in topic.all_waits()]

    def status(self, now: float) -> list[TopicState]:
        """The state of each topic."""
        return [topic.state(now) for topic in self._topics.values()]

    # -- hosts -------------------------------------------------------------------------------------------------------------

    def hosts_changed(self, now: float) -> list[Outcome]:
        """Update all gatherings after a change of the group or the role of a host."""
        return [outcome for gathering in list(self.gatherings.values()) for outcome in gathering.look_again(now)]

    def host_lost(self, host: str, now: float) -> list[Outcome]:
        """Fail the waits that need a lost host. The caller ends the waits of the host itself."""
        return [outcome for gathering in list(self.gatherings.values()) for outcome in gathering.host_lost(host, now)]

    # -- inside --------------------------------------------------------------------------------------------------------------

    def _keep(self, topic: Topic) -> None:
        """Keep a topic that is about to have messages or waits."""
        if topic.key not in self._topics:
            topic.number = self.waits.journal.number()
            self._topics[topic.key] = topic
            self.waits.journal.mark("topic", topic.key, new=True)

    def _add(self, topic: Topic, sender: str, items: tuple[str, ...], room: int) -> int:
        self._written += not topic.messages
        self._taken += room
        return topic.add(sender, items, room)

    def _find(self, namespace: str, name: str) -> Topic:
        check_name("namespace", namespace)
        check_name("topic", name)
        return self._topics.get((namespace, name)) or Topic(self, namespace, name)

    def _refuse(self, topic: Topic, room: int) -> None:
        """Raise LinesyncFailed if a message of this size cannot be kept."""
        if len(topic.messages) >= MESSAGES_MAX:
            raise LinesyncFailed(f"{topic.title} already has {MESSAGES_MAX} messages; use another topic, or reset it")
        if not topic.messages and self._written >= TOPICS_MAX:
            raise LinesyncFailed(
                f"{topic.title} cannot be created: this hub already has {TOPICS_MAX} topics; "
                "reset the topics that are no longer used"
            )
        if self._taken + room > self._room:
            raise LinesyncFailed(
                f"the message does not fit into {topic.title}: the messages on this hub use {self._taken >> 10} of "
                f"{self._room >> 10} KiB; reset topics that are no longer used"
            )

    def remove(self, topic: Topic) -> None:
        """Forget a topic without messages and waits, unless a reset has already forgotten it."""
        if self._topics.get(topic.key) is topic:
            del self._topics[topic.key]
            self._mark_removed(topic)

    def _mark_removed(self, topic: Topic) -> None:
        self.waits.journal.mark("topic", topic.key)
        for message in topic.messages:
            self.waits.journal.mark("message", (*topic.key, message.number))

    # -- storing -------------------------------------------------------------------------------------------------------------

    def _kept(self, key: tuple[str, str]) -> KeptTopic | None:
        topic = self._topics.get(key)
        return KeptTopic(topic.number) if topic is not None else None

    def _kept_message(self, key: tuple[str, str, int]) -> KeptMessageRow | None:
        namespace, name, number = key
        topic = self._topics.get((namespace, name))
        if topic is None or number > len(topic.messages):
            return None
        message = topic.messages[number - 1]
        return KeptMessageRow(message.sender, message.items)

    def _message_keys(self) -> Iterable[tuple[str, str, int]]:
        return [(*key, message.number) for key, topic in self._topics.items() for message in topic.messages]

    def _kept_gathering(self, number: int) -> KeptGathering | None:
        gathering = self.gatherings.get(number)
        return KeptGathering(*gathering.key, *gathering.selection, gathering.stopped) if gathering is not None else None

    def restore(self, rows: Rows) -> None:
        """Restore the topics, their messages and the gatherings, but not the waits.

        :raises BadRow: a row is not valid.
        """
        numbered = self.waits.journal.numbered

        def topic(key: list[str], kept: KeptTopic) -> None:
            namespace, name = key
            found = self._topics[namespace, name] = Topic(self, namespace, name)
            found.number = numbered(kept.number)

        def message(key: list[str], kept: KeptMessageRow) -> None:
            namespace, name, number = key
            room = _room(kept.items)
            if self._add(self._topics[namespace, name], kept.sender, kept.items, room) != int(number):
                raise ValueError("an earlier message of the topic is not stored")

        def gathering(key: list[str], kept: KeptGathering) -> None:
            target = self._topics[kept.namespace, kept.topic]
            found = target.gathering(kept.group, kept.role, kept.stopped)
            found.number = numbered(int(key[0]))
            target.gather(found)

        rows.each("topic", KeptTopic, topic, by_number)
        rows.each("message", KeptMessageRow, message, by_key)
        rows.each("gathering", KeptGathering, gathering, by_key)

    def place(self, at: AtTopic | AtGathering) -> Place:
        """The topic or gathering of a stored wait.

        :raises KeyError: it is not stored.
        """
        return self.gatherings[at.gathering] if isinstance(at, AtGathering) else self._topics[at.namespace, at.topic]


def _room(items: tuple[str, ...]) -> int:
    """The counted size of a message with these items, in bytes. It is at least the size in an answer, including escapes.

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
