"""Waits for the end of a process, and deletions that wait until the hosts have ended the deleted processes."""

from __future__ import annotations

from typing import Protocol

from ...errors import MemberLost, TimedOut
from ..decisions import Objects, Outcome
from ..kept.waits import AtDeletion, AtProcess
from ..participants import Cause, names_in_words, seconds_in_words
from ..sync.place import Place, Wait
from ..sync.waits import Waits
from .objects import Process

__all__ = ["DeletionPlace", "ProcessPlace"]


class Home(Protocol):
    """The part of the processes that these waits use."""

    waits: Waits

    def left(self, place: ProcessPlace | DeletionPlace) -> None: ...
    def serve(self, place: ProcessPlace, wait: Wait, now: float) -> Outcome: ...


class ProcessPlace(Place):
    """The waits for the end of one process."""

    def __init__(self, home: Home, process: Process) -> None:
        super().__init__("process", "default", process.handle)
        self.title = str(process)
        self.process = process
        self._home = home
        self._waits: dict[Wait, None] = {}

    def all(self) -> list[Wait]:
        """The waits, in order of arrival."""
        return list(self._waits)

    def enter(self, wait: Wait) -> None:
        """Add a wait."""
        self._waits[wait] = None

    def unfinished(self, headline: str) -> TimedOut:
        """The error for a process that has not ended."""
        host = self.process.claim.host.name
        return TimedOut(
            f"{headline} {self.title}: it is {self.process.state} on host {host}",
            details={"state": self.process.state, "host": host},
        )

    def timed_out(self, wait: Wait) -> TimedOut:
        return self.unfinished(f"timed out after {seconds_in_words(wait.timeout or 0)} at")

    def leave(self, wait: Wait, cause: Cause) -> None:
        del self._waits[wait]
        if not self._waits:
            self._home.left(self)

    def settle(self, now: float) -> list[Outcome]:
        if self.process.ended is None:
            return []
        waits = list(self._waits)
        for wait in waits:
            self.leave(wait, Cause.GAVE_UP)
        return [self._home.serve(self, wait, now) for wait in waits]

    def kept(self, wait: Wait) -> AtProcess:
        return AtProcess(self.process.number)

    def restore_wait(self, wait: Wait, at: AtProcess) -> None:
        self.enter(wait)


class DeletionPlace(Place):
    """A deletion that waits until its processes have ended."""

    wait: Wait

    def __init__(self, home: Home, ending: set[int]) -> None:
        super().__init__("deletion", "default", "")
        handles = [f"process{number}" for number in sorted(ending)]
        self.title = f"the deletion that ends {names_in_words(handles, len(handles))}"
        self._home = home
        self._ending = set(ending)

    def ended(self, number: int, host: str, lost: str, now: float) -> list[Outcome]:
        """Record that a deleted process has ended, or that its host is lost."""
        if number not in self._ending:
            return []
        self._ending.discard(number)
        self._home.waits.journal.mark("wait", self.wait.number)
        if lost:
            error = MemberLost(
                f"process{number} was deleted, but it may still run on host {host}, which is lost ({lost}); the hub ends it"
                " when the host comes back",
                details={"host": host},
            )
            return self._home.waits.fail([(self.wait, error)], Cause.LINE_LOST, now)
        if self._ending:
            return []
        self._home.left(self)
        return [self._home.waits.grant(self.wait, Objects(), now)]

    def timed_out(self, wait: Wait) -> TimedOut:
        raise AssertionError("a deletion has no timeout")

    def leave(self, wait: Wait, cause: Cause) -> None:
        self._home.left(self)

    def settle(self, now: float) -> list[Outcome]:
        return []

    def kept(self, wait: Wait) -> AtDeletion:
        return AtDeletion(tuple(sorted(self._ending)))

    def restore_wait(self, wait: Wait, at: AtDeletion) -> None:
        self.wait = wait
