"""Runs the two ends of a copy of trees against each other, without a channel."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from linesync.jobs.trees.answers import Answers
from linesync.jobs.trees.facts import Options
from linesync.jobs.trees.receiver import Receiver
from linesync.jobs.trees.sender import Sender
from linesync.store.contents import Contents

__all__ = ["Pair", "copy", "snapshot"]


class Pair:
    """A sender and a receiver.

    :ivar sent: the bytes from the sender to the receiver.
    :ivar answered: the bytes from the receiver to the sender.
    """

    def __init__(
        self,
        sources: Sequence[Path | str],
        target: Path | str,
        flags: str = "",
        *,
        into: bool = False,
        contents: Contents | None = None,
    ) -> None:
        paths = [os.fsencode(source) for source in sources]
        names = [_name(path) for path in paths]
        self.sender = Sender(paths, "a:", _options(flags))
        self.receiver = Receiver(os.fsencode(target), names, "b:", _options(flags), into=into, contents=contents)
        self.answers = Answers()
        self.sent = self.answered = self.rounds = 0

    def give(self, data: bytes) -> None:
        self.sent += len(data)
        answer = self.receiver.feed(data)
        self.answered += len(answer)
        self.answers.feed(answer)

    def run(self, *, piece: int = 5000, stop: Callable[[Pair], bool] = lambda pair: False) -> Pair:
        """Copy.

        :param piece: the bytes of one piece of data.
        :param stop: called before each piece; the copy is interrupted when it returns True.
        """
        try:
            out = self.sender.first_round()
            while out:
                self.rounds += 1
                for at in range(0, len(out), piece):
                    self.give(out[at : at + piece])
                assert len(self.answers.verdicts) == self.sender.expected
                out = self.sender.next_round(self.answers)
            self.sender.begin_data()
            while data := self.sender.read(self.answers, piece):
                if stop(self):
                    return self
                self.give(data)
            assert self.receiver.done and self.answers.done is not None
        finally:
            self.sender.close()
            self.receiver.close()
        return self

    @property
    def failures(self) -> list[str]:
        assert sorted(self.receiver.failures) == sorted([*self.sender.failures, *self.answers.failures])
        return self.receiver.failures


def _options(flags: str) -> Options:
    return Options(recursive="r" in flags, preserve="p" in flags)


def _name(path: bytes) -> bytes:
    name = path.rstrip(b"/").rpartition(b"/")[2]
    return b"." if name in (b"", b".", b"..") else name


def copy(*args: Path | str, flags: str = "", contents: Contents | None = None) -> Pair:
    """Copy the first paths to the last one."""
    return Pair(args[:-1], args[-1], flags, into=len(args) > 2, contents=contents).run()


def snapshot(folder: Path) -> dict[bytes, tuple[object, ...]]:
    """All entries of a folder: mode, time in nanoseconds, number of names, blocks on the disk, and contents."""
    found: dict[bytes, tuple[object, ...]] = {}
    root = os.fsencode(folder)
    for parent, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            content = b""
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            links = 0 if stat.S_ISDIR(status.st_mode) else status.st_nlink
            found[os.path.relpath(path, root)] = (status.st_mode, status.st_mtime_ns, links, content)
    return found
