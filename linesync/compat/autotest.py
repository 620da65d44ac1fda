"""autotest's ``barrier`` and ``SyncData``, with its names, arguments and exceptions.

A test that says ``from autotest.client.shared import barrier, error`` says ``from linesync.compat import autotest as
barrier, autotest as error`` instead, and goes on unchanged. There is no master and no socket: everybody meets at the
hub, whoever comes first. Values travel as JSON with bytes (:mod:`.values`), never as pickles.

What one autotest barrier is, the hub must tell from its name. It holds the port, as two barriers with one tag on two
ports are two, and the member that all others call or are called from, as pairs of hosts that use the same tag do not
meet either: the first of all for ``rendezvous``, the first of the others for ``rendezvous_servers``, whose masters are
often called the same (``PROF_MASTER``).
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Iterable
from hashlib import sha256
from types import TracebackType
from typing import Any, Self

from ..errors import Aborted, LinesyncError, MemberLost, Mismatch, TimedOut
from .names import member_of
from .program import connect, namespace
from .values import dumps, loads

__all__ = [
    "BarrierAbortError",
    "BarrierError",
    "DataSyncError",
    "NetCommunicationError",
    "SyncData",
    "SyncListenServer",
    "barrier",
    "get_host_from_id",
    "listen_server",
]

_BARRIER_PORT = 11922
_SYNC_PORT = 13234
_NAME_BYTES = 200  # of a name

_log = logging.getLogger(__name__)


class BarrierError(Exception):
    """A barrier failed. The error of linesync that says why is its ``__cause__``."""


class BarrierAbortError(BarrierError):
    """A member asked for an abort."""


class NetCommunicationError(Exception):
    """Communication broke."""


class DataSyncError(NetCommunicationError):
    """Data could not be exchanged. The error of linesync that says why is its ``__cause__``."""


def get_host_from_id(hostid: str) -> str:
    """The host of a host id: what stands before its ``#``.

    :raises BarrierError: nothing does.
    """
    if hostid.startswith("#"):
        raise BarrierError(f"Invalid Host id: {hostid!r} names no host before its '#'; write HOST or HOST#TAG")
    return hostid.partition("#")[0]


class listen_server:
    """A port that several barriers share. Nothing listens: it only carries the number that keeps barriers apart.

    :raises OSError: this process has one for that address and port already, which is not closed.
    """

    _taken: set[tuple[str, int]] = set()  # noqa: RUF012  all of them, of this process

    def __init__(self, address: str = "", port: int = _BARRIER_PORT) -> None:
        self.address = address
        self.port = port
        if (address, port) in self._taken:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), f"{address}:{port}")
        self._taken.add((address, port))

    def close(self) -> None:
        self._taken.discard((self.address, self.port))


class barrier:
    """A meeting of hosts under a tag.

    :param hostid: who we are: a host's name or address, and perhaps ``#`` and a tag; several on one machine may meet.
    :param tag: the meeting's name.
    :param timeout: seconds; None waits for ever, 0 fails at once.
    :param port: keeps meetings apart; 11922 unless given.
    :param listen_server: gives the port instead.
    :raises BarrierError: both were given.
    """

    def __init__(
        self,
        hostid: str,
        tag: str,
        timeout: float | None = None,
        port: int | None = None,
        listen_server: listen_server | None = None,
    ) -> None:
        if listen_server is not None and port:
            raise BarrierError('"port" and "listen_server" are mutually exclusive; give one of them')
        self._hostid = hostid
        self._tag = tag
        self._timeout_secs = timeout
        self._port = listen_server.port if listen_server is not None else port or _BARRIER_PORT
        _log.info("tag=%s port=%d timeout=%r", tag, self._port, timeout)

    def rendezvous(self, *hosts: str, abort: bool = False) -> None:
        """Wait until all of ``hosts``, ourselves among them, are here. One host alone does not wait.

        :param abort: let it fail for all of them instead.
        :raises BarrierAbortError: a member did that.
        :raises BarrierError: the timeout passed, a member is lost or came twice, or the lists of hosts differ.
        """
        if not hosts:
            raise BarrierError(f"the barrier {self._tag} needs the hosts that meet; name them all, {self._hostid} too")
        self._meet("", min(hosts), set(hosts), abort)

    def rendezvous_servers(self, masterid: str, *hosts: str, abort: bool = False) -> None:
        """The same for a master and other hosts (which need no way to call the master: nor do they in the other one)."""
        self._meet("servers:", min(hosts, default=""), {masterid, *hosts} if hosts else set(), abort)

    def _meet(self, kind: str, first: str, hosts: set[str], abort: bool) -> None:
        if len(hosts) < 2:
            _log.info("No other members listed.")
            return
        for host in {self._hostid, *hosts}:
            get_host_from_id(host)
        if self._timeout_secs is not None and self._timeout_secs <= 0:
            raise BarrierError(f"timeout waiting for barrier: {self._tag}: there was no time to wait for anybody")
        name = _name(f"autotest:{kind}{self._port}:", f"{member_of(first)}:{self._tag}")
        try:
            with connect("linesync") as client:
                client.barrier(
                    name,
                    members=[member_of(host) for host in hosts],
                    member=member_of(self._hostid),
                    timeout=self._timeout_secs,
                    namespace=namespace("autotest"),
                    abort=f"{self._hostid} requested abort" if abort else "",
                )
        except LinesyncError as error:
            raise self._error(error) from error

    def _error(self, error: LinesyncError) -> BarrierError:
        """autotest's words for it, and ours."""
        if isinstance(error, TimedOut):
            return BarrierError(f"timeout waiting for barrier: {self._tag}: {error}")
        if isinstance(error, Aborted):
            return BarrierAbortError(f"Client requested abort: {error}")
        if isinstance(error, MemberLost):
            return BarrierError(f"master lost client: {error}")
        if isinstance(error, Mismatch) and {"member", "arrived"} <= error.details.keys():
            return BarrierError(f"master abort -- duplicate client: {error}")
        return BarrierError(str(error))


