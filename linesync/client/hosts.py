"""Waits for hosts, and reboots them."""

from __future__ import annotations

from contextlib import suppress

from ..errors import BrokenError, CommandFailed, LinesyncError, LinesyncFailed, TimedOut, UsageError
from .deadlines import limit, remaining

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.state.hosts import HostState
    from .changes import Following
    from .operations import Operations

__all__ = ["reboot_host", "wait_host"]

_QUIET = 2.0  # seconds between reads of the state of a quiet host, because the hub reports no change when it hears the host again


async def wait_host(client: Operations, host: str, boot_after: str, timeout: float | None) -> HostState:
    """See :meth:`linesync.client.operations.Operations.wait_host`."""
    last: HostState | None = None

    async def is_up(patience: float | None = None) -> bool:
        nonlocal last
        last = next((state for state in await client.hosts(timeout=patience) if state.name == host), None)
        return last is not None and last.state == "up" and not _same_boot(last, boot_after)

    begin = client.peer.now()
    if not await is_up(timeout):
        left = remaining(timeout, client.peer.now() - begin)
        async with limit(client.peer, left, lambda _: _not_up(host, last, boot_after, timeout), grace=0.0):
            while not await is_up():  # while the hub restarts, this request waits
                with suppress(BrokenError):  # the hub restarts
                    async with await client.changes() as changes:
                        while not await is_up():
                            await _change(client, changes, host, last)
                        break
    assert last is not None
    return last


async def _change(client: Operations, changes: Following, host: str, last: HostState | None) -> None:
    """Wait for a change of a host; if the host is quiet, at most ``_QUIET`` seconds."""
    scope = client.peer.timeout(_QUIET if last is not None and last.state == "quiet" else None)
    try:
        async with scope:
            while (change := await changes.next()) is not None:
                if change.kind == "changes lost" or (change.name == host and change.kind.startswith("host ")):
                    return
    except TimeoutError:
        if scope.expired():
            return
        raise
    raise BrokenError("the hub has ended the channel of changes")


async def reboot_host(client: Operations, host: str, command: Sequence[str], timeout: float | None) -> HostState:
    """See :meth:`linesync.client.operations.Operations.reboot_host`."""
    begin = client.peer.now()
    state = next((state for state in await client.hosts(timeout=timeout) if state.name == host), None)
    if state is None or state.state != "up":
        raise LinesyncFailed(f"cannot reboot {host}: it is not up; wait for it with 'linesync host wait {host}'")
    if not state.system:
        raise UsageError(
            f"cannot find out when {host} has booted again: its agent does not report the boot id of its system; update"
            " linesync there"
        )
    with suppress(LinesyncFailed):  # the host is lost while it reboots
        result = await client.run(host, [*command], timeout=timeout)
        if result.status:  # a signal ends it if the system goes down in the meantime
            raise CommandFailed(
                f"the command that reboots {host} ended with exit status {result.status}: {_last_line(result.stderr)}",
                status=result.status,
                signal=result.signal,
                stdout=result.stdout,
                stderr=result.stderr,
            )
    return await wait_host(client, host, state.system, remaining(timeout, client.peer.now() - begin))


def _last_line(output: bytes) -> str:
    return output.decode("utf-8", "replace").strip().rpartition("\n")[2] or "it printed nothing"


def _same_boot(state: HostState, boot: str) -> bool:
    return bool(boot) and any(id.startswith(boot) for id in (state.boot, state.system) if id)


def _not_up(host: str, last: HostState | None, boot_after: str, timeout: float | None) -> LinesyncError:
    if last is None:
        why = "no agent with this name has registered; start its agent"
    elif last.state == "up":
        why = f"it is up, but it has not been started again since {boot_after}; reboot it"
    else:
        why = f"it is {last.state} ({last.why or last.cause}); look at its console"
    return TimedOut(f"timed out after {timeout or 0.0:g} s waiting for host {host}: {why}")
