"""The second process of the socket benchmarks: ``python -m tools.bench.measure.sink linesync|bare PORT``.

With ``linesync``, it accepts channels and discards their data. At the end of a channel, it sends a message with the number of
items and bytes. With ``bare``, it is an asyncio protocol without linesync, which shows the limit of this machine and of
asyncio: it sends small pieces back and discards large pieces.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from linesync.errors import EndOfStream, LinesyncError
from linesync.runtime.channels.streams import Stream
from linesync.runtime.conversation import Conversation
from linesync.runtime.peer import Peer
from linesync.runtime.user import User
from linesync.transports import listen

__all__ = ["ECHOED"]

ECHOED = 1024  # the largest piece in bytes that the bare sink sends back
_LIFE = 300  # seconds after which the process ends itself


class _Sink(User[Peer]):
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def channel(self, peer: Conversation, stream: Stream) -> None:
        task = asyncio.ensure_future(_discard(stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _discard(stream: Stream) -> None:
    items = size = 0
    try:
        while True:
            item = await stream.receive()
            items += 1
            size += len(item.data)
    except EndOfStream:
        stream.send_message(f"{items} {size}")
        stream.end()
    except LinesyncError:
        pass


class _PlainProtocol(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if len(data) <= ECHOED:
            self._transport.write(data)


async def _serve(kind: str, port: int) -> None:
    if kind == "bare":
        await asyncio.get_running_loop().create_server(_PlainProtocol, "127.0.0.1", port)
    else:
        user = _Sink()
        await listen(f"tcp://127.0.0.1:{port}", lambda: Peer(user, "l").receiver())
    await asyncio.Event().wait()


if __name__ == "__main__":
    signal.alarm(_LIFE)
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2])))
