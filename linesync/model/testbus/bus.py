"""The test bus of a hub: tests, the hosts that they use, and their variables, files and commands.

1. Every agent that registers has a host on the bus, and so has the controller. Tests, claims, files and commands are created
   by requests. Each answer is kept for a retry of the request.
2. The deletion of an object also deletes everything below it, the deepest objects first. The remaining work at a host, or with
   the data of a file, is an action (:mod:`.actions`). The hub takes the actions after each call.
3. A host stays on the bus after its agent is lost, with the claims on it, because the same system may come back. An unused
   host that is lost leaves the bus when there are more than :data:`HOSTS_MAX` hosts.

All times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...errors import Aborted, LinesyncError, LinesyncFailed, NotAllowed, UsageError
from ..decisions import ArrivalId, Objects, Outcome
from ..hosts.membership import Membership
from ..kept.rows import Rows
from ..kept.waits import AtClaim, AtDeletion, AtProcess
from ..participants import Cause, Client, check_host, check_name
from ..state.testbus import BusState, ClaimingState, RunOptions, Want
from ..sync.namespaces import Owner
from ..sync.place import Place, Wait
from ..sync.waits import Waits
from .actions import Action, Forget, Release
from .checks import FILE_BYTES, check_digest, check_tag
from .claims.claims import Claims
from .objects import Claim, Command, File, Host, Node, Process, Test, below
from .owners import Owners, check_owner
from .processes import Processes
from .scope import Scope, chain, files_of
from .show import object_state
from .tree import Tree

__all__ = ["Bus"]

HOSTS_MAX = 8192  # the number of hosts above which unused hosts that are lost leave the bus
ARGUMENTS_MAX = 4096  # the maximum number of arguments of a command
ARGUMENTS_BYTES = 128 << 10  # the maximum size of the arguments of a command


class Bus:
    """The test bus of one hub.

    :param waits: the table of arrivals.
    :param hosts: the hosts, their capabilities and their published values.
    """

    def __init__(self, waits: Waits, hosts: Membership) -> None:
        self._waits = waits
        self._hosts = hosts
        self._tree = Tree(waits.journal)
        self._scope = Scope(hosts.published)
        self._claims = Claims(self._tree, waits, hosts)
        self._claims.remove = self._remove
        self._owners = Owners()
        self._actions: list[Action] = []
        self._processes = Processes(self._tree, waits, hosts, self._scope, lambda action: self._actions.append(action))
        self._processes.settle = self._claims.settle
        self._processes.placement.unneeded = self._forget

    # -- tests and hosts -----------------------------------------------------------------------------------------------

    def create_test(
        self,
        arrival: ArrivalId,
        name: str,
        client: Client,
        now: float,
        *,
        within: str = "",
        owner: Owner | None = None,
        keep: bool = False,
    ) -> list[Outcome]:
        """Create a test.

        :param within: the handle of the test that it is part of; empty for none.
        :param owner: its owner; None for the client. A test in another test has no owner of its own.
        :param keep: whether the owner's host owns it.
        :returns: :class:`Objects` with its handle, or a failure: UsageError (an invalid name or owner), LinesyncFailed (no
            such test, too many objects).
        """

        def join() -> list[Outcome]:
            check_name("test", name)
            parent = self._test(within) if within else None
            found = owner or Owner(client)
            check_owner(found)
            self._tree.check_room(parent)
            number = self._tree.next_number()
            by = found if parent is None else None
            test = Test(number=number, name=name, parent=parent, owner=by, keep=keep and parent is None, since=now)
            self._tree.add(test)
            if by is not None:
                self._owners.add(test)
            self._waits.note("test created", ("", test.handle), client.host)
            return self._created(arrival, client, test, now)

        return self._waits.admit(arrival, client, now, join)

    def create_host(self, arrival: ArrivalId, name: str, client: Client, now: float) -> list[Outcome]:
        """Create a host without an agent. An agent that registers with its name takes it over.

        :returns: :class:`Objects` with the handle of the new or the existing host, or a failure.
        """

        def join() -> list[Outcome]:
            check_host(name)
            host = self._tree.hosts.get(name)
            if host is None:
                self._tree.check_room(None)
                host = self._add_host(name)
            return self._created(arrival, client, host, now)

        return self._waits.admit(arrival, client, now, join)

    def _add_host(self, name: str) -> Host:
        host = Host(number=self._tree.next_number(), name=name)
        self._tree.add(host)
        return host

    # -- claims --------------------------------------------------------------------------------------------------------

    def claim(
        self,
        arrival: ArrivalId,
        test: str,
        wants: Iterable[Want],
        client: Client,
        now: float,
        timeout: float | None = None,
    ) -> list[Outcome]:
        """Ask for hosts for a test. The parameters and outcomes are those of :meth:`Claims.claim`."""
        return self._claims.claim(arrival, lambda: self._test(test), tuple(wants), client, now, timeout)

    def release(self, arrival: ArrivalId, handles: Iterable[str], client: Client, now: float) -> list[Outcome]:
        """Release claims, and delete everything below them.

        :returns: :class:`Objects` without handles; or its failure, and then no claim is released.
        """

        def join() -> list[Outcome]:
            nodes = [self._tree.get(handle) for handle in handles]
            for node in nodes:
                if not isinstance(node, Claim):
                    raise UsageError(f"{node} cannot be released: it is not a claim; use 'linesync test delete'")
            return self._delete_for(arrival, client, nodes, f"{client.host} released it", now)

        return self._waits.admit(arrival, client, now, join)

    def take_back(self, taken: AtClaim, now: float) -> list[Outcome]:
        """Release the claims of a client that gave up its request after it had got them."""
        found = [self._find(f"claim{number}") for number in taken.claims]
        return self._delete([claim for claim in found if claim is not None], "its client gave up", now)[0]

    # -- variables, files and commands ---------------------------------------------------------------------------------

    def set_variables(self, handle: str, values: Mapping[str, str]) -> None:
        """Set variables of an object: all of them, or none.

        :raises UsageError: an invalid name or value.
        :raises LinesyncFailed: no such object, or the variables exceed a limit.
        """
        self._tree.set(self._tree.get(handle), dict(values))

    def unset_variables(self, handle: str, names: Iterable[str]) -> int:
        """Delete variables of an object. Return how many of them were set at this object."""
        return self._tree.unset(self._tree.get(handle), tuple(names))

    def variables(self, handle: str) -> dict[str, str]:
        """The variables that an object sees."""
        return self._scope.variables(chain(self._tree.get(handle)))

    def variable(self, handle: str, name: str) -> str | None:
        """The value of a variable that an object sees, or None."""
        return self._scope.variable(chain(self._tree.get(handle)), name)

    def files(self, handle: str) -> dict[str, File]:
        """The files that an object sees, by tag."""
        return files_of(chain(self._tree.get(handle)))

    def put_file(
        self,
        arrival: ArrivalId,
        handle: str,
        tag: str,
        digest: str,
        length: int,
        mode: int,
        client: Client,
        now: float,
    ) -> list[Outcome]:
        """Attach a file to an object, whose data the hub has stored. A file with the same tag at this object is replaced.

        :returns: :class:`Objects` with the handle of the file; or its failure, and then the hub may forget the data.
        """

        def join() -> list[Outcome]:
            check_tag(tag)
            check_digest(digest)
            if not (0 <= length <= FILE_BYTES and 0 <= mode <= 0o7777):
                raise UsageError(f"invalid file '{tag}': expected at most {FILE_BYTES} bytes, and a mode up to 7777")
            parent = self._tree.get(handle)
            if isinstance(parent, File):
                raise UsageError(f"a file cannot be attached to {parent}, which is a file; use the object above it")
            self._tree.check_file(parent, tag, digest, length)
            file = parent.files.get(tag)
            if file is None:
                number = self._tree.next_number()
                file = File(number=number, name=tag, parent=parent, digest=digest, length=length, mode=mode)
                self._tree.add(file)
            else:
                before = file.digest
                self._tree.replace(file, digest, length, mode)
                self._forget(before)
            return self._created(arrival, client, file, now)

        return self._waits.admit(arrival, client, now, join)

    def create_command(
        self, arrival: ArrivalId, handle: str, arguments: Iterable[str], client: Client, now: float
    ) -> list[Outcome]:
        """Attach a command to an object.

        :returns: :class:`Objects` with its handle, or a failure.
        """

        def join() -> list[Outcome]:
            words = tuple(arguments)
            if not words or not words[0] or any("\0" in word for word in words):
                raise UsageError("invalid command: expected a program, and arguments without null bytes")
            if len(words) > ARGUMENTS_MAX or sum(map(len, words)) > ARGUMENTS_BYTES:
                raise UsageError(
                    f"the command is too long: expected at most {ARGUMENTS_MAX} arguments with {ARGUMENTS_BYTES} bytes"
                )
            parent = self._tree.get(handle)
            if isinstance(parent, File | Command):
                raise UsageError(f"a command cannot be attached to {parent}; use the object above it")
            self._tree.check_room(parent)
            name = words[0].rpartition("/")[2] or words[0]
            command = Command(number=self._tree.next_number(), name=name[:200], parent=parent, arguments=words)
            self._tree.add(command)
            return self._created(arrival, client, command, now)

        return self._waits.admit(arrival, client, now, join)

    # -- processes -----------------------------------------------------------------------------------------------------

    def run(
        self,
        arrival: ArrivalId,
        command: str,
        claim: str,
        options: RunOptions,
        variables: Mapping[str, str],
        client: Client,
        now: float,
    ) -> list[Outcome]:
        """Create a process of a command on a claimed host.

        :param variables: the variables of the process itself.
        :returns: :class:`Objects` with its handle, also if the process could not start; or a failure: UsageError (the
            command cannot run on this claim), MemberLost and LinesyncFailed (the host has no agent, or a limit is reached).
        """

        def join() -> list[Outcome]:
            found, on = self._tree.get(command), self._tree.get(claim)
            if not isinstance(found, Command) or not isinstance(on, Claim):
                raise UsageError(f"{found} cannot run on {on}: expected a command and a claim")
            return self._processes.run(arrival, found, on, options, variables, client, now)

        return self._waits.admit(arrival, client, now, join)

    def wait(
        self, arrival: ArrivalId, handle: str, client: Client, now: float, timeout: float | None = None
    ) -> list[Outcome]:
        """Wait for the end of a process. The outcomes are those of :meth:`Processes.wait`."""

        def process() -> Process:
            found = self._tree.get(handle)
            if not isinstance(found, Process):
                raise UsageError(f"{found} is not a process; use the handle of a process")
            return found

        return self._processes.wait(arrival, process, client, now, timeout)

    @property
    def processes(self) -> Processes:
        """The processes, for the reports of the hosts."""
        return self._processes

    # -- deleting ------------------------------------------------------------------------------------------------------

    def delete(self, arrival: ArrivalId, handles: Iterable[str], client: Client, now: float) -> list[Outcome]:
        """Delete objects and everything below them. The answer waits until the hosts have ended all deleted processes.

        :returns: :class:`Objects` without handles; or its failure, and then nothing is deleted: LinesyncFailed (no such
            object), NotAllowed (a host that has an agent, or that a test uses).
        """

        def join() -> list[Outcome]:
            nodes = [self._tree.get(handle) for handle in handles]
            for node in nodes:
                self._refuse_used_host(node)
            return self._delete_for(arrival, client, nodes, f"{client.host} deleted it", now)

        return self._waits.admit(arrival, client, now, join)

    def _refuse_used_host(self, node: Node) -> None:
        if not isinstance(node, Host):
            return
        if node.users:
            test = next(iter(node.users.values())).test
            raise NotAllowed(f"host {node.name} cannot be deleted: {test} uses it; release it first")
        if self._hosts.absent(node.name) is None:
            raise NotAllowed(f"host {node.name} cannot be deleted: it is up; stop its agent first")

    def _delete_for(self, arrival: ArrivalId, client: Client, nodes: list[Node], why: str, now: float) -> list[Outcome]:
        """Delete objects for a client, which gets the answer when all of their processes have ended."""
        outcomes, ending = self._delete(nodes, why, now)
        if not ending:
            return [self._waits.answer(arrival, client, Objects(), now), *outcomes]
        place = self._processes.deletion(ending)
        place.wait = self._waits.open(arrival, client, place, client.host, now, None)
        return outcomes

    def _delete(self, nodes: Iterable[Node], why: str, now: float) -> tuple[list[Outcome], set[int]]:
        """Delete objects.

        :returns: the outcomes of the requests that the deletion ended or met, and the numbers of the processes that their hosts
            must end.
        """
        ending_processes: set[int] = set()
        removed = self._remove(nodes, ending_processes)
        tests: set[Node] = {node for node in removed if isinstance(node, Test)}
        ending: list[tuple[Wait, LinesyncError]] = [
            (wait, _ended(wait, "the test was deleted", why)) for wait in self._claims.of_tests(tests)
        ]
        for place in self._processes.places_of(removed):
            ending += [(wait, _ended(wait, "it was deleted", why)) for wait in place.all()]
        for node in removed:
            if isinstance(node, Test):
                self._waits.note("test deleted", ("", node.handle), why=why)
        outcomes = self._waits.fail(ending, Cause.RESET, now) + self._claims.settle(now)
        for host in {node.claim.host: None for node in removed if isinstance(node, Process)}:
            outcomes += self._processes.schedule(host, now)
        return outcomes, ending_processes

    def _remove(self, nodes: Iterable[Node], ending: set[int] | None = None) -> list[Node]:
        """Remove objects and everything below them, the deepest first.

        :param ending: gets the numbers of the processes that their hosts must end.
        """
        removed: dict[Node, None] = {}
        todo = list(nodes)
        while todo:
            found = [one for one in below(todo.pop(0)) if one not in removed]
            removed |= dict.fromkeys(found)
            todo += [process for one in found if isinstance(one, Claim) for process in one.processes.values()]
        for node in sorted(removed, key=lambda one: -one.depth):
            self._tree.remove(node)
            if isinstance(node, Process):
                number = self._processes.removed(node, node.claim.share)
                if number is not None and ending is not None:
                    ending.add(number)
            elif isinstance(node, Claim):
                self._claims.gone(node)
                self._actions.append(Release(node.host.name, node.handle))
                self._waits.note("host released", ("", node.test.handle), node.host.name)
            elif isinstance(node, File):
                self._forget(node.digest)
            elif isinstance(node, Test) and node.owner is not None:
                self._owners.remove(node)
        return list(removed)

    def _forget(self, digest: str) -> None:
        """Delete the data of a file if nothing needs it any more."""
        if not self._tree.has_digest(digest) and not self._processes.placement.needed(digest):
            self._processes.placement.forget(digest)
            self._actions.append(Forget(digest))

    # -- hosts and owners come and go ----------------------------------------------------------------------------------

    def host_up(self, name: str) -> None:
        """Handle a host that is up. The caller then calls :meth:`hosts_changed`."""
        if name not in self._tree.hosts:
            self._add_host(name)
            self._make_room()
        self._processes.host_up(self._tree.hosts[name], self._hosts.system(name))

    def add_missing_hosts(self) -> None:
        """Add the live hosts that are not on the bus, after a restore from the store of an earlier version."""
        for name in self._hosts.names():
            if self._hosts.absent(name) is None:
                self.host_up(name)

    def _make_room(self) -> None:
        """Remove the unused hosts that are lost, if there are too many hosts."""
        if len(self._tree.hosts) <= HOSTS_MAX:
            return
        hosts = self._tree.hosts.values()
        self._remove([host for host in hosts if host.free and self._hosts.absent(host.name) is not None])

    def hosts_changed(self, now: float) -> list[Outcome]:
        """Serve the requests for hosts, because hosts came, went, or published other values."""
        return self._claims.settle(now)

    def host_gone(self, host: str, why: str, now: float) -> list[Outcome]:
        """Handle the loss, restart or stop of a host: its processes fail, and everything that its clients own ends.

        :param why: the cause, in words.
        """
        machine = self._tree.hosts.get(host)
        outcomes = self._processes.host_lost(machine, why, now) if machine is not None else []
        nodes = [*self._owners.of_host(host), *self._processes.of_host(host)]
        return outcomes + self._end(nodes, f"its owner's host {host} is lost: {why}", now)

    def client_gone(self, client: Client, now: float) -> list[Outcome]:
        """End the tests and the foreground processes of a client that is gone."""
        nodes = [*self._owners.of_client(client), *self._processes.of_client(client)]
        return self._end(nodes, f"its owner, a script on {client.host}, has ended", now)

    def owner_gone(self, host: str, pid: int, begin: str, now: float) -> list[Outcome]:
        """End the tests of a process that has ended."""
        why = f"its owner, process {pid} on {host}, has ended"
        return self._end(self._owners.of_process(host, pid, begin), why, now)

    def _end(self, nodes: Iterable[Node], why: str, now: float) -> list[Outcome]:
        nodes = list(nodes)
        return self._delete(nodes, why, now)[0] if nodes else []

    def owners(self) -> list[Owner]:
        """The owners of tests and of processes in the foreground: clients, and processes of the system."""
        return [*self._owners.all(), *[Owner(client) for client in self._processes.clients()]]

    def owns(self, client: Client) -> bool:
        """Whether a client owns a test, or a process in the foreground."""
        return bool(self._owners.of_client(client) or self._processes.of_client(client))

    # -- for the hub ---------------------------------------------------------------------------------------------------

    def take_actions(self) -> list[Action]:
        """Return the actions since the last call, in order."""
        actions, self._actions = self._actions, []
        return actions

    def digests(self) -> set[str]:
        """The digests of the data that files need."""
        return self._tree.digests()

    def handle_of(self, kind: str, name: str, within: str = "") -> str | None:
        """The handle of the object of a kind with a name; None if there is none.

        :param within: the handle of the object directly above it; empty for any.
        :raises Mismatch: several objects have the name.
        """
        found = self._tree.find(kind, name, self._tree.get(within) if within else None)
        return found.handle if found is not None else None

    def show(self, now: float) -> BusState:
        """All objects, and the requests for hosts that wait."""
        objects = tuple([object_state(node, self._hosts, now) for node in self._tree.all()])
        return BusState(objects=objects, claiming=tuple(self._claims.states(now)))

    def claiming(self, now: float) -> list[ClaimingState]:
        """The requests for hosts that wait, in order."""
        return self._claims.states(now)

    # -- storing -------------------------------------------------------------------------------------------------------

    def restore(self, rows: Rows) -> None:
        """Restore all objects, after the hosts and before the waits.

        :raises BadRow: a row is not valid, or contradicts other rows.
        """
        self._tree.restore(rows)
        self._processes.restore(rows)
        for node in self._tree.all():
            if isinstance(node, Test) and node.owner is not None:
                self._owners.add(node)

    def place(self, at: AtClaim | AtProcess | AtDeletion) -> Place:
        """The place of a stored wait; raises KeyError or LinesyncFailed if its objects are not stored."""
        return self._claims.place(at) if isinstance(at, AtClaim) else self._processes.place(at)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _created(self, arrival: ArrivalId, client: Client, node: Node, now: float) -> list[Outcome]:
        return [self._waits.answer(arrival, client, Objects(handles=(node.handle,)), now)]

    def _test(self, handle: str) -> Test:
        node = self._tree.get(handle)
        if not isinstance(node, Test):
            raise UsageError(f"{node} is not a test; use the handle of a test")
        return node

    def _find(self, handle: str) -> Node | None:
        try:
            return self._tree.get(handle)
        except LinesyncFailed:
            return None


def _ended(wait: Wait, event: str, why: str) -> LinesyncError:
    return Aborted(f"{wait.place.title} ended, because {event}: {why}", details={"cause": str(Cause.RESET)})
