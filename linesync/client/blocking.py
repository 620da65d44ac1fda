"""The blocking client: the same operations without asyncio, for scripts and small commands."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .. import messages
from ..errors import LinesyncError
from ..messages import Note
from ..runtime.blocking import BlockingPeer
from ..runtime.conversation import Conversation, User
from ..runtime.streams import Stream
from .operations import BarrierResult, CommandResult, Operations, OutputCallback

if TYPE_CHECKING:
    from .files import FileOperations

__all__ = ["BlockingClient", "connect_blocking"]

T = TypeVar("T")


class _Notices(User):
    def __init__(self, on_notice: Callable[[str], None] | None) -> None:
        self._on_notice = on_notice

    def request(self, peer: Conversation, number: str, text: str) -> None:
        if self._on_notice is None:
            return
        try:
            note = messages.decode(text, Note)
        except LinesyncError:
            return
        assert isinstance(note, Note)
        self._on_notice(note.text)


class BlockingClient:
    """A connection to a hub, or to this host's agent. Each method is that of
    :class:`linesync.client.operations.Operations` and raises as it does. Not for several threads at once.

    :param on_notice: takes what the agent in between has to say while it waits.
    """

    def __init__(self, endpoint: str, on_notice: Callable[[str], None] | None = None) -> None:
        self.peer = BlockingPeer(_Notices(on_notice), endpoint)
        self.operations = Operations(self.peer)
        try:
            self.run_coroutine(self.peer.ready())
        except BaseException:
            self.peer.close()
            raise

    def run_coroutine(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of :class:`Operations`, or one built from them."""
        return self.peer.run(work)

    def barrier(
        self,
        name: str,
        count: int,
        *,
        timeout: float | None = None,
        namespace: str = "default",
        member: str = "",
        arrival: str = "",
    ) -> BarrierResult:
        return self.run_coroutine(
            self.operations.barrier(name, count, timeout=timeout, namespace=namespace, member=member, arrival=arrival)
        )

    def semaphore(
        self,
        name: str,
        delta: int,
        *,
        timeout: float | None = None,
        namespace: str = "default",
        arrival: str = "",
    ) -> int:
        return self.run_coroutine(
            self.operations.semaphore(name, delta, timeout=timeout, namespace=namespace, arrival=arrival)
        )

    def hosts(self) -> list[dict[str, Any]]:
        return self.run_coroutine(self.operations.hosts())

    def status(self) -> dict[str, Any]:
        return self.run_coroutine(self.operations.status())

    def links(self) -> list[dict[str, Any]]:
        return self.run_coroutine(self.operations.links())

    def run(
        self,
        host: str,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        cwd: str = "",
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        on_output: OutputCallback | None = None,
    ) -> CommandResult:
        return self.run_coroutine(
            self.operations.run(host, argv, stdin=stdin, cwd=cwd, env=env, timeout=timeout, on_output=on_output)
        )

    def get_file(self, host: str, path: str, target: str) -> int:
        """Copy a file from a host to here; see :meth:`linesync.client.files.FileOperations.get_file`."""
        return self.run_coroutine(self._files().get_file(host, path, target))

    def put_file(self, source: str, host: str, path: str) -> int:
        """Copy a file from here to a host."""
        return self.run_coroutine(self._files().put_file(source, host, path))

    def _files(self) -> FileOperations:
        from .files import FileOperations

        return FileOperations(self.peer)

    def open_console(self, host: str, *, follow: bool = False, type_into: bool = False) -> Stream:
        return self.operations.console(host, follow=follow, type_into=type_into)

    def close(self) -> None:
        """Say goodbye and close the connection."""
        self.peer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect_blocking(endpoint: str, on_notice: Callable[[str], None] | None = None) -> BlockingClient:
    """Connect to the hub or the agent that listens on ``endpoint``.

    :raises UsageError: the endpoint is not written right.
    :raises LinesyncFailed: nobody listens there, or whoever does is no linesync.
    """
    return BlockingClient(endpoint, on_notice)
