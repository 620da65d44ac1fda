"""The changes of the state of a hub, for a client that follows them."""

from __future__ import annotations

from .. import protocol
from ..errors import BrokenError, EndOfStream
from ..model.state.change import Change
from ..runtime.channels.streams import MESSAGE, Item, Stream
from .states import read_json, read_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Following"]


class Following:
    """All changes of the state of a hub after the call to ``changes()``: ``async for change in following``.

    With ``async with``, the hub stops sending changes at the end of the block. The hub stores at most 256 KiB of changes that
    the client has not read. If there are more, the client loses the oldest changes, and gets a change of the kind
    ``changes lost`` with their number.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._rest = b""
        self._lines: list[bytes] = []
        """The received lines, one for each change. The newest line is the first."""

    @classmethod
    async def begin(cls, stream: Stream) -> Self:
        """Wait until the hub has accepted the channel.

        :raises LinesyncError: the hub refused the channel, or the hub was lost.
        """
        try:
            protocol.read_reply(await stream.receive_message())
        except (BrokenError, EndOfStream) as error:
            raise _lost(error) from None
        except BaseException:
            stream.reset(protocol.GIVEN_UP)
            raise
        return cls(stream)

    async def next(self) -> Change | None:
        """Wait for the next change and return it, or None if the hub has ended the channel.

        :raises BrokenError: the hub, or the line to it, was lost.
        """
        try:
            while (change := self._next()) is None:
                self._take(await self._stream.receive())
        except EndOfStream:
            return None
        except BrokenError as error:
            raise _lost(error) from None
        return change

    def next_nowait(self) -> Change | None:
        """The next change, or None if it has not arrived yet.

        :raises BrokenError: the hub, or the line to it, was lost.
        :raises EndOfStream: the hub has ended the channel.
        """
        try:
            return self._next()
        except BrokenError as error:
            raise _lost(error) from None

    def _next(self) -> Change | None:
        while not self._lines and (item := self._stream.receive_nowait()) is not None:
            self._take(item)
        if not self._lines:
            return None
        return read_state(Change, read_json(self._lines.pop()))

    def close(self) -> None:
        """Stop following."""
        self._stream.reset(protocol.GIVEN_UP)

    def _take(self, item: Item) -> None:
        if item.stream == MESSAGE:
            error = protocol.read_error(item.data.decode("utf-8", "replace"))
            if error is not None:
                raise error
            return
        *lines, self._rest = (self._rest + item.data).split(b"\n")
        self._lines = [*reversed(lines), *self._lines]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        change = await self.next()
        if change is None:
            raise StopAsyncIteration
        return change

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _lost(error: BrokenError | EndOfStream) -> BrokenError:
    return BrokenError(
        f"the changes can no longer be followed: {error.message}; check that the hub and the line work, and follow them again"
    )
