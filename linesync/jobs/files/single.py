"""Copies files over a channel. The target gets the complete and checked file, or does not change.

The host and the client use the same send loop and the same receive loop. ``paths.py`` examines paths and reads sources;
``targets.py`` writes targets. Their calls may block, so a *desk* runs them (``runtime/desk.py``). With asyncio, a desk is a
thread, so a disk that hangs stops only this copy. The sender reads the next chunk while it sends the last one. The receiver
writes a chunk while the next one arrives.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ... import limits, protocol
from ...errors import BrokenError, EndOfStream, LinesyncError, LinesyncFailed
from ...protocol import FileEnd, FileGot, FileHead
from ...runtime.channels.streams import MESSAGE, Stream
from ...runtime.desk import Behind, Desk
from ...wire.channels.credit import RECORD_COST
from .paths import MAY_BE_DEVICE, MUST_BE_DEVICE, Source, access_error
from .pipes import Input, Output
from .targets import Intermediate, NewFile, Target, open_target

if TYPE_CHECKING:
    from ...runtime.conversation import Conversation

__all__ = ["Progress", "Touch", "fetch", "serve_read", "serve_write", "store"]

Progress = Callable[[int, int], None]
"""Called with the number of bytes copied so far and the total number of bytes."""
Touch = Callable[[], None]
"""Called immediately before the first step that may change the target."""
_CHUNK = limits.CREDIT_PIPE // 4 - RECORD_COST
"""The bytes of one read and one send. On sockets, a chunk stays one frame on every line of the path, and the credit of a
channel is a whole number of chunks."""
_PROGRESS_INTERVAL = 1.0  # seconds between two progress messages of about fifteen bytes each


class _Sending:
    """A file that this process reads and sends."""

    def __init__(self, desk: Desk, shown: str) -> None:
        self._desk = desk
        self._shown = shown
        self._source: Source | Input | None = None

    def read_from(self, given: Input) -> Input:
        """Send an open file of this process."""
        self._source = given
        return given

    async def open(self, path: str, *, device: bool, expand: bool = False) -> Source:
        """Open the source file.

        :param device: whether the source may be a block device.
        :param expand: whether a ``~`` at the start of the path stands for this user's home directory.
        :raises LinesyncFailed: the source cannot be read, or is not a regular file or an allowed device.
        """

        def open_source() -> Source:
            self._source = Source(os.path.expanduser(path) if expand else path, self._shown, device=device)
            return self._source

        try:
            source: Source = await self._desk.do(open_source)
        except OSError as error:
            raise access_error("read", self._shown, error) from None
        return source

    async def send(self, desk: Desk, stream: Stream, meanwhile: Callable[[], None] | None = None) -> str:
        """Send the bytes and return their SHA-256 in hex digits.

        :param desk: the desk that reads the source.
        :param meanwhile: called while the stream waits, as in :meth:`Stream.drained`.
        :raises LinesyncFailed: the source cannot be read.
        """
        source, self._desk = self._source, desk
        assert source is not None
        read = partial(source.read, _CHUNK)
        try:
            desk.start(read)
            while data := await desk.finish(meanwhile):
                desk.start(read)
                await stream.send(0, data, meanwhile)
        except OSError as error:
            raise access_error("read", self._shown, error) from None
        return source.sha256

    async def close(self) -> None:
        if self._source is not None or self._desk.busy:
            await self._desk.close(self._close)

    def _close(self) -> None:
        if self._source is not None:
            self._source.close()


class _Receiving:
    """A file that this process receives and writes."""

    def __init__(
        self,
        stream: Stream,
        path: str | None,
        where: str,
        touch: Touch | None = None,
        output: Output | None = None,
    ) -> None:
        self._is_intermediate = path is None
        self._path = "the output" if output is not None else "a temporary file" if path is None else path
        self._output = output
        self._keep = True
        self._desk = stream.desk(self._path)
        self._touch = touch
        self._stream = stream
        self._where = where
        self._target: Target | None = None

    async def take(
        self, name: str, mode: int, size: int, device: int, progress: Progress | None, *, expand: bool = False
    ) -> Target:
        """Receive a file's bytes and its FileEnd, and put the file at its path.

        The other parameters are those of :func:`open_target`.

        :param expand: whether a ``~`` at the start of the path stands for this user's home directory.
        :raises LinesyncFailed: the file cannot be written.
        """

        def open_path() -> Target:
            path = os.path.expanduser(self._path) if expand else self._path
            if self._output is not None:
                self._target = self._output
            elif self._is_intermediate:
                self._target = Intermediate()
            else:
                self._target = open_target(path, name, mode, size, device, self._where)
            return self._target

        try:
            if device:
                self._touched()
            target: Target = await self._desk.do(open_path)
            end = await self._receive(target, size, progress)
            self._touched()
            while await self._desk.do(partial(target.commit, end.sha256)):
                pass
        except OSError as error:
            self._keep = False
            raise access_error("write", self._where + self._path, error) from None
        except LinesyncFailed:
            self._keep = False
            raise
        return target

    def _touched(self) -> None:
        if self._touch is not None:
            self._touch()

    async def _receive(self, target: Target, size: int, progress: Progress | None) -> FileEnd:
        behind, received = Behind(self._desk, target.write), 0
        while True:
            item = await self._stream.receive()
            if item.stream == MESSAGE:
                await behind.flush()
                end = _read_message(item.data.decode("utf-8", "replace"), FileEnd)
                assert isinstance(end, FileEnd)
                return end
            await behind.put(item.data)
            received += len(item.data)
            if progress is not None:
                progress(received, size)

    async def close(self) -> None:
        if self._target is not None or self._desk.busy:
            await self._desk.close(self._discard)

    def _discard(self) -> None:
        if isinstance(self._target, NewFile):
            self._target.discard(
                keep=self._keep
            )  # the next copy continues after an interruption, but not after an error
        elif self._target is not None:
            self._target.discard()


def _read_message(text: str, *kinds: type[protocol.Message]) -> protocol.Message:
    """Decode a message of one of these kinds. An error message is raised as an exception."""
    error = protocol.read_error(text)
    if error is not None:
        raise error
    return protocol.decode(text, *kinds)


# -- the host's side --------------------------------------------------------------------------------------------------


async def serve_read(stream: Stream, request: protocol.FileRead) -> None:
    """Send a file to the client."""
    desk = stream.desk(request.path)
    sending = _Sending(desk, f"{request.to}:{request.path}")
    try:
        source = await sending.open(request.path, device=request.Device, expand=True)
        stream.send_message(protocol.encode(FileHead(size=source.size, mode=source.mode, device=source.device)))
        digest = await sending.send(desk, stream)
    finally:
        await sending.close()
    stream.send_message(protocol.encode(FileEnd(sha256=digest)))
    stream.end()


def _progress_messages(stream: Stream) -> Progress:
    """A function that reports the number of received bytes to the sender, at most once a second.

    The sender cannot know this number, because bytes that it has sent may still wait in the buffers of a slow path.
    """
    last = stream.now()

    def report(done: int, total: int) -> None:
        nonlocal last
        now = stream.now()
        if now - last >= _PROGRESS_INTERVAL:
            last = now
            stream.send_message(protocol.encode(FileGot(size=done)))

    return report


async def serve_write(stream: Stream, request: protocol.FileWrite) -> None:
    """Receive a file from the client."""
    receiving = _Receiving(stream, request.path, f"{request.to}:")
    progress = _progress_messages(stream) if request.tell else None
    try:
        target = await receiving.take(request.name, request.mode, request.size, request.Device, progress, expand=True)
    finally:
        await receiving.close()
    stream.send_message(protocol.encode(FileEnd(sha256=target.sha256)))
    stream.end()


# -- the client's side ------------------------------------------------------------------------------------------------


async def fetch(
    stream: Stream,
    target: str | None,
    name: str,
    progress: Progress | None = None,
    *,
    device: bool = False,
    touch: Touch | None = None,
    output: Output | None = None,
) -> tuple[Target, FileHead]:
    """Receive the file that a FileRead channel sends.

    :param target: a local path; None for an intermediate file without a name.
    :param name: the file's name if ``target`` is a directory.
    :param device: whether the source, the target or both are block devices.
    :param output: an open file of this process as the target.
    :returns: the target that was written, and the properties of the source.
    :raises LinesyncFailed: the host cannot read the file, or this process cannot write it. The target is unchanged, but a
        block device may be partly overwritten.
    """
    receiving = _Receiving(stream, target, "", touch, output)
    try:
        head = _read_message(await stream.receive_message(), FileHead)
        assert isinstance(head, FileHead)
        kind = (MAY_BE_DEVICE if head.device else MUST_BE_DEVICE) if device and target is not None else 0
        written = await receiving.take(name, head.mode, head.size, kind, progress)
    except (BrokenError, EndOfStream) as error:
        state = "nothing was changed" if target is None else _target_state(target, device)
        raise LinesyncFailed(f"the copy was interrupted: {error.message}; {state}") from None
    except BaseException:
        stream.reset("the client cannot write the file")  # the host then stops sending
        raise
    finally:
        await receiving.close()
    stream.end()
    return written, head


def _target_state(shown: str, device: bool) -> str:
    """The state of the target after an interrupted copy, as a clause for an error message."""
    return f"if {shown} is a block device, its contents are now incomplete" if device else f"{shown} was not changed"


async def store(
    peer: Conversation,
    source: str,
    host: str,
    path: str,
    progress: Progress | None = None,
    *,
    device: bool = False,
    named: str = "",
    like: FileHead | None = None,
    touch: Touch | None = None,
    given: Input | None = None,
) -> int:
    """Send a file to a host.

    :param source: a local path.
    :param path: a path on the host.
    :param device: whether the source, the target or both are block devices.
    :param named: the name of the file if ``path`` is a directory; by default, the name of the source.
    :param like: the properties of the original file, if ``source`` is a copy of another host's file.
    :param given: an open file of this process as the source.
    :returns: the size in bytes.
    :raises LinesyncFailed: this process cannot read the file, or the host cannot write it. The target is unchanged, but a
        block device may be partly overwritten. If the connection was lost after all bytes had been sent, the message says
        that the target may have been replaced.
    """
    sending, shown, complete = _Sending(peer.desk(source), source), f"{host}:{path}", False

    def sent_all() -> None:
        nonlocal complete
        complete = True
        if touch is not None:
            touch()

    try:
        file = await sending.open(source, device=device) if given is None else sending.read_from(given)
        from_device = file.device if like is None else like.device
        kind = (MAY_BE_DEVICE if from_device else MUST_BE_DEVICE) if device else 0
        request = protocol.FileWrite(
            to=host,
            path=path,
            name="" if given is not None else named or os.path.basename(source),
            size=file.size,
            mode=file.mode if like is None else like.mode,
            tell=progress is not None,
            Device=kind,
        )
        if kind and touch is not None:
            touch()
        stream = peer.open(protocol.encode(request))
        try:
            await _send_all(stream, sending, file, shown, progress, sent_all)
        except (BrokenError, EndOfStream) as error:
            state = _target_state(shown, device)
            if complete and not device:
                state = f"{shown} may have been replaced, so compare it before you copy it again"
            raise await _host_error(stream) or LinesyncFailed(
                f"the copy was interrupted: {error.message}; {state}"
            ) from None
        except BaseException:
            stream.reset("the copy was stopped")  # discards the bytes that are not sent yet
            raise
    finally:
        await sending.close()
    stream.end()
    return file.sent


async def _send_all(
    stream: Stream, sending: _Sending, file: Source | Input, shown: str, progress: Progress | None, sent_all: Touch
) -> None:
    """Send a file's bytes, and wait until the host has written the file.

    :param sent_all: called before the host may replace the target.
    """

    def handle(text: str) -> protocol.Message:
        message = _read_message(text, FileGot, FileEnd)
        if isinstance(message, FileGot) and progress is not None:
            progress(message.size, max(file.size, message.size))
        return message

    def read_reports() -> None:
        while (item := stream.receive_nowait()) is not None:
            handle(item.data.decode("utf-8", "replace"))  # raises the host's error, which ends the copy

    digest = await sending.send(stream.desk(file.path), stream, read_reports)
    sent_all()
    stream.send_message(protocol.encode(FileEnd(sha256=digest)))
    written = handle(await stream.receive_message())
    while isinstance(written, FileGot):
        written = handle(await stream.receive_message())
    if progress is not None:
        progress(file.sent, file.sent)
    if not isinstance(written, FileEnd) or written.sha256 != digest:
        raise LinesyncFailed(f"{shown} differs from the source: the host reports another SHA-256; copy it again")


async def _host_error(stream: Stream) -> LinesyncError | None:
    """The error that the host sent before it closed the channel, or None."""
    try:
        return protocol.read_error(await stream.receive_message())
    except LinesyncError:
        return None
