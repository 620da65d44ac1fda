"""The data that a hub keeps when it restarts: the model, the sessions, and the replies that may not have arrived.

1. A session has a number, which is part of the numbers of its clients and of the ids of their arrivals. After a restart of the
   hub, the session continues in another link session, if the peer proves its identity (docs/protocol.md, 8.6).
2. A request that waits is *open* until its reply is decided. The hub keeps a reply until the reply has arrived at the peer. If
   a peer sends a request again after a restart, the hub has therefore never handled that request.
3. Each open request, each kept reply and each session is one row. A change marks its row in the journal of the model. A store
   writes all marked rows in one commit, before the hub sends any reply (:mod:`linesync.hub.state.outbox`).
4. The data of a member of an exchange is a blob with the number of its row. A row that ends takes its blob with it, in the same
   commit.

This module does not use lines, clocks or tasks. A session has no row until it has an open request, a kept reply, or a host.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator

from ...model.state.record import State
from ...model.sync.services import SyncServices

__all__ = ["DATA", "KINDS", "OPEN", "REPLY", "SERIALS", "SESSION", "DataRow", "KeptSession", "Memory"]

SESSION, OPEN, REPLY, SERIALS, DATA = KINDS = ("session", "request", "reply", "serials", "data")
"""The kinds of rows. Their keys are: the number of the session; ``session/request id``; ``session/number of the reply``; an
empty string; the number of the blob."""
_BLOCK = 1024  # session numbers that are reserved together


class SessionRow(State):
    """The row of a session."""

    hub: str
    """the hub's nonce of the first link session"""
    peer: str
    """the peer's nonce of the first link session"""
    host: str
    """the registered host, or empty for a script"""
    uid: int | None
    """the user id of the peer, if it connected to a Unix socket"""
    line: str
    """the label of the last line"""
    concurrent: bool
    """whether the script does several operations at the same time"""


class OpenRow(State):
    """The row of a request that waits."""

    arrival: str
    """the arrival id of the request"""


class ReplyRow(State):
    """The row of a reply or a note that may not have arrived yet."""

    request: str
    """the id of the request, or ``-`` for a note"""
    text: str
    """the reply"""


class SerialsRow(State):
    """The row of the session numbers."""

    reserved: int
    """all numbers up to this one may have been used"""


class DataRow(State):
    """The row of the data that a member of an exchange gives."""

    host: str
    """the host of its arrival"""
    arrival: str
    """the id of its arrival"""
    size: int
    """the bytes that it will have"""


class KeptSession:
    """The data of one session that the hub keeps.

    :ivar serial: the number of the session.
    :ivar nonces: the hub's nonce and the peer's nonce of the first link session.
    :ivar uid: the user id of the peer, if it connected to a Unix socket.
    :ivar line: the label of the current or last line.
    """

    def __init__(self, memory: Memory, serial: int, nonces: tuple[str, str], uid: int | None, line: str) -> None:
        self.serial = serial
        self.nonces = nonces
        self.uid = uid
        self.line = line
        self.host = ""
        self.concurrent = False
        self.open: dict[str, str] = {}  # bound: waits.WAITS_PER_HOST
        """The open requests: request id to arrival id."""
        self.replies: dict[int, tuple[str, str]] = {}  # bound: limits.REPLIES_MAX
        """The replies and notes that may not have arrived, in order: number to (request id or ``-``, text)."""
        self.last_reply = 0
        """The number of the last reply or note."""
        self._memory = memory

    def changed(self) -> None:
        """Mark the row of the session, because a field has changed."""
        if self.serial in self._memory.sessions:
            self._memory.remember(self)

    def exchanges(self) -> None:
        """The session takes part in an exchange, so it must have a row."""
        self._known()

    def register(self, host: str) -> None:
        """Store the host that the peer has registered."""
        self.host = host
        self._memory.remember(self)

    def opened(self, request: str, arrival: str) -> None:
        """Add an open request."""
        self._memory.journal.mark(OPEN, f"{self.serial}/{request}", new=request not in self.open)
        self.open[request] = arrival
        self._known()

    def closed(self, request: str) -> None:
        """Remove an open request."""
        if self.open.pop(request, None) is not None:
            self._memory.journal.mark(OPEN, f"{self.serial}/{request}")

    def add_reply(self, request: str, text: str) -> int:
        """Keep a reply or a note; returns its number."""
        self.last_reply += 1
        self.replies[self.last_reply] = request, text
        self._memory.journal.mark(REPLY, f"{self.serial}/{self.last_reply}", new=True)
        self._known()
        return self.last_reply

    def arrived(self, number: int) -> None:
        """Remove all replies up to this number, because they have arrived."""
        for arrived in [arrived for arrived in self.replies if arrived <= number]:
            del self.replies[arrived]
            self._memory.journal.mark(REPLY, f"{self.serial}/{arrived}")

    def _known(self) -> None:
        if self.serial not in self._memory.sessions:
            self._memory.remember(self)

    def state(self) -> SessionRow:
        hub, peer = self.nonces
        return SessionRow(hub=hub, peer=peer, host=self.host, uid=self.uid, line=self.line, concurrent=self.concurrent)


