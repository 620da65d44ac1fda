"""The blocking client: the operations without asyncio, for scripts and small commands."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from functools import wraps
from types import TracebackType

from ..runtime.blocking import BlockingPeer
from .arguments import an_instance, checked
from .deadlines import Deadline
from .notices import Notices
from .operations import Operations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Concatenate, ParamSpec, Self, TypeVar

    from ..model.state.change import Change
    from .changes import Following
    from .groups.blocking import BlockingGroup
    from .jobs.blocking_connection import BlockingConnection
    from .jobs.blocking_process import BlockingProcess

    T = TypeVar("T")
    P = ParamSpec("P")
    C = TypeVar("C", bound=Callable[..., object])

__all__ = ["BlockingClient", "connect_blocking"]


def _blocking(
    method: Callable[Concatenate[Operations, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[BlockingClient, P], T]:
    """Make a method of :class:`BlockingClient` that runs a coroutine method of :class:`Operations` until it returns."""

    def run(self: BlockingClient, /, *args: P.args, **named: P.kwargs) -> T:
        return self._run(method(self.operations, *args, **named), named.get("timeout"))

    return _documented(run, method)


def _direct(method: Callable[Concatenate[Operations, P], T]) -> Callable[Concatenate[BlockingClient, P], T]:
    """Make a method of :class:`BlockingClient` that calls a method of :class:`Operations` that does not wait."""

    def call(self: BlockingClient, /, *args: P.args, **named: P.kwargs) -> T:
        self._begin_again()
        return method(self.operations, *args, **named)

    return _documented(call, method)


def _block(
    method: Callable[Concatenate[Operations, P], AbstractAsyncContextManager[T]],
) -> Callable[Concatenate[BlockingClient, P], AbstractContextManager[T]]:
    """Make a method of :class:`BlockingClient` for a method of :class:`Operations` that is used with ``async with``."""

    @contextmanager
    def run(self: BlockingClient, block: AbstractAsyncContextManager[T]) -> Iterator[T]:
        value = self.run_coroutine(block.__aenter__())
        try:
            yield value
        except BaseException as error:
            if not self.run_coroutine(block.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            self.run_coroutine(block.__aexit__(None, None, None))

    def call(self: BlockingClient, /, *args: P.args, **named: P.kwargs) -> AbstractContextManager[T]:
        return run(self, method(self.operations, *args, **named))

    return _documented(call, method)


def _documented(made: C, method: Callable[..., object]) -> C:
    """Copy the name, the signature and the docstring of ``method`` to ``made``, and return ``made``."""
    wraps(method)(made)
    made.__module__, made.__qualname__ = __name__, f"BlockingClient.{method.__name__}"
    return made


class _Notices(Notices[BlockingPeer]):
    """Handles the events of the session, and reports notices."""

    def __init__(self, on_notice: Callable[[str], None] | None) -> None:
        super().__init__()
        self._on_notice = on_notice

    def notice(self, text: str) -> None:
        if self._on_notice is not None:
            self._on_notice(text)


class BlockingClient:
    """A connection to a hub, or to the agent on this host.

    Its methods are the methods of :class:`linesync.client.operations.Operations` and raise the same errors. Only one
    thread may use a client at a time.

    :param endpoint: the endpoint of the hub or agent.
    :param on_notice: called with notices of the agent on this host, such as ``waiting for the hub ...``.
    :param timeout: seconds within which the hub or agent must answer; by default, 10 s for the connection and 10 s for
        the answer.
    """

    @checked()
    def __init__(
        self, endpoint: str, on_notice: Callable[[str], None] | None = None, *, timeout: float | None = None
    ) -> None:
        notices = _Notices(on_notice)
        self.peer = BlockingPeer(notices, endpoint, timeout)
        self.operations = notices.operations = Operations(self.peer)
        try:
            self.peer.run(self.peer.ready())
        except BaseException:
            self.peer.close()
            raise

    @checked(work=an_instance(Coroutine, "a coroutine of the operations"))
    def run_coroutine(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of :class:`Operations`, or a coroutine that awaits only such coroutines. Returns its result."""
        return self._run(work)

    def _run(self, work: Coroutine[Any, Any, T], timeout: Any = None) -> T:
        try:
            self._begin_again(timeout)
        except BaseException:
            work.close()
            raise
        return self.peer.run(work)

    def _begin_again(self, timeout: float | None = None) -> None:
        """Connect again if the hub has ended the session of this client after a long silence."""
        if not self.operations.holds:
            self.peer.begin_again(Deadline(timeout).to_connect)

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
    drain = _blocking(Operations.drain)
    links = _blocking(Operations.links)
    check_policy = _blocking(Operations.check_policy)
    wait_host = _blocking(Operations.wait_host)
    reboot_host = _blocking(Operations.reboot_host)
    run = _blocking(Operations.run)
    finish = _blocking(Operations.finish)
    start_detached = _blocking(Operations.start_detached)
    processes = _blocking(Operations.processes)
    wait_process = _blocking(Operations.wait_process)
    follow_process = _blocking(Operations.follow_process)
    process_log = _blocking(Operations.process_log)
    kill_process = _blocking(Operations.kill_process)
    exchange = _blocking(Operations.exchange)
    get_file = _blocking(Operations.get_file)
    put_file = _blocking(Operations.put_file)
    pass_file = _blocking(Operations.pass_file)
    get_stream = _blocking(Operations.get_stream)
    put_stream = _blocking(Operations.put_stream)
    copy = _blocking(Operations.copy)
    join_group = _blocking(Operations.join_group)
    leave_group = _blocking(Operations.leave_group)
    cast_group = _blocking(Operations.cast_group)
    wait_group = _blocking(Operations.wait_group)
    rerun_group = _blocking(Operations.rerun_group)
    stop_group = _blocking(Operations.stop_group)
    group_state = _blocking(Operations.group_state)
    start = _direct(Operations.start)
    attach_process = _direct(Operations.attach_process)
    console = _direct(Operations.console)
    trace = _direct(Operations.trace)
    locked = _block(Operations.locked)
    holding = _block(Operations.holding)
    namespace = _block(Operations.namespace)

    def _join(self, *args: Any, **named: Any) -> BlockingGroup:
        from .groups.blocking import BlockingGroup

        return BlockingGroup(self, self._run(self.operations.group(*args, **named), named.get("timeout")))

    group = _documented(_join, Operations.group)

    def _create(self, *args: Any, **named: Any) -> BlockingProcess:
        from .jobs.blocking_process import BlockingProcess

        self._begin_again()
        return BlockingProcess(self, self.operations.create_process(*args, **named))

    create_process = _documented(_create, Operations.create_process)

    def _connect(self, *args: Any, **named: Any) -> BlockingConnection:
        from .jobs.blocking_connection import BlockingConnection

        work = self.operations.open_connection(*args, **named)
        return BlockingConnection(self, self._run(work, named.get("timeout")))

    open_connection = _documented(_connect, Operations.open_connection)

    @checked()
    def changes(self, *, timeout: float | None = None) -> Iterator[Change]:
        """Follow the changes of the state: ``for change in client.changes()`` gets all changes after this call. The
        coroutine with this name, :meth:`linesync.client.operations.Operations.changes`, describes the parameters.

        The iterator waits for the next change. It raises :class:`linesync.errors.BrokenError` if the hub or the line to
        it is lost. To stop, leave the loop and close the iterator or the client.
        """
        return self._each(self.run_coroutine(self.operations.changes(timeout=timeout)))

    def _each(self, following: Following) -> Iterator[Change]:
        try:
            while (change := self.run_coroutine(following.next())) is not None:
                yield change
        finally:
            following.close()

    def close(self) -> None:
        """End the session and close the connection."""
        self.peer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect_blocking(
    endpoint: str, on_notice: Callable[[str], None] | None = None, *, timeout: float | None = None
) -> BlockingClient:
    """Connect to the hub or the agent that listens on ``endpoint``.

    :param on_notice: called with notices of the agent on this host, such as ``waiting for the hub ...``.
    :param timeout: seconds within which the hub or agent must answer; by default, 10 s for the connection and 10 s for the
        answer.
    :raises UsageError: the endpoint is invalid.
    :raises TimedOut: no hub or agent answered within ``timeout``.
    :raises LinesyncFailed: no process listens at the endpoint, or no hub or agent answered within 10 s.
    """
    return BlockingClient(endpoint, on_notice, timeout=timeout)
