"""The peers of the hub's sessions: each is an agent with a name and scripts behind it, or a script.

After a restart of the hub, a remembered session has a peer without a line until the peer continues the session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from ..jobs.serve import JOBS, Jobs
from ..model.participants import HUB, Client
from ..model.state.principal import Principal
from ..protocol.ids import Id
from ..protocol.operations import AGENT, SCRIPT
from ..runtime.peer import Peer
from ..wire.framing import hello_flags
from .memory import KeptSession, Memory

__all__ = ["HubSession", "Sessions"]


class HubSession:
    """One session and the hub's data about it."""

    def __init__(self, peer: Peer, kept: KeptSession) -> None:
        self.peer = peer
        self.kept = kept
        self.keeping = False
        """Whether its peer can continue the session after a restart of the hub, so that the hub keeps its replies."""
        self._sent = 0
        """The number of the last kept reply that was sent to the peer in the current link session."""
        self._mark: tuple[int, int] | None = None
        """A mark of the link session, and the number of the last kept reply before it."""
        self._last: tuple[str, str, Client] | None = None
        """The host, the script and the client of the last request, because a script often sends several."""
        self.tasks: set[asyncio.Task[None]] = set()  # bound: limits.CHANNELS
        """The tasks that relay or serve its channels."""
        self.jobs = Jobs(JOBS, "this script")
        """The jobs of hosts for it, if it is a script."""
        self.give_up: asyncio.TimerHandle | None = None
        self.acted = False
        """Whether it has made a request as a script, so that it cannot become the session of a host."""
        self.refusal = ""
        """Why its requests are refused unless it registers a host; empty if they are not."""
        self.questioned = False
        """Whether it was asked who is active on its host, and has not answered."""
        self.exchanges = 0
        """The number of exchanges in which a script waits."""
        self.cut = False
        """Whether the connection of a script was lost in a way in which the script may not have noticed it."""
        self.heard_at = float("-inf")
        """When the frame came that last renewed the host's lease, monotonic seconds."""

    @property
    def serial(self) -> int:
        return self.kept.serial

    @property
    def id(self) -> str:
        return str(self.kept.serial)

    @property
    def line(self) -> str:
        """The line's label, one for each byte pipe."""
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
        """Send a kept reply or note, unless it was already sent in this link session or has arrived."""
        reply = self.kept.replies.get(number)
        if reply is not None and number > self._sent and self.peer.up:
            self._sent = number
            self.peer.answer(*reply)

    def forget_arrived(self) -> None:
        """Forget the replies that have arrived."""
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
        """The session continues on the line with this label."""
        self.kept.line = line
        self.kept.changed()

    @property
    def endpoint(self) -> str:
        """The endpoint of its line; the same for all lines that were accepted there."""
        return self.peer.info.endpoint if self.peer.info is not None else self.line

    def client(self, script: str) -> Client:
        """The client for this script behind the agent, or for the peer itself if the number is empty. A number is never used
        twice for one host, because it contains the number of the session."""
        host = self.host or HUB
        if self._last is None or self._last[:2] != (host, script):
            self._last = host, script, Client(host, str(Id(self.id, script)), self.principal(script))
        return self._last[2]

    @property
    def local(self) -> bool:
        """Whether the peer runs on this machine."""
        return self.kept.uid is not None

    def sender(self, script: str) -> str:
        """The kind of sender of a message with this script number: a script or an agent."""
        return AGENT if self.host and not script else SCRIPT

    def principal(self, script: str) -> Principal:
        """The principal of a request of this script."""
        if self.host:
            return Principal(line=self.line, host=self.host, script=script)
        return Principal(line=self.line, host=HUB, script=self.id, uid=self.kept.uid)

    def arrival(self, request: str, named: str) -> str:
        """The arrival id of a request."""
        return named or f"{self.serial}/{request}"

    def spawn(self, task: asyncio.Task[None]) -> None:
        """Add a task that ends with the session."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class Sessions:
    """All sessions of a hub.

    :param memory: has the sessions that the hub remembers.
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
        """Make the sessions that the hub remembers; their peers have not connected again yet.

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
        """The session that the hub remembers with these nonces, if its peer has not connected again yet."""
        for session in self._by_serial.values():
            if session.kept.nonces == (hub, peer) and not session.peer.up:
                return session
        return None

    def resume(self, old: HubSession, new: HubSession) -> None:
        """A peer continues an old session in a new link session."""
        del self._by_peer[old.peer], self._by_serial[new.serial]
        for timer in (old.give_up, new.give_up):
            if timer is not None:
                timer.cancel()
        old.give_up = None
        old.attach(new)
        self._by_peer[old.peer] = old

    def known(self, ours: str, theirs: str) -> Peer | None:
        """The peer whose session has this pair of nonces."""
        return self._by_nonces.get((ours, theirs))

    def remember(self, peer: Peer) -> None:
        """Remember a session that is established, so that it can resume on another line."""
        link = peer.link
        if link is not None and link.session is not None:
            nonces = link.session.nonce, link.session.peer.nonce
            self._by_nonces[nonces], self._nonces[peer] = peer, nonces

    def of(self, peer: Peer) -> HubSession | None:
        return self._by_peer.get(peer)

    def numbered(self, serial: str) -> HubSession | None:
        """The session with this number."""
        return self._by_serial.get(int(serial)) if serial.isdecimal() else None

    def name(self, session: HubSession, host: str) -> HubSession | None:
        """Make this the session of a host. Returns the earlier one, if there was one."""
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
