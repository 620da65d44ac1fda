"""The sessions of the hub. The peer of a session is either a script, or an agent, which forwards the requests of the scripts on
its host.

After a restart of the hub, a stored session has a peer without a line until the peer continues the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from ..jobs.serve import CONNECTIONS, JOBS, Jobs
from ..model.participants import HUB, Client
from ..model.state.principal import Principal
from ..protocol.ids import Id
from ..protocol.operations import AGENT, SCRIPT
from ..runtime.peer import Peer
from ..wire.framing import hello_flags
from .state.memory import KeptSession, Memory

__all__ = ["HubSession", "Sessions"]


class HubSession:
    """One session and the hub's data about it."""

    def __init__(self, peer: Peer, kept: KeptSession) -> None:
        self.peer = peer
        self.kept = kept
        self.keeping = False
        """Whether the peer can continue the session after a restart of the hub. The hub then keeps the replies."""
        self._sent = 0
        """The number of the last kept reply that was sent to the peer in the current link session."""
        self._mark: tuple[int, int] | None = None
        """A position in the data of the link session, and the number of the last kept reply before this position."""
        self._last: tuple[str, str, Client] | None = None
        """The host, the script and the client of the last request. They are cached, because a script often sends several
        requests."""
        self.tasks: set[asyncio.Task[None]] = set()  # bound: limits.CHANNELS
        """The tasks that relay or serve the channels of the session."""
        self.jobs = Jobs(JOBS, CONNECTIONS, "this script")
        """The commands and copies of the script on hosts, with their limit; not used for an agent."""
        self.give_up: asyncio.TimerHandle | None = None
        """The timer that ends the session if its line does not return, or if a refused script does not register a host."""
        self.acted = False
        """Whether the peer has sent a request of a script. It can then no longer register a host."""
        self.refusal = ""
        """The reason for which all requests except a registration are refused; empty if they are accepted."""
        self.questioned = False
        """Whether the hub has sent the request ``activity`` to the agent, and the agent has not answered."""
        self.exchanges = 0
        """The number of exchanges in which the script waits."""
        self.cut = False
        """Whether the connection of the script was lost, and the script may not have noticed it."""
        self.heard_at = float("-inf")
        """The arrival time of the frame that last renewed the host's lease, in monotonic seconds."""

    @property
    def serial(self) -> int:
        return self.kept.serial

    @property
    def id(self) -> str:
        return str(self.kept.serial)

    @property
    def line(self) -> str:
        """The label of the line. Each line has its own label."""
        return self.kept.line

    @property
    def host(self) -> str:
        """The host of the session after it has registered; empty before."""
        return self.kept.host

    @property
    def concurrent(self) -> bool:
        """Whether a script does several operations at the same time."""
        return self.kept.concurrent

    # -- replies ------------------------------------------------------------------------------------------------------

    def send(self, number: int) -> None:
        """Send the kept reply or note with this number, unless it was already sent in this link session or has arrived."""
        reply = self.kept.replies.get(number)
        if reply is not None and number > self._sent and self.peer.up:
            self._sent = number
            self.peer.answer(*reply)

    def forget_arrived(self) -> None:
        """Remove the kept replies that have arrived."""
        while self.kept.replies:
            if self._mark is None:
                mark = self.peer.sent_mark
                if mark is None or not self._sent:
                    return
                self._mark = mark, self._sent
            if not self.peer.has_arrived(self._mark[0]):
                return
            self.kept.arrived(self._mark[1])
            if self._mark[1] == self._sent:
                self._sent = 0
            self._mark = None

    def attach(self, other: HubSession) -> None:
        """Continue this session with the peer and the line of another session."""
        self.peer, self.keeping = other.peer, other.keeping
        self.kept.line = other.kept.line
        self.kept.changed()
        self._sent, self._mark = 0, None

    def move(self, line: str) -> None:
        """Continue the session on the line with this label."""
        self.kept.line = line
        self.kept.changed()

    @property
    def endpoint(self) -> str:
        """The endpoint of the line. All lines that were accepted at one endpoint have the same endpoint."""
        return self.peer.info.endpoint if self.peer.info is not None else self.line

    def client(self, script: str) -> Client:
        """The client for a script of the agent's host, or for the peer itself if ``script`` is empty.

        The number of a client contains the number of the session, so it is never used again.
        """
        host = self.host or HUB
        if self._last is None or self._last[:2] != (host, script):
            self._last = host, script, Client(host, str(Id(self.id, script)), self.principal(script))
        return self._last[2]

    @property
    def local(self) -> bool:
        """Whether the peer runs on this machine."""
        return self.kept.uid is not None

    def sender(self, script: str) -> str:
        """The kind of sender of a message with this script number: AGENT or SCRIPT."""
        return AGENT if self.host and not script else SCRIPT

    def principal(self, script: str) -> Principal:
        """The principal of a request of this script."""
        if self.host:
            return Principal(line=self.line, host=self.host, script=script)
        return Principal(line=self.line, host=HUB, script=self.id, uid=self.kept.uid)

    def arrival(self, request: str, named: str) -> str:
        """The arrival id of a request: the id that the request names, or else an id from the session and the request."""
        return named or f"{self.serial}/{request}"

    def spawn(self, task: asyncio.Task[None]) -> None:
        """Add a task that ends with the session."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class Sessions:
    """All sessions of a hub.

    :param memory: contains the sessions that the hub keeps when it restarts.
    :param keeping: whether sessions can continue after a restart of the hub.
    """

    def __init__(self, memory: Memory, keeping: bool) -> None:
        self._memory = memory
        self._keeping = keeping
        self._by_serial: dict[int, HubSession] = {}  # bound: limits.SESSIONS, options
        self._by_peer: dict[Peer, HubSession] = {}  # bound: limits.SESSIONS, options
        self._by_nonces: dict[tuple[str, str], Peer] = {}  # bound: limits.SESSIONS, options
        self._nonces: dict[Peer, tuple[str, str]] = {}  # bound: limits.SESSIONS, options
        self._by_host: dict[str, HubSession] = {}  # bound: limits.SESSIONS, options

    def all(self) -> list[HubSession]:
        return list(self._by_peer.values())

    def scripts_among(self, peers: Collection[Peer]) -> list[Peer]:
        """The peers in this collection that are not agents of hosts."""
        return [peer for peer in peers if peer not in self._by_peer or not self._by_peer[peer].host]

    def begin(self, peer: Peer, line: str) -> HubSession:
        link = peer.link.session if peer.link is not None else None
        nonces = (link.nonce, link.peer.nonce) if link is not None else ("", "")
        uid = peer.info.uid if peer.info is not None else None
        session = self._add(peer, KeptSession(self._memory, self._memory.next_serial(), nonces, uid, line))
        session.keeping = self._keeping and link is not None and hello_flags.KEEPING in link.peer.flags
        return session

    def _add(self, peer: Peer, kept: KeptSession) -> HubSession:
        session = HubSession(peer, kept)
        self._by_peer[peer] = self._by_serial[kept.serial] = session
        return session

    def restore(self, peer: Callable[[], Peer]) -> list[HubSession]:
        """Make the sessions of the memory. Their peers have not connected again yet.

        :param peer: makes a peer without a line.
        """
        restored = []
        for kept in self._memory.sessions.values():
            session = self._add(peer(), kept)
            session.keeping = session.acted = True
            if kept.host:
                self._by_host[kept.host] = session
            restored.append(session)
        return restored

    def named(self, hub: str, peer: str) -> HubSession | None:
        """The kept session with these nonces, if its peer has not connected again yet; else None.

        :param hub: the hub's nonce.
        :param peer: the peer's nonce.
        """
        for session in self._by_serial.values():
            if session.kept.nonces == (hub, peer) and not session.peer.up:
                return session
        return None

    def resume(self, old: HubSession, new: HubSession) -> None:
        """Continue an old session with the peer of a new session."""
        del self._by_peer[old.peer], self._by_serial[new.serial]
        for timer in (old.give_up, new.give_up):
            if timer is not None:
                timer.cancel()
        old.give_up = None
        old.attach(new)
        self._by_peer[old.peer] = old

    def known(self, ours: str, theirs: str) -> Peer | None:
        """The peer whose link session has this pair of nonces, or None."""
        return self._by_nonces.get((ours, theirs))

    def remember(self, peer: Peer) -> None:
        """Store the nonces of an established link session, so that the session can resume on another line."""
        link = peer.link
        if link is not None and link.session is not None:
            nonces = link.session.nonce, link.session.peer.nonce
            self._by_nonces[nonces], self._nonces[peer] = peer, nonces

    def of(self, peer: Peer) -> HubSession | None:
        return self._by_peer.get(peer)

    def numbered(self, serial: str) -> HubSession | None:
        """The session with this number, or None."""
        return self._by_serial.get(int(serial)) if serial.isdecimal() else None

    def name(self, session: HubSession, host: str) -> HubSession | None:
        """Make this session the session of a host. Returns the earlier session of the host, or None."""
        if session.keeping:
            session.kept.register(host)
        else:
            session.kept.host = host
        earlier = self._by_host.get(host)
        self._by_host[host] = session
        return earlier

    def host(self, name: str) -> HubSession | None:
        return self._by_host.get(name)

    def end(self, peer: Peer) -> HubSession | None:
        """Remove the session of a peer, because it has ended."""
        session = self._by_peer.pop(peer, None)
        nonces = self._nonces.pop(peer, None)
        if nonces is not None and self._by_nonces.get(nonces) is peer:
            del self._by_nonces[nonces]
        if session is not None:
            self._by_serial.pop(session.serial, None)
            session.keeping = False
            self._memory.forget(session.kept)
            if self._by_host.get(session.host) is session:
                del self._by_host[session.host]
            if session.give_up is not None:
                session.give_up.cancel()
        return session
