"""The messages of one group, and their flow control.

1. A message names the view that its sender saw. If that view has ended, nothing is delivered and the sender gets an error.
   A message is therefore delivered in its own view, or not at all.
2. A sender whose messages have not been sent to all waits for its reply. If nothing can be sent to a member for ``SLOW`` seconds
   while senders wait, or while the log has more than ``LOG_MAX`` events, that member is removed.
3. Another script of the host can send a message as the member (:meth:`Messages.post`). It never waits for a reply: it gets an
   error, and sends the message again. Such a script may end in the middle of a message, so each message of the member ends
   the incomplete message before it.
"""

from __future__ import annotations

from typing import Protocol

from ...errors import Aborted, LinesyncFailed, UsageError
from ...group_kinds import FIRST, LAST, MESSAGE, PART
from ..decisions import Granted, Outcome, Posted
from ..journal import Journal
from ..kept.groups import KeptGroupData
from ..participants import Client, names_in_words
from ..state.group import SEND_AGAIN, Ring, Terms
from .log import Log
from .member import Member

__all__ = ["Messages"]

WINDOW = 256 << 10  # bytes of one sender's messages that not all members have received; above that, the sender waits
SLOW = 30.0  # seconds that senders wait for a member that receives nothing
LOG_MAX = 2000  # events that were not sent to all members; above that, a member that asks for nothing is removed
ROOM_OF_LOG = 16 << 20  # bytes of the log of one group; above that, all senders wait
ROOM_OF_LOGS = 64 << 20  # bytes of the logs of all groups; above that, senders wait in groups with more than WINDOW
PART_MAX = 32 << 10  # the maximum length of one part of a message, in characters
MESSAGE_BYTES = 1 << 20  # the maximum size of one message, in bytes


class Board(Protocol):
    """The part of a group that its messages use."""

    key: tuple[str, str]
    title: str
    log: Log
    members: dict[int, Member]
    terms: Terms
    ring: Ring
    short: bool
    missing: dict[str, str]

    @property
    def active(self) -> list[Member]: ...
    def touch(self) -> None: ...
    def touch_members(self, *members: Member) -> None: ...


