"""The commands of a host whose channels can continue after the hub was killed (docs/protocol.md, 8.7)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ... import limits, protocol
from ...errors import LinesyncFailed
from ...protocol import Run, operations
from ...runtime.channels.streams import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...runtime.channels.resumable import ResumableStream

__all__ = ["Resuming"]

_CLOCK_MARGIN = 5.0  # seconds: the possible error of the age of a command, because its opening needs time to arrive
_REMEMBER = 3 * limits.LEASE  # seconds; a client returns within one lease
_REMEMBERED = 4096  # the maximum number of ended commands that are remembered

_Key = tuple[int, str]


class Resuming:
    """Finds the command to which a client returns. It knows each command that was opened with an id, until its client has
    received everything. If the command ends before that, this object remembers the reason for some time.

    :param host: the name of this host.
    :param lease: returns the number of seconds in which a client must return.
    """

    def __init__(self, host: str, lease: Callable[[], float]) -> None:
        self._host = host
        self._lease = lease
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        """All commands that were opened after this time are known."""
        self._running: dict[_Key, ResumableStream] = {}  # bound: serve.HOST_JOBS
        self._keys: dict[Stream, _Key] = {}  # bound: serve.HOST_JOBS
        self._shared: set[_Key] = set()  # bound: serve.HOST_JOBS
        """The running commands to which a client cannot return, because two clients chose the same id."""
        self._timers: dict[Stream, asyncio.TimerHandle] = {}  # bound: serve.HOST_JOBS
        self._over: dict[_Key, tuple[str, float]] = {}  # bound: resuming._REMEMBERED
        """The commands that ended before their clients had received everything: the reason and the time of the end."""

    def begin(self, channel: Stream) -> Stream | None:
        """Handle a channel that a client has opened.

        :returns: the stream for the channel, or None if the channel continues an earlier command.
        :raises LinesyncFailed: the client returns to a command that cannot continue.
        """
        request = operations.known_opening(channel.words)
        if not isinstance(request, Run) or not request.id:
            return channel
        key = _key(request)
        running = self._running.get(key)
        if request.Got is not None and running is not None and key not in self._shared:
            if not running.join(channel, request.Got):
                raise LinesyncFailed(
                    f"{request.argv[0]} on {self._host} cannot continue at position {request.Got}; it may still be running"
                    " there, so look before you run it again"
                )
            self._stop_timer(running)
            return None
        if request.Got is not None:
            self._check_never_began(key, request)
        from ...runtime.channels.resumable import ResumableStream  # many hosts run no commands

        stream = ResumableStream(channel._owner, channel.number, channel.lane, channel.words)
        stream.join(channel, request.Got)
        stream.on_suspended = lambda: self._start_timer(stream)
        if running is not None:
            self._shared.add(key)
        else:
            self._running[key], self._keys[stream] = stream, key
        return stream

    def end(self, stream: Stream, why: str) -> None:
        """Handle the end of the work for a channel.

        :param why: the reason why the client has not received everything; empty if it has received everything.
        """
        self._stop_timer(stream)
        key = self._keys.pop(stream, None)
        if key is None:
            return
        del self._running[key]
        self._shared.discard(key)
        if why:
            self._remember(key, why)

    def _start_timer(self, stream: ResumableStream) -> None:
        self._stop_timer(stream)
        lease = self._lease()
        why = f"the hub was started again, and the client did not return within {lease:g} s"
        self._timers[stream] = self._loop.call_later(lease, self._give_up, stream, why)

    def _stop_timer(self, stream: Stream) -> None:
        timer = self._timers.pop(stream, None)
        if timer is not None:
            timer.cancel()

    @staticmethod
    def _give_up(stream: ResumableStream, why: str) -> None:
        stream.put_closed(why)
        stream.wake()

    def _remember(self, key: _Key, why: str) -> None:
        now = self._loop.time()
        self._over.pop(key, None)
        self._over[key] = why, now
        while len(self._over) > _REMEMBERED or next(iter(self._over.values()))[1] < now - _REMEMBER:
            _, forgotten = self._over.pop(next(iter(self._over)))
            self._since = max(self._since, forgotten)

    def _check_never_began(self, key: _Key, request: Run) -> None:
        """Check that the command to which a client returns did certainly not begin before, so that it can begin now.

        :raises LinesyncFailed: the command may have begun.
        """
        program, host = request.argv[0], self._host
        if key in self._over:
            raise LinesyncFailed(f"{program} on {host} was ended: {self._over[key][0]}; run it again")
        if key in self._shared:
            raise LinesyncFailed(
                f"{program} on {host} cannot continue, because two clients chose the same id; it ends within a lease, so run it"
                " again after that"
            )
        age = self._loop.time() - self._since
        if request.Got or age < (request.age or 0.0) + _CLOCK_MARGIN:
            restarted = "the hub itself" if host == "hub" else f"the agent on {host}"
            if request.Detach:
                raise LinesyncFailed(
                    f"{restarted} does not know whether it has started {program} for this client, because it was started again;"
                    f" look with 'linesync proc ls {host}' before you start it again"
                )
            raise LinesyncFailed(
                f"{restarted} does not know the command {program} of this client any more, because it was started again; that"
                " ended the command, so check what it had done before you run it again"
            )


def _key(request: Run) -> _Key:
    return request.id, protocol.encode(request.but(Got=None, age=None))