class SyncListenServer:
    """The place where sessions of :class:`SyncData` meet. No process is started: the hub is there already.

    :param tmpdir: where autotest keeps a file of its own; not used.
    """

    def __init__(self, address: str = "", port: int = _SYNC_PORT, tmpdir: str | None = None) -> None:
        self.address = address
        self.port = port
        self.tmpdir = tmpdir
        self.closed = False

    def close(self) -> None:
        self.closed = True


class SyncData:
    """Exchange of data between hosts: each gives a value, and all get the values of all.

    :param masterid: the host at which autotest lets them meet; with the port it keeps sessions apart.
    :param hostid: who we are; one of ``hosts``.
    :param session_id: which exchange this is; several go on at once.
    :param listen_server: a server that the master has already.
    """

    def __init__(
        self,
        masterid: str,
        hostid: str,
        hosts: Iterable[str],
        session_id: object = None,
        listen_server: SyncListenServer | None = None,
        port: int = _SYNC_PORT,
        tmpdir: str | None = None,
    ) -> None:
        self.masterid = masterid
        self.hostid = hostid
        self.hosts = list(hosts)
        self.session_id = session_id
        self.port = port
        self.master = hostid == masterid
        self.killserver = listen_server is None and self.master
        self.listen_server = listen_server
        if self.killserver:
            self.listen_server = SyncListenServer(port=port, tmpdir=tmpdir)
        self.sync_data: dict[str, Any] = {}

    def sync(self, data: Any = None, timeout: float | None = 60, session_id: object = None) -> dict[str, Any]:
        """Give a value and get those of all hosts, by host id.

        :param data: None, numbers, text, bytes, lists, tuples and dictionaries of these.
        :param timeout: seconds; None waits for ever.
        :param session_id: instead of the object's own.
        :raises DataSyncError: the timeout passed, a host was lost before it had given its value, or the lists of hosts
            differ.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if self.listen_server is not None and self.listen_server.closed:
            raise DataSyncError(f"no data sync at {self.masterid}: its listen server is closed; make another one")
        if deadline is not None and deadline <= time.monotonic():
            raise DataSyncError(f"Timeout during data sync with data {data!r:.200}: there was no time to wait")
        try:
            given = dumps(data)
        except TypeError as error:
            raise DataSyncError(f"{self.hostid} gave a value that no other host could read: {error}") from error
        session = str(self.session_id if session_id is None else session_id)
        by_member = {member_of(host): host for host in self.hosts}
        try:
            with connect("linesync") as client:
                got = client.exchange(
                    _name(f"autotest:{self.port}:", f"{member_of(self.masterid)}:{session}"),
                    list(by_member),
                    given,
                    member=member_of(self.hostid),
                    timeout=None if deadline is None else max(deadline - time.monotonic(), 0.0),
                    namespace=namespace("autotest"),
                )
            self.sync_data = {by_member[member]: loads(value) for member, value in got.items()}
        except TimedOut as error:
            raise DataSyncError(f"Timeout during data sync with data {data!r:.200}: {error}") from error
        except LinesyncError as error:
            raise DataSyncError(str(error)) from error
        except ValueError as error:
            raise DataSyncError(
                f"another host of the session {session} gave no value of this module: {error}"
            ) from error
        return self.sync_data

    def single_sync(self, data: Any = None, timeout: float | None = 60, session_id: object = None) -> dict[str, Any]:
        """:meth:`sync`, then :meth:`close`, whatever became of it."""
        try:
            return self.sync(data, timeout, session_id)
        finally:
            self.close()

    def close(self) -> None:
        """Close the listen server, where we made it."""
        if self.killserver and self.listen_server is not None:
            self.listen_server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _name(kind: str, rest: str) -> str:
    """A name of linesync's; where it could be none, its end is a digest."""
    data = rest.encode("utf-8", "surrogateescape")
    if len(kind) + len(data) <= _NAME_BYTES and rest.isprintable():
        return kind + rest
    return kind + sha256(data).hexdigest()
