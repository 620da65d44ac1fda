"""The operation of clients that copies several files and folders."""

from __future__ import annotations

import os
from collections.abc import Sequence

from .. import __version__, limits, protocol
from ..errors import BrokenError, EndOfStream, LinesyncError, LinesyncFailed, UsageError
from ..protocol.operations import given_up
from .arguments import checked, place
from .deadlines import limit
from .files import FileOperations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..jobs.files import Progress
    from ..jobs.trees.channel import Copied, Rate
    from ..runtime.streams import Stream

__all__ = ["NotKnown", "TreeOperations"]

_OPENING_MAX = (
    limits.OPEN_MAX // 4
)  # the maximum length of all paths of one copy; each byte may need three when it is escaped


class NotKnown(LinesyncFailed):
    """A host has an older version of linesync, which does not know copies of several files."""


class TreeOperations(FileOperations):
    """The operation that copies several files and folders."""

    @checked(target=place)
    async def copy(
        self,
        sources: Sequence[str | os.PathLike[str] | tuple[str, str | os.PathLike[str]]],
        target: str | os.PathLike[str] | tuple[str, str | os.PathLike[str]],
        progress: Progress | None = None,
        *,
        recursive: bool = False,
        preserve: bool = False,
        user: str = "",
        rate: int = 0,
        timeout: float | None = None,
    ) -> Copied:
        """Copy files and folders to a host, from a host, or from host to host, as cp(1) does.

        Each file appears at its path with all of its new contents, checked by SHA-256, or does not change. Files that are the
        same already are not sent. If a copy is interrupted, the same call continues it. A file that cannot be copied does not
        stop the others.

        :param sources: local paths, or tuples (host, path).
        :param target: a local path, or a tuple (host, path). If it is a folder, the copies get the names of the sources.
        :param progress: called with (bytes so far, total bytes).
        :param recursive: copy folders with everything in them, and symbolic links as links.
        :param preserve: keep modes and times, and, if the receiver is root, owners.
        :param user: read and write on the hosts as this user.
        :param rate: the maximum number of bytes of files in a second; 0 for no limit.
        :param timeout: seconds for the whole copy.
        :returns: the number of files and of bytes that were sent, and a sentence for each file that was not copied.
        :raises TimedOut: the copy was not complete in time, and nothing was changed.
        :raises LinesyncFailed: the copy could not begin, or was interrupted. Files that were complete then are at their paths.
        """
        touched = False

        def late(after: float) -> LinesyncError:
            shown = ":".join(where) if where[0] else where[1]
            event = f"the copy to {shown} was given up"
            if not touched:
                return given_up(event, "", deadline=timeout)
            return given_up(f"{event} after {after:.3g} s", "some files may have been written", check="compare them")

        places: Sequence[tuple[str, str]] = sources  # type: ignore[assignment] # the rule has made tuples
        where: tuple[str, str] = target  # type: ignore[assignment]
        groups = _grouped(places, where)
        copied = None
        async with limit(self.peer, timeout, late, 0.0):
            for host, paths in groups:
                touched = True
                copying = _Copying(self, host, paths, where, recursive, preserve, user, rate)
                copying.into = len(sources) > 1
                found = await copying.run(progress)
                copied = found if copied is None else copied + found
        assert copied is not None
        return copied


def _grouped(places: Sequence[tuple[str, str]], target: tuple[str, str]) -> list[tuple[str, list[str]]]:
    """The sources by host, in their order.

    :raises UsageError: the copy is impossible.
    """
    groups: list[tuple[str, list[str]]] = []
    for host, path in places:
        if not host and not target[0]:
            raise UsageError(
                f"both {path} and {target[1]} are local paths; write HOST:PATH for at least one, or use cp"
            )
        if not groups or groups[-1][0] != host:
            groups.append((host, []))
        groups[-1][1].append(path)
    if sum(len(os.fsencode(path)) + 1 for _, path in places) > _OPENING_MAX:
        raise UsageError(f"the paths of the {len(places)} sources are too long together; copy their folder with -r")
    return groups


