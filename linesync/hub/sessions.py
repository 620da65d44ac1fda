"""The peers of the hub's sessions: each is an agent with a name and scripts behind it, or a script."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from ..jobs.serve import JOBS, Jobs
from ..model.participants import HUB, Client
from ..model.state.principal import Principal
from ..protocol.ids import Id
from ..protocol.operations import AGENT, SCRIPT
from ..runtime.peer import Peer

__all__ = ["HubSession", "Sessions"]


class HubSession:
    """One session and the hub's data about it."""

    def __init__(self, peer: Peer, serial: int, line: str) -> None:
        self.peer = peer
        self.serial = serial
        self.line = line
        """The line's label, one for each byte pipe."""
        self.host = ""
        """The host of the session after it has registered; empty before."""
        self._last: tuple[str, str, Client] | None = None
        """The host, the script and the client of the last request, because a script often sends several."""
        self.tasks: set[asyncio.Task[None]] = set()  # bound: limits.CHANNELS
        """The tasks that relay or serve its channels."""
        self.jobs = Jobs(JOBS, "this script")
        """What the hosts do for it, if it is a script."""
        self.give_up: asyncio.TimerHandle | None = None
        self.acted = False
        """Whether it has made a request as a script, so that it cannot become the session of a host."""
        self.refusal = ""
        """Why its requests are refused unless it registers a host; empty if they are not."""
        self.questioned = False
        """Whether it was asked who is active on its host, and has not answered."""
        self.concurrent = False
        """Whether a script does several things at the same time."""
        self.exchanges = 0
        """The number of exchanges in which a script waits."""
        self.cut = False
        """Whether the connection of a script was lost in a way in which the script may not have noticed it."""
        self.heard_at = float("-inf")
        """When the frame came that last renewed the host's lease, monotonic seconds."""

    @property
    def id(self) -> str:
        return str(self.serial)

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
        info = self.peer.info
        return info is not None and info.uid is not None

    def sender(self, script: str) -> str:
        """The kind of sender of a message with this script number: a script or an agent."""
        return AGENT if self.host and not script else SCRIPT

    def principal(self, script: str) -> Principal:
        """The principal of a request of this script."""
        info = self.peer.info
        if self.host:
            return Principal(line=self.line, host=self.host, script=script)
        return Principal(line=self.line, host=HUB, script=self.id, uid=info.uid if info is not None else None)

    def arrival(self, request: str, named: str) -> str:
        """The arrival id of a request."""
        return named or f"{self.serial}/{request}"

    def spawn(self, task: asyncio.Task[None]) -> None:
        """Add a task that ends with the session."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class Sessions:
    """All sessions of a hub."""

    def __init__(self) -> None:
        self._serial = 0
        self._by_peer: dict[Peer, HubSession] = {}  # bound: limits.SESSIONS, options
        self._by_nonces: dict[tuple[str, str], Peer] = {}  # bound: limits.SESSIONS, options
        self._nonces: dict[Peer, tuple[str, str]] = {}  # bound: limits.SESSIONS, options
        self._by_host: dict[str, HubSession] = {}  # bound: limits.SESSIONS, options

    def all(self) -> list[HubSession]:
        return list(self._by_peer.values())

    def scripts_among(self, peers: Collection[Peer]) -> list[Peer]:
        """Those of some peers that are not agents of hosts."""
        return [peer for peer in peers if peer not in self._by_peer or not self._by_peer[peer].host]

    def begin(self, peer: Peer, line: str) -> HubSession:
        self._serial += 1
        session = HubSession(peer, self._serial, line)
        self._by_peer[peer] = session
        return session

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
        return next((session for session in self._by_peer.values() if session.id == serial), None)

    def name(self, session: HubSession, host: str) -> HubSession | None:
        """Make this the session of a host. Returns the earlier one, if there was one."""
        session.host = host
        earlier = self._by_host.get(host)
        self._by_host[host] = session
        return earlier

    def host(self, name: str) -> HubSession | None:
        return self._by_host.get(name)

    def end(self, peer: Peer) -> HubSession | None:
        """Remove the session of a peer, which is over."""
        session = self._by_peer.pop(peer, None)
        nonces = self._nonces.pop(peer, None)
        if nonces is not None and self._by_nonces.get(nonces) is peer:
            del self._by_nonces[nonces]
        if session is not None:
            if self._by_host.get(session.host) is session:
                del self._by_host[session.host]
            if session.give_up is not None:
                session.give_up.cancel()
        return session
