"""The log of a group: a list of events. Each member reads it at its own speed.

1. Each entry has an increasing number. All members get the entries in the order of the numbers, so the order is total.
2. An entry is for all members, or for the members that it names (a step of a service that only they have).
3. An entry is removed when it was sent to all members. The log therefore grows while a member does not read. The group limits
   its size (:mod:`.group`).
4. A member gets only the steps that it still has to run. The steps of a round are removed when the round has ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from ...group_kinds import MESSAGES, STEPS
from ..decisions import GroupEvent
from ..journal import Journal
from ..kept.groups import KeptEntry

__all__ = ["Log", "Room"]

BATCH_BYTES = 24 << 10  # the maximum size of a batch, unless its first event is larger
BATCH_EVENTS = 256  # the maximum number of events in a batch
ENTRY_ROOM = 64  # bytes that are counted for an entry in addition to its data


def _size(entry: GroupEvent) -> int:
    """The bytes that are counted for an entry."""
    return len(entry.data) + ENTRY_ROOM


class Room:
    """The room that the logs of all groups use.

    :ivar used: bytes.
    """

    def __init__(self) -> None:
        self.used = 0


class Log:
    """The entries of one group that at least one member has not received.

    :ivar last: the number of the last entry.
    :ivar size: the bytes of all entries.
    :ivar room: the room of all logs.
    """

    def __init__(self, journal: Journal, key: tuple[str, str], room: Room) -> None:
        self.room = room
        self._journal = journal
        self._key = key
        self._entries: dict[int, GroupEvent] = {}  # in order of their numbers
        self._outstanding: dict[str, int] = {}
        self.last = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[int]:
        return iter(self._entries)

    def append(
        self, kind: str, service: int = -1, sender: str = "", data: str = "", only: tuple[int, ...] | None = None
    ) -> int:
        """Add an entry; return its number."""
        self.last += 1
        self.put(GroupEvent(self.last, kind, service, sender, data, only))
        self._journal.mark("group entry", (*self._key, self.last), new=True)
        self._journal.mark("group", self._key)  # it has the number of the last entry
        return self.last

    def put(self, entry: GroupEvent) -> None:
        """Add an entry that already has a number."""
        self._entries[entry.number] = entry
        self.size += _size(entry)
        self.room.used += _size(entry)
        if entry.kind in MESSAGES:
            self._outstanding[entry.sender] = self._outstanding.get(entry.sender, 0) + _size(entry)

    def kept(self, number: int) -> KeptEntry | None:
        """The record of an entry; None if it was removed."""
        entry = self._entries.get(number)
        if entry is None:
            return None
        return KeptEntry(kind=entry.kind, service=entry.service, sender=entry.sender, data=entry.data, only=entry.only)

    def drop_steps(self) -> None:
        """Remove all steps, because their round has ended."""
        for number in [number for number, entry in self._entries.items() if entry.kind in STEPS]:
            self._remove(number)

    def _remove(self, number: int) -> None:
        entry = self._entries.pop(number)
        self.size -= _size(entry)
        self.room.used -= _size(entry)
        if entry.kind in MESSAGES:
            left = self._outstanding[entry.sender] - _size(entry)
            if left:
                self._outstanding[entry.sender] = left
            else:
                del self._outstanding[entry.sender]
        self._journal.mark("group entry", (*self._key, number))

    def outstanding(self, sender: str) -> int:
        """The bytes of a sender's messages that at least one member has not received."""
        return self._outstanding.get(sender, 0)

    def read(self, after: int, member: int, owed: Collection[int]) -> list[GroupEvent]:
        """The next entries for a member, up to the size of a batch; empty if it was sent everything.

        :param owed: the numbers of the steps that it has to run; it gets no other steps.
        """
        found: list[GroupEvent] = []
        size = 0
        for number in range(after + 1, self.last + 1):
            entry = self._entries.get(number)
            if entry is None or (entry.only is not None and member not in entry.only):
                continue
            if entry.kind in STEPS and number not in owed:
                continue
            size += _size(entry)
            if found and (size > BATCH_BYTES or len(found) >= BATCH_EVENTS):
                break
            found.append(entry)
        return found

    def last_of(self, kinds: tuple[str, ...], after: int) -> list[GroupEvent]:
        """The last entry of each of these kinds after a number, in order."""
        last = {entry.kind: entry for entry in self._entries.values() if entry.kind in kinds and entry.number > after}
        return sorted(last.values(), key=lambda entry: entry.number)

    def trim(self, sent: Iterable[int]) -> bool:
        """Remove the entries that were sent to all members. They are not needed again: a sent reply arrives, or its session ends.

        :param sent: for each member, the number of the last entry that was sent to it.
        :returns: whether anything was removed.
        """
        floor = min(sent, default=self.last)
        gone = []
        for number in self._entries:
            if number > floor:
                break
            gone.append(number)
        for number in gone:
            self._remove(number)
        return bool(gone)