class _Copying:
    """The copy from one host, or from this machine."""

    def __init__(
        self,
        client: TreeOperations,
        host: str,
        paths: list[str],
        target: tuple[str, str],
        recursive: bool,
        preserve: bool,
        user: str,
        rate: int,
    ) -> None:
        from ..jobs.trees.facts import Options  # imported late, because only copies need it
        from ..model.trees.names import name_of_source

        self._peer = client.peer
        self._host = host
        self._paths = paths
        self._names = [name_of_source(os.fsencode(path)) for path in paths]
        self._target = target
        self._options = Options(recursive=recursive, preserve=preserve)
        self._user = user
        self._rate = rate
        self.into = False
        self._streams: list[Stream] = []

    async def run(self, progress: Progress | None) -> Copied:
        from ..jobs.trees.channel import Rate

        rate = Rate(self._rate)
        try:
            if not self._target[0]:
                copied = await self._get(progress)
            elif not self._host:
                copied = await self._put(rate, progress)
            else:
                copied = await self._pass(rate, progress)
        except (BrokenError, EndOfStream) as error:
            raise self._explained(await self._interrupted(error)) from None
        except BaseException as error:
            for stream in self._streams:
                stream.reset("the copy was stopped")
            if isinstance(error, LinesyncFailed):
                raise self._explained(error) from None
            raise
        for stream in self._streams:
            stream.end()
        return copied

    def _explained(self, error: LinesyncError) -> LinesyncError:
        """The error, or another one if a host or the hub does not know this operation."""
        for verb in (protocol.FilesRead.VERB, protocol.FilesWrite.VERB):
            if error.message.startswith(f"the operation {verb!r} is not known here"):
                hosts = " and ".join(filter(None, (self._host, self._target[0])))
                return NotKnown(
                    f"the copy needs the operation {verb!r} of linesync {__version__}, but {hosts} or the hub has an older"
                    f" version: {error.message}"
                )
        return error

    async def _get(self, progress: Progress | None) -> Copied:
        from ..jobs.trees.channel import open_receiver, receive_files

        path = self._target[1]
        desk = self._peer.desk(path)
        names = [os.fsdecode(name) for name in self._names]
        make = lambda: open_receiver(os.fsencode(path), names, "", self._options, into=self.into)  # noqa: E731
        receiver = await desk.do(make)
        stream = self._read_from(self._rate)
        return await receive_files(stream, stream.desk(path), receiver, tell=False, progress=progress)

    async def _put(self, rate: Rate, progress: Progress | None) -> Copied:
        from ..jobs.trees.channel import send_files
        from ..jobs.trees.sender import Sender

        sender = Sender([os.fsencode(path) for path in self._paths], "", self._options)
        stream = self._write_to(tell=progress is not None)
        return await send_files(stream, stream.desk(self._paths[0]), sender, rate, progress)

    async def _pass(self, rate: Rate, progress: Progress | None) -> Copied:
        from ..jobs.trees.channel import relay_files

        source = self._read_from(0)
        return await relay_files(source, self._write_to(tell=progress is not None), rate, progress)

    def _read_from(self, rate: int) -> Stream:
        return self._open(
            protocol.FilesRead(
                to=self._host,
                paths=tuple(self._paths),
                Recursive=self._options.recursive,
                Preserve=self._options.preserve,
                User=self._user,
                Rate=rate,
            )
        )

    def _write_to(self, *, tell: bool) -> Stream:
        return self._open(
            protocol.FilesWrite(
                to=self._target[0],
                path=self._target[1],
                names=tuple([os.fsdecode(name) for name in self._names]),
                Recursive=self._options.recursive,
                Preserve=self._options.preserve,
                User=self._user,
                Into=self.into,
                tell=tell,
            )
        )

    def _open(self, request: protocol.Message) -> Stream:
        stream = self._peer.open(protocol.encode(request))
        self._streams.append(stream)
        return stream

    async def _interrupted(self, error: LinesyncError) -> LinesyncError:
        """The error of a copy whose channel ended: the error that a host has sent, or the loss of the channel."""
        for stream in self._streams:
            try:
                reported = protocol.read_error(await stream.receive_message())
            except LinesyncError:
                continue
            if reported is not None:
                return reported
        for stream in self._streams:
            stream.reset("the copy was stopped")
        return LinesyncFailed(
            f"the copy was interrupted: {error.message}; complete files were written, so run it again to continue"
        )
