"""autotest's ``barrier`` and ``SyncData``, with its names, arguments and exceptions.

A test replaces ``from autotest.client.shared import barrier, error`` with ``from linesync.compat import autotest as barrier,
autotest as error``, and needs no other change. There is no master and no socket: all hosts use the hub, and may arrive in any
order. Values are sent as JSON with bytes (:mod:`.values`), never as pickles.

At the hub, the name of a barrier must be different for each barrier of autotest. The name therefore contains the tag and two
more parts. The first part is the port, because in autotest the same tag on two ports means two barriers. The second part is
one member, because in autotest two pairs of hosts can use the same tag at the same time. This member is the first of all hosts
for ``rendezvous``. For ``rendezvous_servers`` it is the first of the other hosts, because masters often have the same name
(``PROF_MASTER``).
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterable
from hashlib import sha256
from types import TracebackType
from typing import Any, Self

from ..client.deadlines import Deadline
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
_NAME_BYTES = 200  # most bytes of a name in linesync

_log = logging.getLogger(__name__)


class BarrierError(Exception):
    """A barrier failed. Its ``__cause__`` is the error of linesync, which contains the reason."""


class BarrierAbortError(BarrierError):
    """A member aborted the barrier."""


class NetCommunicationError(Exception):
    """Communication failed."""


class DataSyncError(NetCommunicationError):
    """An exchange of data failed. Its ``__cause__`` is the error of linesync, which contains the reason."""


def get_host_from_id(hostid: str) -> str:
    """The host of a host id: the part before ``#``.

    :raises BarrierError: this part is empty.
    """
    if hostid.startswith("#"):
        raise BarrierError(f"Invalid Host id: {hostid!r} names no host before its '#'; write HOST or HOST#TAG")
    return hostid.partition("#")[0]


class listen_server:
    """A port number that several barriers share. No socket listens on it. It only distinguishes barriers.

    :raises OSError: this process already has an open server for this address and port.
    """

    _taken: set[tuple[str, int]] = set()  # noqa: RUF012  (address, port) of each open server of this process

    def __init__(self, address: str = "", port: int = _BARRIER_PORT) -> None:
        self.address = address
        self.port = port
        if (address, port) in self._taken:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), f"{address}:{port}")
        self._taken.add((address, port))

    def close(self) -> None:
        self._taken.discard((self.address, self.port))


class barrier:
    """A barrier of autotest.

    :param hostid: the id of the caller: a host's name or address. With ``#`` and a tag, several processes of one machine can
        use the same barrier.
    :param tag: the name of the barrier.
    :param timeout: seconds; None waits without limit, 0 fails immediately.
    :param port: barriers with different ports are different barriers; by default 11922.
    :param listen_server: the port of this server is used instead of ``port``.
    :raises BarrierError: both a port and a listen server are passed.
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
        """Wait until all of ``hosts``, which include this host, have arrived. With only one host, do not wait.

        :param abort: end the wait of all hosts with an error instead.
        :raises BarrierAbortError: a host aborted the barrier.
        :raises BarrierError: the timeout passed, a host is lost or arrived twice, or the lists of hosts differ.
        """
        if not hosts:
            raise BarrierError(f"the barrier {self._tag} has no hosts; name all hosts that meet, {self._hostid} too")
        self._wait_at_barrier("", min(hosts), set(hosts), abort)

    def rendezvous_servers(self, masterid: str, *hosts: str, abort: bool = False) -> None:
        """Wait like :meth:`rendezvous`, for a master and other hosts. All of them connect only to the hub."""
        self._wait_at_barrier("servers:", min(hosts, default=""), {masterid, *hosts} if hosts else set(), abort)

    def _wait_at_barrier(self, kind: str, first: str, hosts: set[str], abort: bool) -> None:
        if len(hosts) < 2:
            _log.info("No other members listed.")
            return
        for host in {self._hostid, *hosts}:
            get_host_from_id(host)
        if self._timeout_secs is not None and self._timeout_secs <= 0:
            raise BarrierError(
                f"timeout waiting for barrier: {self._tag}: the timeout leaves no time to wait; raise it"
            )
        name = _name(f"autotest:{kind}{self._port}:", f"{member_of(first)}:{self._tag}")
        try:
            deadline = Deadline(self._timeout_secs)
            with connect("linesync", timeout=deadline.to_connect) as client:
                client.barrier(
                    name,
                    members=[member_of(host) for host in hosts],
                    member=member_of(self._hostid),
                    rejoin=True,  # autotest waits for a client that lost its connection
                    timeout=deadline.left,
                    namespace=namespace("autotest"),
                    abort=f"{self._hostid} requested abort" if abort else "",
                )
        except LinesyncError as error:
            raise self._error(error) from error

    def _error(self, error: LinesyncError) -> BarrierError:
        """The exception of autotest for an error of linesync. Its message contains the messages of both."""
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
    """The server for sessions of :class:`SyncData`. It starts no process, because the sessions use the hub.

    :param tmpdir: the directory of a file of autotest; not used.
    """

    def __init__(self, address: str = "", port: int = _SYNC_PORT, tmpdir: str | None = None) -> None:
        self.address = address
        self.port = port
        self.tmpdir = tmpdir
        self.closed = False

    def close(self) -> None:
        self.closed = True


