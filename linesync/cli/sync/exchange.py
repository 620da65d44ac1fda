"""``linesync exchange``."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, cast

from ...errors import LinesyncFailed, UsageError
from ..common import bytes_as_json, connection, member_option, namespace_option, print_json, timeout_option

if TYPE_CHECKING:
    from typing import IO, Any

    from ...client.exchange.exchanging import Data
    from ...jobs.files.targets import NewFile
    from ..progress import Progress

HELP = "give data, wait until every member in the list has given its data, and get the data of all members"
EXAMPLES = """\
  linesync exchange addr --hosts sut,peer,hub "$(hostname -I)"
      prints {"hub": "...", "peer": "...", "sut": "..."}
  dmesg | linesync exchange logs --hosts sut[1-4] --dir logs
      writes one file for each host to logs/
  linesync exchange keys --hosts sut#a,sut#b --as sut#a --file id.pub
"""
HINT = "write -- before data that begins with -, and quotes around data with blanks"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the exchange's name; the first member creates it")
    parser.add_argument("data", metavar="DATA", nargs="?", help="the data to give; without DATA and --file: stdin")
    parser.add_argument(
        "--hosts",
        metavar="A,B,...",
        required=True,
        help="the members: hosts, or host#tag; all members must give the same list",
    )
    member_option(parser, "exchange", "give")
    parser.add_argument("--file", metavar="F", help="give the contents of this file")
    timeout_option(parser, "exchange")
    parser.add_argument("--dir", metavar="D", help="write the data to this directory, one file for each member")
    namespace_option(parser, "exchange")


def run(args: argparse.Namespace) -> int:
    if args.data is not None and args.file is not None:
        raise UsageError("both DATA and --file are present; use only one of them")
    if args.file == "":
        raise UsageError("the name after --file is empty; name a file")
    folder = _Folder(args.dir, args.hosts) if args.dir is not None else None
    data: Data
    if args.data is not None:
        data = os.fsencode(args.data)
    else:
        data = _source(args.file)
    progress = _progress(quiet=args.json)
    try:
        with connection(args) as client:
            got: dict[str, Any] = client.exchange(
                args.name,
                args.hosts,
                data,
                member=args.member,
                timeout=args.deadline.left,
                namespace=args.namespace,
                sink=folder.file if folder is not None else None,
                progress=progress,
            )
        if folder is not None:
            folder.commit()
    except BaseException:
        if folder is not None:
            folder.discard()
        raise
    finally:
        if progress is not None:
            progress.done()
    if folder is None:
        print_json({member: bytes_as_json(value) for member, value in got.items()})
        return 0
    if args.json:
        print_json({"dir": args.dir, "bytes": got})
    return 0


def _source(path: str | None) -> Data:
    """The path of the file, or stdin if there is no path."""
    if path is not None:
        from pathlib import Path

        return Path(path)
    # Use the raw file: Python cannot exit while a thread waits for bytes in the buffer of stdin.
    return cast("Data", getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))


class _Phases:
    """Shows a line of progress for giving, and a line for getting. A phase of less than a second shows no line."""

    def __init__(self) -> None:
        self._phase = ""
        self._line: Progress | None = None

    def __call__(self, phase: str, done: int, total: int) -> None:
        from ..progress import Progress  # only on a terminal

        if phase != self._phase or self._line is None:
            self.done()
            self._phase, self._line = phase, Progress(delay=1.0)
        self._line(done, total)

    def done(self) -> None:
        """End the line."""
        if self._line is not None:
            self._line.done()


def _progress(*, quiet: bool) -> _Phases | None:
    return _Phases() if sys.stderr.isatty() and not quiet else None


class _MemberFile:
    """A file of :class:`_Folder`. The exchange writes it, and closes it when it is complete."""

    def __init__(self, file: NewFile) -> None:
        self._file = file

    def __enter__(self) -> _MemberFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def write(self, data: bytes | memoryview) -> int:
        self._file.write(bytes(data))
        return len(data)

    def close(self) -> None:
        """Does nothing: the file gets its name later, together with the others."""


class _Folder:
    """A directory for the data of the members. Each of its files is complete, or does not exist.

    :raises UsageError: the path is empty, or a member's name cannot be a file name.
    :raises LinesyncFailed: the directory cannot be created, or a directory has the name of a member's file.
    """

    def __init__(self, path: str, hosts: str) -> None:
        from ...jobs.files.targets import check_file
        from ...model.hosts.members import unfold

        self._path = path
        self._files: dict[str, NewFile] = {}
        """The files that are being written, by path."""
        if not path:
            raise UsageError("the name after --dir is empty; name a directory")
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            raise LinesyncFailed(
                f"cannot create the directory {path}: {error.strerror}; choose another --dir"
            ) from None
        for member in unfold(hosts):
            if member in (".", ".."):
                raise UsageError(f"the member {member} cannot be a file name; omit --dir")
            check_file(os.path.join(path, member))

    def file(self, member: str) -> IO[bytes]:
        """The file for a member's data. It gets its name only in :meth:`commit`."""
        from ...jobs.files.targets import NewFile

        path = os.path.join(self._path, member)
        self._files[path] = file = NewFile(path, 0o666, path)
        return cast("IO[bytes]", _MemberFile(file))

    def commit(self) -> None:
        """Give all files their names.

        :raises LinesyncFailed: a file cannot be written or renamed.
        """
        path = self._path
        try:
            for path, file in list(self._files.items()):
                file.commit(file.sha256)
                del self._files[path]
        except OSError as error:
            raise LinesyncFailed(
                f"cannot write {path}: {error.strerror}; the other members may have got the data, so check this path and"
                " the other members before you repeat the exchange"
            ) from None
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the temporary files."""
        for file in self._files.values():
            file.discard()
        self._files.clear()
