"""The blocking client: the operations without asyncio, for scripts and small commands."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from types import TracebackType

from .. import protocol
from ..errors import LinesyncError
from ..protocol import Note
from ..runtime.blocking import BlockingPeer
from ..runtime.conversation import Conversation, User
from .operations import Operations
from .sync import Held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Concatenate, ParamSpec, Self, TypeVar

    T = TypeVar("T")
    P = ParamSpec("P")
    C = TypeVar("C", bound=Callable[..., object])

__all__ = ["BlockingClient", "connect_blocking"]


def _blocking(
    method: Callable[Concatenate[Operations, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[BlockingClient, P], T]:
    """Make a method of :class:`BlockingClient` that runs a coroutine method of :class:`Operations` to its end."""

    def run(self: BlockingClient, /, *args: P.args, **named: P.kwargs) -> T:
        return self.run_coroutine(method(self.operations, *args, **named))

    return _twin(run, method)


def _direct(method: Callable[Concatenate[Operations, P], T]) -> Callable[Concatenate[BlockingClient, P], T]:
    """Make a method of :class:`BlockingClient` that calls a method of :class:`Operations` that does not wait."""

    def call(self: BlockingClient, /, *args: P.args, **named: P.kwargs) -> T:
        return method(self.operations, *args, **named)

    return _twin(call, method)


def _twin(twin: C, method: Callable[..., object]) -> C:
    """Give a method the signature and the docstring of another one."""
    wraps(method)(twin)
    twin.__module__, twin.__qualname__ = __name__, f"BlockingClient.{method.__name__}"
    return twin


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
    :param timeout: seconds within which the hub or agent must answer; by default, 10 s for the connection and 10 s for the
        answer.
    """

    def __init__(
        self, endpoint: str, on_notice: Callable[[str], None] | None = None, *, timeout: float | None = None
    ) -> None:
        notices = _Notices(on_notice)
        self.peer = BlockingPeer(notices, endpoint, timeout)
        self.operations = notices.operations = Operations(self.peer)
        try:
            self.run_coroutine(self.peer.ready())
        except BaseException:
            self.peer.close()
            raise

    def run_coroutine(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of :class:`Operations`, or one built from them."""
        return self.peer.run(work)

    barrier = _blocking(Operations.barrier)
    semaphore = _blocking(Operations.semaphore)
    hold = _blocking(Operations.hold)
    lock = _blocking(Operations.lock)
    unlock = _blocking(Operations.unlock)
    give_back = _blocking(Operations.give_back)
    set_events = _blocking(Operations.set_events)
    clear_events = _blocking(Operations.clear_events)
    wait_events = _blocking(Operations.wait_events)
    send = _blocking(Operations.send)
    receive = _blocking(Operations.receive)
    receive_all = _blocking(Operations.receive_all)
    reset = _blocking(Operations.reset)
    hosts = _blocking(Operations.hosts)
    status = _blocking(Operations.status)
    links = _blocking(Operations.links)
    run = _blocking(Operations.run)
    finish = _blocking(Operations.finish)
    exchange = _blocking(Operations.exchange)
    get_file = _blocking(Operations.get_file)
    put_file = _blocking(Operations.put_file)
    pass_file = _blocking(Operations.pass_file)
    start = _direct(Operations.start)
    console = _direct(Operations.console)
    trace = _direct(Operations.trace)

    @contextmanager
    def locked(self, name: str, *, timeout: float | None = None, namespace: str = "default") -> Iterator[Held]:
        """Hold a lock during a block: ``with client.locked("flash") as lock``; ``lock.value`` is the fencing token.

        ``timeout`` limits the wait for the lock, and then the time to give it back. Raises the errors of :meth:`lock`, and
        those of :meth:`give_back` if the lock was lost before the end of the block.
        """
        held = self.lock(name, timeout=timeout, namespace=namespace)
        with self._until_given_back(held, timeout):
            yield held

    @contextmanager
    def holding(
        self, name: str, units: int = 1, *, timeout: float | None = None, namespace: str = "default", bound: int = 0
    ) -> Iterator[Held]:
        """Hold units of a semaphore during a block. ``timeout`` limits the wait for the units, and then the time to give them
        back. Raises the errors of :meth:`hold` and :meth:`give_back`."""
        held = self.hold(name, units, timeout=timeout, namespace=namespace, bound=bound)
        with self._until_given_back(held, timeout):
            yield held

    @contextmanager
    def _until_given_back(self, held: Held, timeout: float | None) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with suppress(LinesyncError):  # the error of the block is more important
                self.give_back(held, timeout=timeout)
            raise
        self.give_back(held, timeout=timeout)

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

    :param on_notice: called with notices of the agent in between, such as ``waiting for the hub ...``.
    :param timeout: seconds within which it must answer; by default, 10 s for the connection and 10 s for the answer.
    :raises UsageError: the endpoint is invalid.
    :raises TimedOut: no hub or agent answered within ``timeout``.
    :raises LinesyncFailed: nothing listens there, or no linesync hub or agent answered.
    """
    return BlockingClient(endpoint, on_notice, timeout=timeout)