class SyncData:
    """An exchange of data between hosts: each host gives a value, and all hosts get all values.

    :param masterid: the master of autotest. Here it only distinguishes sessions, as the port does.
    :param hostid: the id of the caller, which is one of ``hosts``.
    :param hosts: the ids of all hosts that take part.
    :param session_id: the name of the exchange. Several exchanges can run at the same time.
    :param listen_server: a server that the master has already started.
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
        """Give a value and get the values of all hosts.

        :param data: None, numbers, text, bytes, and lists, tuples and dictionaries of these.
        :param timeout: seconds; None waits without limit.
        :param session_id: the name of the exchange, instead of the ``session_id`` of the object.
        :return: the value of each host, by host id.
        :raises DataSyncError: the timeout passed, a host was lost before it had given its value, the lists of hosts
            differ, or the value cannot be sent.
        """
        deadline = Deadline(timeout)
        if self.listen_server is not None and self.listen_server.closed:
            raise DataSyncError(f"no data sync at {self.masterid}: its listen server is closed; make a new one")
        if timeout is not None and timeout <= 0:
            raise DataSyncError(
                f"Timeout during data sync with data {data!r:.200}: the timeout leaves no time to wait; raise it"
            )
        try:
            encoded = dumps(data)
        except TypeError as error:
            raise DataSyncError(f"{self.hostid} gave a value that other hosts could not read: {error}") from error
        session = str(self.session_id if session_id is None else session_id)
        by_member = {member_of(host): host for host in self.hosts}
        try:
            with connect("linesync", timeout=deadline.to_connect) as client:
                got = client.exchange(
                    _name(f"autotest:{self.port}:", f"{member_of(self.masterid)}:{session}"),
                    list(by_member),
                    encoded,
                    member=member_of(self.hostid),
                    timeout=deadline.left,
                    namespace=namespace("autotest"),
                )
            self.sync_data = {by_member[member]: loads(value) for member, value in got.items()}
        except TimedOut as error:
            raise DataSyncError(f"Timeout during data sync with data {data!r:.200}: {error}") from error
        except LinesyncError as error:
            raise DataSyncError(str(error)) from error
        except ValueError as error:
            raise DataSyncError(
                f"another host of the session {session} gave data that SyncData did not write: {error}"
            ) from error
        return self.sync_data

    def single_sync(self, data: Any = None, timeout: float | None = 60, session_id: object = None) -> dict[str, Any]:
        """Call :meth:`sync`, then :meth:`close`, even after an error. Parameters, result and errors are those of ``sync``."""
        try:
            return self.sync(data, timeout, session_id)
        finally:
            self.close()

    def close(self) -> None:
        """Close the listen server if this object created it."""
        if self.killserver and self.listen_server is not None:
            self.listen_server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _name(kind: str, rest: str) -> str:
    """A name for linesync: ``kind`` and ``rest``. If ``rest`` is too long or not printable, its digest replaces it."""
    data = rest.encode("utf-8", "surrogateescape")
    if len(kind) + len(data) <= _NAME_BYTES and rest.isprintable():
        return kind + rest
    return kind + sha256(data).hexdigest()
