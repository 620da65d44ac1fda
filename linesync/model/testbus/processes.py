"""Processes: commands that run on claimed hosts.

1. A process is created when it is scheduled. Its variables and files are those that it sees at that time. An argument with
   an unknown name therefore fails it immediately, and no file is sent.
2. Each host has a queue. A process waits until the processes before it have ended, unless it is *parallel*. Then the host
   gets the files that the process needs and that it does not have (*fetching*), and then the process itself.
3. The host reports the end of a process. The table :data:`NEXT` contains all changes of states. Other reports have no effect.
4. The loss of a host fails all of its processes. If the same system comes back, its agent reports the processes that still run:
   their state becomes running again, and their later ends are accepted. A process that had not been sent to the host stays
   lost.
5. A deleted process that may run is *ending* until its host reports its end. Until then, no other test gets the host, unless
   both share it. A host that was lost while processes ran is *unsure* until it has reported, or until it has rebooted.
6. A process in the foreground ends with its client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ...errors import LinesyncError, LinesyncFailed, MemberLost, UsageError
from ..decisions import ArrivalId, Ended, Objects, Outcome
from ..hosts.membership import Membership
from ..kept.rows import BadRow, Rows
from ..kept.testbus import KeptEnding, KeptFile, KeptStart
from ..kept.waits import AtDeletion, AtProcess
from ..participants import Cause, Client, check_timeout
from ..state.testbus import RunOptions
from ..sync.waits import Wait, Waits
from .actions import Action, Kill, Start
from .checks import size_of_all
from .objects import Claim, Command, Host, Node, Process, above
from .placement import Placement
from .process_waits import DeletionPlace, ProcessPlace
from .scope import Scope, files_of, process_chain
from .substitution import substitute, tags_in
from .tree import Tree

__all__ = ["NEXT", "Processes"]

ENVIRONMENT_MAX = 1 << 20  # the maximum size of all variables that a process sees, in bytes
WHY_CHARS = 1000  # the maximum length of a reason from a host that is kept
WAITING, FETCHING, RUNNING, LOST, REFUSED = "waiting", "fetching", "running", "host lost", "could not start"
NEXT: dict[tuple[str, str], str] = {
    (WAITING, "fetch"): FETCHING,
    (WAITING, "start"): RUNNING,
    (WAITING, "refuse"): REFUSED,
    (WAITING, "lose"): LOST,
    (FETCHING, "start"): RUNNING,
    (FETCHING, "refuse"): REFUSED,
    (FETCHING, "lose"): LOST,
    (RUNNING, "refuse"): REFUSED,
    (RUNNING, "exit"): "exited",
    (RUNNING, "crash"): "crashed",
    (RUNNING, "late"): "timed out",
    (RUNNING, "lose"): LOST,
    (LOST, "resume"): RUNNING,
}
"""The state after each input in each state. An input that is missing here changes nothing."""
LIVE = (WAITING, FETCHING, RUNNING)


class Processes:
    """All processes of a test bus, and the queues of the hosts.

    :param act: takes the actions for the hosts.
    :ivar settle: serves the requests for hosts, after a host became free.
    """

    settle: Callable[[float], list[Outcome]]

    def __init__(
        self, tree: Tree, waits: Waits, hosts: Membership, scope: Scope, act: Callable[[Action], None]
    ) -> None:
        self._tree = tree
        self.waits = waits
        self._hosts = hosts
        self._scope = scope
        self._act = act
        self.placement = Placement(waits.journal, act)
        self._live: dict[Host, dict[Process, None]] = {}
        """The processes of each host that have not ended, in the order of their creation."""
        self._foreground: dict[Client, dict[Process, None]] = {}
        self._places: dict[int, ProcessPlace] = {}
        self._deletions: dict[DeletionPlace, None] = {}
        self._ending: dict[int, Host] = {}
        self._asked: dict[str, set[int]] = {}
        """For each host that the hub has asked, the processes that it may name in its report."""
        waits.journal.source("test start", self._kept_start, self._start_keys)
        waits.journal.source("test ending", self._kept_ending, lambda: self._ending)

    # -- requests ------------------------------------------------------------------------------------------------------

    def run(
        self,
        arrival: ArrivalId,
        command: Command,
        claim: Claim,
        options: RunOptions,
        variables: Mapping[str, str],
        client: Client,
        now: float,
    ) -> list[Outcome]:
        """Create a process.

        :raises UsageError: the command cannot run on this claim, or an option is not valid.
        :raises LinesyncError: the host is lost, or a limit is reached.
        """
        check_timeout(options.timeout)
        found = set(above(command))
        if not found & {claim.test, claim, claim.host}:
            raise UsageError(f"{command} cannot run on {claim}: the claim belongs to another test, {claim.test}")
        cause = self._hosts.absent(claim.host.name)
        if cause is not None:
            kind = LinesyncFailed if cause is Cause.NEVER_SEEN else MemberLost
            raise kind(f"{command} cannot run on host {claim.host.name}: the host has no agent ({cause})")
        self._tree.check_room(command)
        process = Process(
            number=self._tree.next_number(),
            name=command.name,
            parent=command,
            claim=claim,
            state=WAITING,
            parallel=options.parallel,
            client=None if options.background else client,
            created=now,
        )
        self._tree.add(process)
        try:
            self._tree.set(process, dict(variables))
            process.start = self._prepared(process, options)
        except LinesyncError as error:
            process.why = error.message
        self._mark(process)
        self.waits.journal.mark("test start", process.number, new=True)
        outcomes = [self.waits.answer(arrival, client, Objects(handles=(process.handle,)), now)]
        self._add(process)
        if process.start is None:
            return outcomes + self._input(process, "refuse", now)
        self.placement.need(process)
        return outcomes + self.schedule(claim.host, now)

    def _prepared(self, process: Process, options: RunOptions) -> KeptStart:
        """The data that the host needs to start a process; raises LinesyncError if the process cannot start."""
        assert isinstance(process.parent, Command)
        variables = {**self._scope.variables(process_chain(process.parent, process.claim)), **process.variables}
        if size_of_all(variables) > ENVIRONMENT_MAX:
            raise UsageError(f"the command cannot start: its variables have more than {ENVIRONMENT_MAX} bytes")
        files = files_of(process_chain(process.parent, process.claim))
        substitute(process.arguments, variables, dict.fromkeys(files, ""))
        tags = [*tags_in(process.arguments), *options.files, *filter(None, (options.stdin, options.script))]
        missing = [tag for tag in tags if tag not in files]
        if missing:
            raise UsageError(f"the command cannot start: there is no file with the tag '{missing[0]}'")
        kept = {tag: KeptFile(files[tag].digest, files[tag].length, files[tag].mode) for tag in dict.fromkeys(tags)}
        return KeptStart(
            variables, kept, options.user, options.terminal, options.timeout, options.stdin, options.script
        )

    def wait(
        self, arrival: ArrivalId, process: Callable[[], Process], client: Client, now: float, timeout: float | None
    ) -> list[Outcome]:
        """Wait for the end of a process, any number of times, also after its end.

        :returns: :class:`Ended`; an empty list while it waits; or its failure.
        """

        def join() -> list[Outcome]:
            check_timeout(timeout)
            found = process()
            if found.state not in LIVE:
                return [self.waits.answer(arrival, client, _end_of(found), now)]
            place = self._places.get(found.number) or ProcessPlace(self, found)
            if timeout == 0:
                raise place.unfinished("poll failed at")
            place.enter(self.waits.open(arrival, client, place, client.host, now, timeout))
            self._places[found.number] = place
            return []

        return self.waits.admit(arrival, client, now, join)

    # -- reports of hosts ----------------------------------------------------------------------------------------------

    def file_arrived(self, host: str, digest: str, now: float) -> list[Outcome]:
        """Record that a host has all of a file."""
        machine = self._tree.hosts.get(host)
        if machine is None or not self.placement.arrived(host, digest):
            return []
        return self.schedule(machine, now)

    def file_failed(self, host: str, digest: str, why: str, now: float) -> list[Outcome]:
        """Fail the processes that cannot start, because a file cannot be sent to a host."""
        self.placement.failed(host, digest)
        machine = self._tree.hosts.get(host)
        outcomes: list[Outcome] = []
        for process in list(self._live.get(machine, ())) if machine is not None else ():
            if process.state == FETCHING and digest in self.placement.needs(process):
                process.why = f"a file could not be sent to host {host}: {why[:WHY_CHARS]}"
                outcomes += self._input(process, "refuse", now)
        return outcomes

    def ended(self, host: str, report: Ended, now: float) -> list[Outcome]:
        """Handle the report of a host about the end of a process: ``exited``, ``crashed``, ``timed out`` or ``could not
        start``."""
        process = self._find(report.process)
        if process is None:
            return self._gone(host, report.process, now)
        if process.claim.host.name != host or (process.state == LOST and process.started is None):
            return []
        outcomes = self._input(process, "resume", now) if process.state == LOST else []
        event = {"exited": "exit", "crashed": "crash", "timed out": "late", REFUSED: "refuse"}.get(report.state, "")
        if (process.state, event) not in NEXT:
            return outcomes
        process.status, process.signal, process.core = report.status, report.signal, report.core
        process.output, process.why = report.output, report.why[:WHY_CHARS]
        return outcomes + self._input(process, event, now)

    def ask(self, host: str) -> None:
        """Record that the hub now asks a host for its processes and files. The report does not name processes that are sent
        later."""
        machine = self._tree.hosts.get(host)
        if machine is not None:
            live = {process.number for process in self._live.get(machine, ()) if process.state == RUNNING}
            self._asked[host] = live | machine.ending.keys()

    def reported(self, host: str, running: Iterable[str], digests: Iterable[str], now: float) -> list[Outcome]:
        """Handle the report of a host about its processes and files, after :meth:`ask`.

        :param running: the handles of the processes that run.
        :param digests: the files.
        """
        machine = self._tree.hosts.get(host)
        if machine is None:
            return []
        outcomes: list[Outcome] = []
        handles = dict.fromkeys(running)
        asked = self._asked.pop(host, set())
        for handle in handles:
            process = self._find(handle)
            if process is not None and process.claim.host is machine and process.started is not None:
                outcomes += self._input(process, "resume", now)
            elif process is None:
                number = _number(handle)
                if number:
                    self._end(number, machine, share=False)
                self._act(Kill(host, handle))
        for process in list(self._live.get(machine, ())):
            if process.state == RUNNING and process.number in asked and process.handle not in handles:
                process.why = f"host {host} came back without it"
                outcomes += self._input(process, "lose", now)
        for number in [number for number in machine.ending if number in asked]:
            if f"process{number}" not in handles:
                outcomes += self._gone(host, f"process{number}", now)
        self.placement.reported(host, digests, self._tree.has_digest)
        self._sure(machine)
        return [*outcomes, *self.settle(now), *self.schedule(machine, now)]

    def _sure(self, host: Host) -> None:
        if host.unsure:
            host.unsure = False
            self.waits.journal.mark("test object", host.number)

    def serve(self, place: ProcessPlace, wait: Wait, now: float) -> Outcome:
        """Answer a wait for a process that has ended."""
        return self.waits.grant(wait, _end_of(place.process), now)

    # -- hosts and clients come and go ---------------------------------------------------------------------------------

    def host_up(self, host: Host, system: str) -> None:
        """Record that a host is up. After a reboot, no process of an earlier test can run on it."""
        if host.system and system and host.system != system:
            self._sure(host)

    def host_lost(self, host: Host, why: str, now: float) -> list[Outcome]:
        """Handle the loss of a host. Its processes and files are lost, too."""
        outcomes: list[Outcome] = []
        live = list(self._live.get(host, ()))
        if host.ending or any(process.state == RUNNING for process in live):
            host.unsure, host.system = True, self._hosts.system(host.name)
            self.waits.journal.mark("test object", host.number)
        for process in live:
            process.why = why
            outcomes += self._input(process, "lose", now)
        for number in list(host.ending):
            outcomes += self._gone(host.name, f"process{number}", now, lost=why)
        self.placement.lost(host.name)
        self._asked.pop(host.name, None)
        return outcomes

    def of_client(self, client: Client) -> list[Process]:
        """The processes in the foreground of a client."""
        return list(self._foreground.get(client, ()))

    def clients(self) -> list[Client]:
        """The clients that have processes in the foreground."""
        return list(self._foreground)

    def of_host(self, host: str) -> list[Process]:
        """The processes in the foreground of all clients on a host."""
        return [process for client, found in self._foreground.items() if client.host == host for process in found]

    # -- deleting ------------------------------------------------------------------------------------------------------

    def removed(self, process: Process, share: bool) -> int | None:
        """Handle the removal of a process from the tree. Return its number if its host must end it first."""
        host = process.claim.host
        self._forget_live(process)
        self._finish(process)
        if process.state != RUNNING:
            return None
        self._end(process.number, host, share=share)
        self._act(Kill(host.name, process.handle))
        return process.number

    def _end(self, number: int, host: Host, *, share: bool) -> None:
        if self._ending.setdefault(number, host) is not host:
            return  # the report of another host is wrong
        self.waits.journal.mark("test ending", number, new=number not in host.ending)
        host.ending.setdefault(number, share)

    def places_of(self, nodes: Iterable[Node]) -> list[ProcessPlace]:
        """The places at which clients wait for these processes."""
        return [
            self._places[node.number] for node in nodes if isinstance(node, Process) and node.number in self._places
        ]

    def deletion(self, ending: set[int]) -> DeletionPlace:
        """The place at which a deletion waits for the ends of processes."""
        place = DeletionPlace(self, ending)
        self._deletions[place] = None
        return place

    def left(self, place: ProcessPlace | DeletionPlace) -> None:
        """Forget a place that the last wait has left."""
        if isinstance(place, DeletionPlace):
            self._deletions.pop(place, None)
        else:
            self._places.pop(place.process.number, None)

    def _gone(self, host: str, handle: str, now: float, lost: str = "") -> list[Outcome]:
        """Record that a deleted process has ended, or that its host is lost."""
        number = _number(handle)
        machine = self._ending.get(number)
        if machine is None or machine.name != host:
            return []
        del self._ending[number]
        del machine.ending[number]
        self.waits.journal.mark("test ending", number)
        outcomes: list[Outcome] = []
        for place in list(self._deletions):
            outcomes += place.ended(number, host, lost, now)
        return outcomes if lost else outcomes + self.settle(now) + self.schedule(machine, now)

    # -- states --------------------------------------------------------------------------------------------------------

    def _input(self, process: Process, event: str, now: float) -> list[Outcome]:
        """Change the state of a process. Return the outcomes of the clients that wait for it."""
        state = NEXT.get((process.state, event))
        if state is None:
            return []
        was_live, process.state = process.state in LIVE, state
        self._mark(process)
        if event == "start":
            process.started, process.system = now, self._hosts.system(process.claim.host.name)
            assert process.start is not None
            self._act(Start(process.claim.host.name, process.handle, process.arguments, process.start))
        if state in LIVE:
            if not was_live:
                process.ended, process.why = None, ""
                self._add(process)
            return []
        if state != LOST or process.started is None:
            self._finish(process)
        process.ended = now
        self._forget_live(process)
        self.waits.note("process ended", ("", process.handle), process.claim.host.name, process.status, state)
        place = self._places.get(process.number)
        outcomes = place.settle(now) if place is not None else []
        return outcomes if event == "lose" else outcomes + self.schedule(process.claim.host, now)

    def _finish(self, process: Process) -> None:
        """Release the files of a process that has ended and cannot run again."""
        process.start = None
        self.placement.done(process)
        self.waits.journal.mark("test start", process.number)

    def schedule(self, host: Host, now: float) -> list[Outcome]:
        """Send files and processes to a host, in the order of its queue."""
        outcomes: list[Outcome] = []
        if self._hosts.absent(host.name) is not None:
            return outcomes
        busy = any(not one.parallel and one.state != WAITING for one in self._live.get(host, ()))
        for process in list(self._live.get(host, ())):
            if process.state == RUNNING or (process.state == WAITING and busy and not process.parallel):
                continue
            busy = busy or not process.parallel
            if self.placement.ready(host.name, process):
                outcomes += self._input(process, "start", now)
            else:
                outcomes += self._input(process, "fetch", now)
        return outcomes

    def _add(self, process: Process) -> None:
        self._live.setdefault(process.claim.host, {})[process] = None
        if process.client is not None:
            self._foreground.setdefault(process.client, {})[process] = None

    def _forget_live(self, process: Process) -> None:
        tables: list[tuple[dict[object, dict[Process, None]], object]] = [
            (self._live, process.claim.host),  # type: ignore[list-item]
            (self._foreground, process.client),  # type: ignore[list-item]
        ]
        for table, key in tables:
            found = table.get(key, {})
            found.pop(process, None)
            if not found:
                table.pop(key, None)

    def _mark(self, process: Process) -> None:
        self.waits.journal.mark("test object", process.number)

    def _find(self, handle: str) -> Process | None:
        try:
            found = self._tree.get(handle)
        except LinesyncFailed:
            return None
        return found if isinstance(found, Process) else None

    # -- storing -------------------------------------------------------------------------------------------------------

    def _kept_start(self, number: int) -> KeptStart | None:
        process = self._find(f"process{number}")
        return process.start if process is not None else None

    def _start_keys(self) -> list[int]:
        return [one.number for one in self._tree.all() if isinstance(one, Process) and one.start is not None]

    def _kept_ending(self, number: int) -> KeptEnding | None:
        host = self._ending.get(number)
        return KeptEnding(host.name, host.ending[number]) if host is not None else None

    def restore(self, rows: Rows) -> None:
        """Restore the queues, after the tree.

        :raises BadRow: a row is not valid, or contradicts other rows.
        """

        def restore_start(key: list[str], kept: KeptStart) -> None:
            process = self._find(f"process{key[0]}")
            if process is None or process.state not in (*LIVE, LOST):
                raise ValueError("its process has ended")
            process.start = kept

        def restore_ending(key: list[str], kept: KeptEnding) -> None:
            self._ending[int(key[0])] = host = self._tree.hosts[kept.host]
            host.ending[int(key[0])] = kept.share

        rows.each("test start", KeptStart, restore_start)
        rows.each("test ending", KeptEnding, restore_ending)
        for process in self._tree.all():
            if isinstance(process, Process):
                self.placement.need(process)
                if process.state in LIVE:
                    self._add(process)
                    if process.start is None:
                        raise BadRow(
                            "test object", str(process.number), "it has not ended, but its details are not stored"
                        )
        self.placement.restore(rows)

    def place(self, at: AtProcess | AtDeletion) -> ProcessPlace | DeletionPlace:
        """The place of a stored wait; raises KeyError if a process is not stored, or has ended."""
        if isinstance(at, AtDeletion):
            for number in at.ending:
                self._ending[number]
            return self.deletion(set(at.ending))
        process = self._find(f"process{at.process}")
        if process is None or process.state not in LIVE:
            raise KeyError(f"process{at.process}")
        return self._places.setdefault(at.process, ProcessPlace(self, process))


def _end_of(process: Process) -> Ended:
    return Ended(
        process=process.handle,
        state=process.state,
        status=process.status,
        signal=process.signal,
        core=process.core,
        output=process.output,
        why=process.why,
    )


def _number(handle: str) -> int:
    digits = handle.removeprefix("process")
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= 15 else 0