class Messages:
    """The messages of one group.

    :ivar data: the state of the group, which the members have set.
    :ivar data_sender: the member that has set it; empty if there is none.
    :ivar dropped: the number of messages that arrived after the end of their view.
    :ivar slow_since: since when a sender waits without progress.
    """

    def __init__(self, board: Board, journal: Journal) -> None:
        self._board = board
        self._journal = journal
        self.data = ""
        self.data_sender = ""
        self.dropped = 0
        self.slow_since: float | None = None

    # -- sending ---------------------------------------------------------------------------------------------------------

    def cast(
        self,
        arrival: str,
        member: Member,
        epoch: int,
        data: str,
        size: int,
        *,
        part: bool,
        more: bool,
        state: bool,
    ) -> list[Outcome]:
        """Order a message, or a part of one. The sender's reply waits while not all members have received enough.

        :param epoch: the view that the sender saw.
        :param size: the bytes of the data, which ``data`` has in the form for the line.
        :param part: it belongs to the parts that came before.
        :param more: other parts of the message follow.
        :param state: it replaces the state of the group.
        :raises Aborted: the view has ended.
        :raises LinesyncFailed: the group is short, or an earlier message of the member has not been answered.
        """
        board = self._board
        if member.cast:
            raise LinesyncFailed(
                f"{member.name} must wait for the reply to its last message to {board.title} before it sends another one"
            )
        if member.joining or epoch != board.ring.epoch:
            self.dropped += 1
            board.touch()
            raise self._interrupted(
                "the view in which it was sent has ended; send it again in the new view", "view ended"
            )
        self._refuse_short()
        if part and member.poster:
            raise self._interrupted("another script of this host sent a message at the same time; send it again")
        number = self._order(member, "", data, size, part=part, more=more, state=state)
        if self._has_room(member):
            return [Granted(arrival=arrival, client=member.client, value=Posted(number=number))]
        member.cast, member.cast_number = arrival, number
        return []

    def post(
        self, arrival: str, member: Member, client: Client, data: str, size: int, *, part: bool, more: bool
    ) -> list[Outcome]:
        """Order a message, or a part of one, of another script on the host of a member. It belongs to the current view.

        :raises Aborted: the view has ended, or another message of the member has begun; no member gets the message.
        :raises LinesyncFailed: the group is short, or not all members have received enough.
        """
        self._refuse_short()
        if member.joining:
            raise self._interrupted("the member is not in a view yet; send it again")
        if part and (not member.partial or member.poster != client.number):
            raise self._interrupted(
                "the view has ended or another script of this host has sent a message; send it again"
            )
        if not self._has_room(member):
            raise LinesyncFailed(
                f"the message to {self._board.title} was not delivered: its members have not received the earlier messages of"
                f" {member.name}; send it again later",
                details={"cause": SEND_AGAIN},
            )
        number = self._order(member, client.number if more else "", data, size, part=part, more=more, state=False)
        return [Granted(arrival=arrival, client=client, value=Posted(number=number))]

    def _interrupted(self, why: str, cause: str = SEND_AGAIN) -> Aborted:
        return Aborted(f"the message to {self._board.title} was not delivered: {why}", details={"cause": cause})

    def _order(self, member: Member, poster: str, data: str, size: int, *, part: bool, more: bool, state: bool) -> int:
        """Add a message or a part of one to the log; return its number."""
        board = self._board
        if (part or more) and not size:
            raise UsageError(f"a part of a message to {board.title} is empty; send the message in fewer parts")
        if part and not member.partial:
            raise UsageError(f"the part of a message to {board.title} belongs to no message; send the first part first")
        size += member.partial if part else 0
        if len(data) > PART_MAX or size > MESSAGE_BYTES or (state and (part or more)):
            raise UsageError(
                f"the message to {board.title} is too large: it may have 1 MiB, and the state of a group {PART_MAX >> 10} KiB"
            )
        kind = (PART if more else LAST) if part else (FIRST if more else MESSAGE)
        number = board.log.append(kind, sender=member.name, data=data)
        member.partial, member.poster = size if more else 0, poster
        if state:
            self.data, self.data_sender = data, member.name
            self._journal.mark("group data", board.key)
        board.touch_members(member)
        return number

    def _has_room(self, member: Member) -> bool:
        log = self._board.log
        if log.size > WINDOW and log.room.used > ROOM_OF_LOGS:
            return False
        return log.outstanding(member.name) <= WINDOW and log.size <= ROOM_OF_LOG

    def _refuse_short(self) -> None:
        board = self._board
        if board.short:
            gone = [f"{name} ({cause})" for name, cause in board.missing.items()]
            raise LinesyncFailed(
                f"the message to {board.title} was not delivered: it has {len(board.members)} of at least"
                f" {board.terms.quorum} members; missing: {names_in_words(gone, len(gone))}; send it again when they have"
                " joined",
                details={"missing": dict(board.missing)},
            )

    def answer_senders(self) -> list[Outcome]:
        """Answer the senders that have room again."""
        outcomes: list[Outcome] = []
        for member in self._board.active:
            if member.cast and self._has_room(member):
                posted = Posted(number=member.cast_number)
                outcomes.append(Granted(arrival=member.cast, client=member.client, value=posted))
                member.cast = ""
                self._board.touch_members(member)
        return outcomes

    # -- slow members ----------------------------------------------------------------------------------------------------

    @property
    def _crowded(self) -> bool:
        """Whether a member that asks for nothing delays other members."""
        return len(self._board.log) > LOG_MAX or any(member.cast for member in self._board.active)

    def slowest(self) -> list[Member]:
        """The members that were sent the fewest events, if they delay other members."""
        active = self._board.active
        if not self._crowded:
            return []
        floor = min((member.sent for member in active), default=0)
        return [one for one in active if one.sent == floor < self._board.log.last and not one.poll]

    def watch(self, now: float, *, progress: bool) -> None:
        """Note since when senders wait without progress.

        :param progress: events were removed from the log now, or the members have changed.
        """
        since = self.slow_since
        if not self._crowded:
            since = None
        elif progress or since is None:
            since = now
        self.wait_since(since)

    def wait_since(self, since: float | None) -> None:
        """Set since when senders wait without progress."""
        if since != self.slow_since:
            self.slow_since = since
            self._board.touch()

    # -- storing ---------------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Forget the state of the group, because the group has no members any more."""
        self.data = self.data_sender = ""
        self.wait_since(None)
        self._journal.mark("group data", self._board.key)

    def kept(self) -> KeptGroupData | None:
        """The record of the state of the group; None if there is no state."""
        return KeptGroupData(data=self.data, sender=self.data_sender) if self.data_sender else None

    def restore(self, kept: KeptGroupData) -> None:
        """Continue with a stored state."""
        self.data, self.data_sender = kept.data, kept.sender
