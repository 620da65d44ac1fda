"""The blocking client: the operations without asyncio, for scripts and small commands."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

from .. import protocol
from ..errors import LinesyncError
from ..protocol import Note
from ..runtime.blocking import BlockingPeer
from ..runtime.conversation import Conversation, User
from ..runtime.streams import Stream
from .operations import Operations
from .sync import Held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Concatenate, ParamSpec, Self, TypeVar

    from ..model.state.change import Change
    from .changes import Following
    from .exchange_operations import Data, ExchangeProgress, Sink
    from .files import FileOperations

    T = TypeVar("T")
    P = ParamSpec("P")

__all__ = ["BlockingClient", "connect_blocking"]


def _blocking(
    method: Callable[Concatenate[Operations, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[BlockingClient, P], T]:
    """Make a method of :class:`BlockingClient` that runs a coroutine method of :class:`Operations` to its end."""

    def run(self: BlockingClient, /, *args: P.args, **named: P.kwargs) -> T:
        return self.run_coroutine(method(self.operations, *args, **named))

    run.__name__, run.__qualname__, run.__doc__ = method.__name__, method.__qualname__, method.__doc__
    return run


class _Notices(User):
    def __init__(self, on_notice: Callable[[str], None] | None) -> None:
        self._on_notice = on_notice
        self.operations: Operations | None = None

    def request(self, peer: Conversation, number: str, text: str) -> None:
        if (self.operations is not None and self.operations.heard_revoked(text)) or self._on_notice is None:
            return
        try:
            note = protocol.decode(text, Note)
        except LinesyncError:
            return
        assert isinstance(note, Note)
        self._on_notice(note.text)


class BlockingClient:
    """A connection to a hub, or to the agent on this host.

    Each method is that of :class:`linesync.client.operations.Operations` and raises the same errors. Only one thread may
    use a client at a time.

    :param endpoint: the endpoint of the hub or agent.
    :param on_notice: called with notices of the agent in between, such as ``waiting for the hub ...``.
    """

    def __init__(self, endpoint: str, on_notice: Callable[[str], None] | None = None) -> None:
        notices = _Notices(on_notice)
        self.peer = BlockingPeer(notices, endpoint)
        self.operations = notices.operations = Operations(self.peer)
        try:
            self.peer.run(self.peer.ready())
        except BaseException:
            self.peer.close()
            raise

    def run_coroutine(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of :class:`Operations`, or one built from them."""
        if not self.operations.holds:
            try:
                self.peer.begin_again()
            except BaseException:
                work.close()
                raise
        return self.peer.run(work)

    barrier = _blocking(Operations.barrier)
    semaphore = _blocking(Operations.semaphore)
    hold = _blocking(Operations.hold)
    lock = _blocking(Operations.lock)
    unlock = _blocking(Operations.unlock)
    give_back = _blocking(Operations.give_back)
    check = _blocking(Operations.check)
    set_events = _blocking(Operations.set_events)
    clear_events = _blocking(Operations.clear_events)
    wait_events = _blocking(Operations.wait_events)
    send = _blocking(Operations.send)
    receive = _blocking(Operations.receive)
    receive_all = _blocking(Operations.receive_all)
    reset = _blocking(Operations.reset)
    begin_namespace = _blocking(Operations.begin_namespace)
    end_namespace = _blocking(Operations.end_namespace)
    namespaces = _blocking(Operations.namespaces)
    hosts = _blocking(Operations.hosts)
    status = _blocking(Operations.status)
    links = _blocking(Operations.links)
    run = _blocking(Operations.run)

    def exchange(
        self,
        name: str,
        members: Iterable[str] | str,
        data: Data,
        *,
        member: str = "",
        timeout: float | None = None,
        namespace: str = "default",
        arrival: str = "",
        within: str = "",
        sink: Sink | None = None,
        progress: ExchangeProgress | None = None,
    ) -> dict[str, Any]:
        """Give data and get the data of all members; see
        :meth:`linesync.client.exchange_operations.ExchangeOperations.exchange`."""
        from .exchange_operations import ExchangeOperations

        operations = ExchangeOperations(self.peer)
        operations.within = self.operations.within
        more: dict[str, Any] = {"within": within, "sink": sink, "progress": progress}
        return self.run_coroutine(
            operations.exchange(
                name, members, data, member=member, timeout=timeout, namespace=namespace, arrival=arrival, **more
            )
        )

    @contextmanager
    def locked(self, name: str, *, timeout: float | None = None, namespace: str = "default") -> Iterator[Held]:
        """Hold a lock during a block: ``with client.locked("flash") as lock``; ``lock.value`` is the fencing token.

        Raises the errors of :meth:`lock`, and those of :meth:`give_back` if the lock was lost before the end of the block.
        """
        held = self.lock(name, timeout=timeout, namespace=namespace)
        with self._until_given_back(held):
            yield held

    @contextmanager
    def holding(
        self, name: str, units: int = 1, *, timeout: float | None = None, namespace: str = "default", bound: int = 0
    ) -> Iterator[Held]:
        """Hold units of a semaphore during a block. Raises the errors of :meth:`hold` and :meth:`give_back`."""
        held = self.hold(name, units, timeout=timeout, namespace=namespace, bound=bound)
        with self._until_given_back(held):
            yield held

    @contextmanager
    def namespace(self, name: str = "") -> Iterator[str]:
        """Use a namespace of our own during a block: ``with client.namespace() as ns: client.barrier("up", 2, namespace=ns)``.

        At the end of the block, or of this connection, everything in it is deleted. Raises the errors of
        :meth:`begin_namespace`.
        """
        name = self.begin_namespace(name)
        try:
            yield name
        finally:
            with suppress(LinesyncError):  # it has ended already, or ends with the connection
                self.end_namespace(name)

    @contextmanager
    def _until_given_back(self, held: Held) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with suppress(LinesyncError):  # the error of the block is more important
                self.give_back(held)
            raise
        self.give_back(held)

    def get_file(self, host: str, path: str, target: str, *, device: bool = False) -> int:
        """Copy a file from a host to this machine; see :meth:`linesync.client.files.FileOperations.get_file`."""
        return self.run_coroutine(self._files().get_file(host, path, target, device=device))

    def put_file(self, source: str, host: str, path: str, *, device: bool = False) -> int:
        """Copy a file from this machine to a host; see :meth:`linesync.client.files.FileOperations.put_file`."""
        return self.run_coroutine(self._files().put_file(source, host, path, device=device))

    def _files(self) -> FileOperations:
        from .files import FileOperations

        return FileOperations(self.peer)

    def changes(self) -> Iterator[Change]:
        """Follow the changes of the state: ``for change in client.changes()``. All that happen after this call are in it. See
        :meth:`linesync.client.operations.Operations.changes`.

        The iterator waits for the next change. It raises :class:`linesync.errors.BrokenError` if the hub or the line to it is
        lost. To end it, leave the loop and :meth:`close` the iterator or the client.
        """
        return self._each(self.run_coroutine(self.operations.changes()))

    def _each(self, following: Following) -> Iterator[Change]:
        try:
            while (change := self.run_coroutine(following.next())) is not None:
                yield change
        finally:
            following.close()

    def open_console(self, host: str, *, follow: bool = False, type_into: bool = False) -> Stream:
        return self.operations.console(host, follow=follow, type_into=type_into)

    def close(self) -> None:
        """End the session and close the connection."""
        self.peer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect_blocking(endpoint: str, on_notice: Callable[[str], None] | None = None) -> BlockingClient:
    """Connect to the hub or the agent that listens on ``endpoint``.

    :param on_notice: called with notices of the agent in between, such as ``waiting for the hub ...``.
    :raises UsageError: the endpoint is invalid.
    :raises LinesyncFailed: nothing listens there, or no linesync hub or agent answered.
    """
    return BlockingClient(endpoint, on_notice)