class Memory:
    """All data that a hub keeps when it restarts.

    :param services: the model.
    """

    def __init__(self, services: SyncServices) -> None:
        self.services = services
        self.journal = services.journal
        self.sessions: dict[int, KeptSession] = {}  # bound: limits.SESSIONS, options
        """The sessions that have a row, by number."""
        self.data: dict[int, DataRow] = {}  # bound: waits.WAITS, blobs.BOUND
        """The data of members of exchanges, by number."""
        self._serial = 0
        self._reserved = 0
        self.journal.source(SESSION, self._session_row, lambda: map(str, self.sessions))
        self.journal.source(OPEN, self._open_row, lambda: self._keys(lambda session: session.open))
        self.journal.source(REPLY, self._reply_row, lambda: self._keys(lambda session: session.replies))
        self.journal.source(SERIALS, lambda _: SerialsRow(reserved=self._reserved), lambda: [""])
        self.journal.source(DATA, lambda key: self.data.get(int(key)), lambda: map(str, self.data))

    def next_serial(self) -> int:
        """A new session number, which this hub has never used, not even before a restart."""
        self._serial += 1
        if self._serial > self._reserved:
            self._reserved = self._serial + _BLOCK
            self.journal.mark(SERIALS, "")
        return self._serial

    def remember(self, session: KeptSession) -> None:
        """Create or change the row of a session."""
        self.journal.mark(SESSION, str(session.serial), new=session.serial not in self.sessions)
        self.sessions[session.serial] = session

    def forget(self, session: KeptSession) -> None:
        """Remove the rows of a session, because it has ended."""
        if self.sessions.pop(session.serial, None) is None:
            return
        self.journal.mark(SESSION, str(session.serial))
        for request in list(session.open):
            session.closed(request)
        session.arrived(session.last_reply)

    def keep_data(self, number: int, row: DataRow) -> None:
        """Create the row of data that arrives."""
        self.data[number] = row
        self.journal.mark(DATA, str(number), new=True)

    def drop_data(self, number: int) -> None:
        """Remove the row of data that is no longer needed."""
        if self.data.pop(number, None) is not None:
            self.journal.mark(DATA, str(number))

    @property
    def used(self) -> bool:
        """Whether an earlier process of the hub has used this memory."""
        return self._reserved > 0

    def restarted(self) -> None:
        """Skip the session numbers that may be in use, because a new process of the hub starts with this memory."""
        self._serial = self._reserved

    # -- rows, for a store --------------------------------------------------------------------------------------------

    def _keys(self, part: Callable[[KeptSession], Iterable[str | int]]) -> Iterator[str]:
        """The keys of all rows of one kind.

        :param part: returns the second parts of the keys for one session.
        """
        return (f"{serial}/{rest}" for serial, session in self.sessions.items() for rest in part(session))

    def _find(self, key: str) -> tuple[KeptSession | None, str]:
        """The session of a row, and the second part of the row's key."""
        serial, _, rest = key.partition("/")
        return self.sessions.get(int(serial)), rest

    def _session_row(self, key: str) -> SessionRow | None:
        session, _ = self._find(key)
        return session.state() if session is not None else None

    def _open_row(self, key: str) -> OpenRow | None:
        session, request = self._find(key)
        arrival = session.open.get(request) if session is not None else None
        return OpenRow(arrival=arrival) if arrival is not None else None

    def _reply_row(self, key: str) -> ReplyRow | None:
        session, number = self._find(key)
        reply = session.replies.get(int(number)) if session is not None else None
        return ReplyRow(request=reply[0], text=reply[1]) if reply is not None else None

    def load(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Restore sessions from rows: (kind, key, JSON text), in any order. Rows of other kinds are ignored.

        :raises ValueError: a row is invalid, or belongs to a session without a row.
        """
        found = sorted(rows, key=lambda row: (row[0] != SESSION, row[0], _order(row[1])))
        for kind, key, text in found:
            if kind not in KINDS:
                continue
            value = json.loads(text)
            if kind == DATA:
                self.data[int(key)] = DataRow.from_json(value)
                continue
            if kind == SERIALS:
                self._reserved = SerialsRow.from_json(value).reserved
                continue
            if kind == SESSION:
                self.sessions[int(key)] = self._session(int(key), SessionRow.from_json(value))
                continue
            session, rest = self._find(key)
            if session is None:
                raise ValueError(f"{kind} {key} belongs to a session that is missing")
            if kind == OPEN:
                session.open[rest] = OpenRow.from_json(value).arrival
            else:
                reply = ReplyRow.from_json(value)
                session.replies[int(rest)] = reply.request, reply.text
                session.last_reply = int(rest)

    def _session(self, serial: int, state: SessionRow) -> KeptSession:
        session = KeptSession(self, serial, (state.hub, state.peer), state.uid, state.line)
        session.host, session.concurrent = state.host, state.concurrent
        return session


def _order(key: str) -> tuple[int, int, str]:
    """The sort key of a row's key: rows are sorted by session, then by the number or the request id."""
    serial, _, rest = key.partition("/")
    number = int(rest) if rest.isdecimal() else 0
    return int(serial or 0), number, rest
