"""Two descriptors of this process, such as stdin and stdout, as the end of a forwarded connection."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable

from ...transports.fd_line import FdEnd, open_end
from .sockets import ByteEnd

__all__ = ["DescriptorEnd", "standard_streams"]


class DescriptorEnd(ByteEnd):
    """An end that reads one descriptor and writes another one."""

    def __init__(self, source: FdEnd, sink: FdEnd) -> None:
        self._source = source
        self._sink = sink
        self._loop = asyncio.get_running_loop()

    async def read(self, most: int) -> bytes:
        while True:
            try:
                return self._source.read(most)
            except BlockingIOError:
                await _ready(self._source.descriptor, self._loop.add_reader, self._loop.remove_reader)

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._sink.write(view) :]
            except BlockingIOError:
                await _ready(self._sink.descriptor, self._loop.add_writer, self._loop.remove_writer)

    def end(self) -> None:
        if self._sink.descriptor >= 0 and stat.S_ISSOCK(os.fstat(self._sink.descriptor).st_mode):
            with socket.socket(fileno=os.dup(self._sink.descriptor)) as shared:
                shared.shutdown(socket.SHUT_WR)  # the source may be the same socket
        self._sink.close()

    def close(self) -> None:
        self._source.close()
        self._sink.close()

    def reset(self) -> None:
        self.close()


async def _ready(descriptor: int, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
    """Wait until a descriptor can be read or written. It is not a regular file, which never blocks."""
    ready = asyncio.get_running_loop().create_future()

    def settle() -> None:
        if not ready.done():
            ready.set_result(None)

    add(descriptor, settle)
    try:
        await ready
    finally:
        remove(descriptor)


def standard_streams() -> DescriptorEnd:
    """The stdin and stdout of this process. Everything that this process prints goes to stderr from now on."""
    source, sink = open_end(os.dup(0), os.O_RDONLY), open_end(os.dup(1), os.O_WRONLY)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)  # the reader of stdout must see the end when this end is closed
    os.close(null)
    return DescriptorEnd(source, sink)
