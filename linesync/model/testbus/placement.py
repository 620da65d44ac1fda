"""The files that hosts have. The hub sends a file to a host when a process there needs the file, and only once.

A file is removed from a host when no object of the bus and no unfinished process needs its data any more. The hub also forgets
the files of a host that is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from ..journal import Journal
from ..kept.rows import Rows
from ..kept.testbus import KeptPlaced
from .actions import Action, Drop, Fetch
from .objects import Process

__all__ = ["Placement"]


class Placement:
    """The files of all hosts, by digest.

    :param act: takes the actions for the hosts.
    :ivar unneeded: called with the digest of a file when no process needs it any more.
    """

    unneeded: Callable[[str], None]

    def __init__(self, journal: Journal, act: Callable[[Action], None]) -> None:
        self._journal = journal
        self._act = act
        self._placed: dict[str, dict[str, bool]] = {}
        """For each host, the files that it has or gets; and whether it has all of them."""
        self._needed: Counter[str] = Counter()
        """The number of processes that have not ended and need a file."""
        self._needs: dict[Process, tuple[str, ...]] = {}
        journal.source("test placed", self._kept, self._keys)

    def need(self, process: Process) -> None:
        """Record the files that a new process needs until it ends."""
        if process.start is not None:
            self._needs[process] = tuple({file.digest: None for file in process.start.files.values()})
            self._needed.update(self._needs[process])

    def needs(self, process: Process) -> tuple[str, ...]:
        """The digests of the files that a process needs until it ends."""
        return self._needs.get(process, ())

    def done(self, process: Process) -> None:
        """Forget the needs of a process that has ended or was deleted."""
        for digest in self._needs.pop(process, ()):
            self._needed[digest] -= 1
            if not self._needed[digest]:
                del self._needed[digest]
                self.unneeded(digest)

    def needed(self, digest: str) -> bool:
        """Whether a process that has not ended needs a file."""
        return digest in self._needed

    def ready(self, host: str, process: Process) -> bool:
        """Whether a host has all files of a process. Missing files are sent."""
        placed = self._placed.setdefault(host, {})
        ready = True
        for digest in self.needs(process):
            if digest not in placed:
                placed[digest] = False
                self._journal.mark("test placed", (host, digest), new=True)
                self._act(Fetch(host, digest))
            ready = ready and placed[digest]
        return ready

    def arrived(self, host: str, digest: str) -> bool:
        """Record that a host has all of a file. Return whether the host did not have it before."""
        placed = self._placed.get(host, {})
        if placed.get(digest) is not False:
            return False
        placed[digest] = True
        self._journal.mark("test placed", (host, digest))
        return True

    def failed(self, host: str, digest: str) -> None:
        """Record that a file could not be sent."""
        if self._placed.get(host, {}).get(digest) is False:
            self._remove(host, digest)

    def forget(self, digest: str) -> None:
        """Remove a file from all hosts, because no object needs it any more."""
        for host in [host for host, placed in self._placed.items() if digest in placed]:
            self._remove(host, digest)
            self._act(Drop(host, digest))

    def lost(self, host: str) -> None:
        """Forget the files of a lost host. The host reports them when it comes back."""
        for digest in list(self._placed.pop(host, {})):
            self._journal.mark("test placed", (host, digest))

    def reported(self, host: str, digests: Iterable[str], wanted: Callable[[str], bool]) -> None:
        """Handle the report of a host that came up about its files. Drop the files that nothing needs.

        :param wanted: whether an object of the bus has a file.
        """
        placed = self._placed.setdefault(host, {})
        for digest in dict.fromkeys(digests):
            if wanted(digest) or self.needed(digest):
                self._journal.mark("test placed", (host, digest), new=digest not in placed)
                placed[digest] = True
            else:
                self._act(Drop(host, digest))

    def _remove(self, host: str, digest: str) -> None:
        del self._placed[host][digest]
        self._journal.mark("test placed", (host, digest))

    # -- storing -------------------------------------------------------------------------------------------------------

    def _keys(self) -> list[tuple[str, str]]:
        return [(host, digest) for host, placed in self._placed.items() for digest in placed]

    def _kept(self, key: tuple[str, str]) -> KeptPlaced | None:
        arrived = self._placed.get(key[0], {}).get(key[1])
        return KeptPlaced(arrived) if arrived is not None else None

    def restore(self, rows: Rows) -> None:
        """Restore the files of the hosts.

        :raises BadRow: a row is not valid.
        """

        def restore_row(key: list[str], kept: KeptPlaced) -> None:
            host, digest = key
            self._placed.setdefault(host, {})[digest] = kept.arrived

        rows.each("test placed", KeptPlaced, restore_row)
