"""A copy of trees over a channel, with the sender at one end and the receiver at the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

from ... import limits, protocol
from ...errors import BrokenError, LinesyncFailed
from ...frozen_record import Record
from ...protocol import FilesRead, FilesWrite, tree_records
from ...protocol.tree_records import RecordReader, record
from ...runtime.channels.streams import MESSAGE, Item, Stream
from ...runtime.desk import Desk
from ...runtime.identity import state_folder
from ...store.contents import Contents
from ...wire.channels.credit import RECORD_COST
from ..files.acting import as_user, home_of
from ..files.paths import access_error
from .answers import Answers
from .facts import Options
from .receiver import Receiver
from .sender import Sender

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..files.single import Progress

__all__ = ["Copied", "Rate", "receive_files", "relay_files", "send_files", "serve_files"]

_PIECE = limits.CREDIT_PIPE // 4 - RECORD_COST
"""The bytes of one read and one send, as in ``files.py``."""
_LEAST_PIECE = 1024
_HELD = 1 << 20  # the number of bytes waiting for the disk at which the receiver waits
_PROGRESS_INTERVAL = 1.0  # seconds between two reports of the receiver


class Copied(Record):
    """The result of a copy."""

    files: int
    """The files that were sent. Files that were already the same do not count."""
    bytes: int
    """Their bytes that were sent."""
    failures: tuple[str, ...] = ()
    """A sentence for each file or folder that was not copied."""

    def __add__(self, other: Copied) -> Copied:
        return Copied(self.files + other.files, self.bytes + other.bytes, self.failures + other.failures)


class Rate:
    """Limits the bytes of files in a second.

    :param limit: the limit; 0 for none.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._due = 0.0

    @property
    def piece(self) -> int:
        """The number of bytes that are sent together."""
        return min(max(self._limit // 8, _LEAST_PIECE), _PIECE) if self._limit else _PIECE

    async def wait(self, stream: Stream, size: int) -> None:
        """Wait until more bytes may be sent.

        :param size: the number of bytes that were sent since the last call.
        """
        if self._limit:
            now = stream.now()
            self._due = max(self._due, now) + size / self._limit
            await stream.pause(self._due - now)


def _take(item: Item, feed: Callable[[bytes], object]) -> None:
    """Take an item of the channel. An error message is raised as an exception."""
    if item.stream != MESSAGE:
        feed(item.data)
        return
    error = protocol.read_error(item.data.decode("utf-8", "replace"))
    raise error or LinesyncFailed("the other end of the copy sent an unexpected message; update linesync there")


# -- the two ends -----------------------------------------------------------------------------------------------------


async def send_files(
    stream: Stream, desk: Desk, sender: Sender, rate: Rate, progress: Progress | None = None
) -> Copied:
    """Send files.

    :param desk: runs the calls of the sender.
    :param progress: called with the bytes that have arrived, and all bytes.
    :raises LinesyncError: the copy cannot continue.
    """
    answers = Answers()

    def poll() -> None:
        while answers.done is None and (item := stream.receive_nowait()) is not None:
            _take(item, answers.feed)
        if progress is not None and sender.files:
            progress(answers.got if answers.done is None else sender.total, sender.total)

    try:
        out = await desk.do(sender.first_round)
        while out:
            await _send(stream, out)
            while len(answers.verdicts) < sender.expected:
                _take(await stream.receive(), answers.feed)
            if len(answers.verdicts) > sender.expected:
                raise LinesyncFailed("the other end of the copy sent too many verdicts; update linesync there")
            out = await desk.do(partial(sender.next_round, answers))
        await desk.do(sender.begin_data)
        read = partial(sender.read, answers, rate.piece)
        desk.start(read)
        while data := await desk.finish(poll):
            desk.start(read)
            await stream.send(0, data, poll)
            poll()
            await rate.wait(stream, len(data))
        while answers.done is None:
            _take(await stream.receive(), answers.feed)
            poll()
    finally:
        sender.stop()
        await desk.close(sender.close)
    return Copied(*answers.done, (*sender.failures, *answers.failures))


async def _send(stream: Stream, data: bytes) -> None:
    for at in range(0, len(data), _PIECE):
        await stream.send(0, data[at : at + _PIECE])


async def receive_files(
    stream: Stream, desk: Desk, receiver: Receiver, *, tell: bool, progress: Progress | None = None
) -> Copied:
    """Receive files.

    :param desk: runs the calls of the receiver.
    :param tell: whether the sender gets the number of received bytes about once a second.
    :raises LinesyncError: the copy cannot continue.
    """
    waiting: list[bytes] = []
    held = 0

    def take(data: bytes) -> None:
        nonlocal held
        waiting.append(data)
        held += len(data)

    told = stream.now()
    try:
        while True:
            if not desk.busy:
                answer = await desk.finish()
                if answer:
                    await _send(stream, answer)
                if receiver.done and not waiting:
                    break
                if waiting:
                    data = b"".join(waiting)
                    waiting.clear()
                    held = 0
                    desk.start(partial(receiver.feed, data))
            if progress is not None and receiver.total:
                progress(receiver.received, receiver.total)
            if tell and receiver.received and stream.now() - told >= _PROGRESS_INTERVAL:
                told = stream.now()
                stream.send_nowait(0, record(tree_records.GOT, receiver.received))
            item = None if held >= _HELD else stream.receive_nowait()
            if item is not None:
                _take(item, take)
            elif desk.busy or not waiting:
                await _wait(stream, desk)
    finally:
        receiver.stop()
        await desk.close(receiver.close)
    return Copied(receiver.files, receiver.received, tuple(receiver.failures))


async def _wait(stream: Stream, desk: Desk) -> None:
    """Wait until something has arrived, or the call of the desk has ended."""
    if stream.broken is not None:
        raise BrokenError(stream.broken)
    await stream.changed()


async def relay_files(source: Stream, target: Stream, rate: Rate, progress: Progress | None = None) -> Copied:
    """Pass the records between two hosts. The data is not stored here.

    :param source: the channel to the sender.
    :param target: the channel to the receiver.
    """
    relay = _Relay(source, target, progress)
    await relay.rounds()
    await relay.data(rate)
    answers = relay.answers
    assert answers.done is not None
    return Copied(*answers.done, (*relay.failures, *answers.failures))


class _Relay:
    def __init__(self, source: Stream, target: Stream, progress: Progress | None) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._reader = RecordReader("EHUV;TFDZX!Q")
        self.answers = Answers()
        self.failures: list[str] = []  # bound: limits.COPY_ENTRIES
        self._expected = 0
        self._total = 0
        self._round_ended = False
        self._has_ended = False

    def _watch(self, data: bytes) -> None:
        """Evaluate the records of the sender: count its entries, and detect the end of the round and of the copy."""
        for letter, fields in self._reader.feed(data):
            if letter in (tree_records.ENTRY, tree_records.DIGEST):
                self._expected += 1
            elif letter == tree_records.ROUND:
                self._round_ended = True
            elif letter == tree_records.TOTAL:
                assert isinstance(fields[0], int)
                self._total = fields[0]
                self._round_ended = True
            elif letter == tree_records.FAILED:
                assert isinstance(fields[1], bytes)
                if fields[1] and len(self.failures) < limits.COPY_ENTRIES:
                    self.failures.append(fields[1].decode("utf-8", "surrogateescape"))
            elif letter == tree_records.DONE:
                self._has_ended = True

    async def _pass(self, poll: Callable[[], None] | None = None) -> int:
        item = await self._source.receive()
        _take(item, self._watch)
        await self._target.send(0, item.data, poll)
        return len(item.data)

    async def rounds(self) -> None:
        """Pass the rounds until the data begins."""
        while True:
            self._round_ended = False
            while not self._round_ended:
                await self._pass()
            if self._total or self._has_ended or not self._expected:
                return
            while len(self.answers.verdicts) < self._expected:
                self._pass_back(await self._target.receive())
            self._expected, self.answers.verdicts = 0, ""

    def _pass_back(self, item: Item) -> None:
        _take(item, self.answers.feed)
        self._source.send_nowait(0, item.data)

    def _poll(self) -> None:
        while self.answers.done is None and (item := self._target.receive_nowait()) is not None:
            self._pass_back(item)
        if self._progress is not None and self._total:
            self._progress(self.answers.got if self.answers.done is None else self._total, self._total)

    async def data(self, rate: Rate) -> None:
        """Pass the data until the receiver is done."""
        while not self._has_ended:
            size = await self._pass(self._poll)
            self._poll()
            await rate.wait(self._source, size)
        while self.answers.done is None:
            self._pass_back(await self._target.receive())
            self._poll()


# -- the host's side --------------------------------------------------------------------------------------------------


async def serve_files(stream: Stream, request: FilesRead | FilesWrite) -> None:
    """Send files to the client, or receive files from it."""
    options = Options(recursive=request.Recursive, preserve=request.Preserve)
    where, user = f"{request.to}:", request.User
    if isinstance(request, FilesRead):
        desk = stream.desk(request.paths[0] if request.paths else "")
        desk.around = as_user(user)
        home = await desk.do(partial(home_of, user))
        paths = [_expanded(path, home) for path in request.paths]
        await send_files(stream, desk, Sender(paths, where, options), Rate(request.Rate))
    else:
        desk = stream.desk(request.path)
        desk.around = as_user(user)
        home = await desk.do(partial(home_of, user))
        make = partial(open_receiver, _expanded(request.path, home), request.names, where, options, into=request.Into)
        await receive_files(stream, desk, await desk.do(make), tell=request.tell)
    stream.end()


def open_receiver(path: bytes, names: Sequence[str], where: str, options: Options, *, into: bool) -> Receiver:
    """The receiver of a copy on this machine. It may block.

    :raises LinesyncError: the sources cannot be copied to this target.
    """
    contents = Contents(os.path.join(state_folder(), "contents"))
    try:
        return Receiver(path, [os.fsencode(name) for name in names], where, options, into=into, contents=contents)
    except OSError as error:
        raise access_error("write", where + os.fsdecode(path), error) from None


def _expanded(path: str, home: str) -> bytes:
    """A path with the home directory instead of a ``~`` at its start."""
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    return os.fsencode(path)
