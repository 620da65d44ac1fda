"""A hub with a test bus, hosts and scripts, without lines and on virtual time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from linesync.errors import LinesyncError
from linesync.model.decisions import Ended, Failed, Granted
from linesync.model.participants import Cause, Client
from linesync.model.state.testbus import ObjectState, RunOptions, Want
from linesync.model.sync.deadlock import Activity
from linesync.model.sync.namespaces import Owner
from linesync.model.sync.services import SyncServices
from tests.model.kept.life import Store

__all__ = ["Lab", "wants"]


def wants(*texts: str) -> list[Want]:
    """Wants as ``role``, ``role=host`` or ``role:capability,capability``. A leading ``+`` shares the host."""
    found = []
    for text in texts:
        role, _, host = text.removeprefix("+").partition("=")
        role, _, capabilities = role.partition(":")
        found.append(Want(role, host, tuple(capabilities.split(",")) if capabilities else (), text.startswith("+")))
    return found


class Lab:
    """The services of a hub. A script is written as ``host`` or ``host/number``; scripts of the hub confirm their grants.

    :ivar outcomes: the last outcome of each arrival.
    """

    def __init__(self, *hosts: str, **capabilities: str) -> None:
        self.now = 100.0
        self.services = SyncServices(stored=True)
        self.store = Store()
        self.outcomes: dict[str, Any] = {}
        self._arrivals = 0
        self._lives: dict[str, int] = {}
        for host in (*hosts, *capabilities):
            self.up(host, capabilities=capabilities.get(host, "").split())

    @property
    def bus(self) -> Any:
        return self.services.testbus

    def client(self, who: str = "hub") -> Client:
        host, _, number = who.partition("/")
        return Client(host, number or "1")

    # -- hosts ---------------------------------------------------------------------------------------------------------

    def session(self, host: str) -> str:
        return f"{host}.{self._lives[host]}"

    def up(
        self,
        host: str,
        capabilities: Iterable[str] = (),
        published: Mapping[str, str] | None = None,
        system: str = "s1",
    ) -> None:
        """Let a host register with a new session."""
        self._lives[host] = self._lives.get(host, 0) + 1
        session = self.session(host)
        self.take(
            self.services.register(
                host,
                session,
                session,
                f"line of {host}",
                self.now,
                capabilities=capabilities,
                published=published,
                system=system,
            )
        )

    def publish(self, host: str, capabilities: Iterable[str] = (), **published: str) -> None:
        """Let a host register with other values."""
        session = self.session(host)
        line = f"line of {host}"
        self.take(
            self.services.register(
                host, session, session, line, self.now, capabilities=capabilities, published=published
            )
        )

    def down(self, host: str) -> None:
        """Let the agent of a host stop."""
        self.take(self.services.ended(host, self.session(host), Cause.STOPPED, "it says so", self.now))

    def pass_time(self, seconds: float) -> None:
        """Let time pass in steps. All live hosts are heard, and answer the questions of the hub."""
        end = self.now + seconds
        while self.now < end:
            due = self.services.next_timer()
            self.now = min(end, max(self.now + 0.25, due if due is not None else end))
            for host in self.services.hosts(self.now):
                if host.state != "lost":
                    self.take(self.services.heard(host.name, host.session, self.now))
            self.take(self.services.handle_timer(self.now))
            for host_name in self.services.take_asked():
                self.take(self.services.answered(host_name, Activity(0, self.scripts(host_name)), self.now))

    def scripts(self, host: str) -> frozenset[str]:
        """The scripts of a host that are alive as far as the hub knows."""
        return frozenset(client.number for client in self.services.waits_by_client() if client.host == host)

    # -- requests ------------------------------------------------------------------------------------------------------

    def take(self, outcomes: Iterable[Any]) -> None:
        """Take outcomes, and confirm the grants."""
        for outcome in outcomes:
            if isinstance(outcome, Granted | Failed):
                self.outcomes[outcome.arrival] = outcome
                if isinstance(outcome, Granted) and outcome.provisional:
                    self.services.commit(outcome.arrival, outcome.client, self.now)
        self.store.take(self.services)

    def arrive(self, call: Any, *args: Any, who: str = "hub", **options: Any) -> str:
        """Make a request, and return its arrival id."""
        self._arrivals += 1
        arrival = f"x{self._arrivals}"
        self.take(call(arrival, *args, self.client(who), self.now, **options))
        return arrival

    def value(self, arrival: str) -> Any:
        """The result of an arrival."""
        outcome = self.outcomes[arrival]
        if isinstance(outcome, Failed):
            raise outcome.error
        return outcome.value

    def error(self, arrival: str) -> LinesyncError:
        outcome = self.outcomes[arrival]
        assert isinstance(outcome, Failed), outcome
        return outcome.error

    def waits(self, arrival: str) -> bool:
        return arrival not in self.outcomes

    def test(self, name: str = "nfs", who: str = "hub", **options: Any) -> str:
        """Create a test, and return its handle."""
        return self.value(self.arrive(self.bus.create_test, name, who=who, **options)).handles[0]

    def shell(self, pid: int, host: str = "hub") -> Owner:
        """A shell that owns tests."""
        return Owner(self.client(f"{host}/9"), pid, "100", "sh")

    def ask(self, test: str, *texts: str, who: str = "hub", timeout: float | None = None) -> str:
        """Ask for hosts, and return the arrival id."""
        return self.arrive(self.bus.claim, test, wants(*texts), who=who, timeout=timeout)

    def claim(self, test: str, *texts: str, who: str = "hub") -> tuple[str, ...]:
        """Claim hosts that are free, and return the handles of the claims."""
        return self.value(self.ask(test, *texts, who=who, timeout=0)).handles

    def hosts_of(self, arrival: str) -> tuple[str, ...]:
        return self.value(arrival).hosts

    def release(self, *handles: str) -> None:
        self.value(self.arrive(self.bus.release, handles))

    def delete(self, *handles: str) -> None:
        self.value(self.arrive(self.bus.delete, handles))

    def put(self, handle: str, tag: str, digest: str = "0", length: int = 3) -> str:
        arrival = self.arrive(self.bus.put_file, handle, tag, digest * 64, length, 0o644)
        return self.value(arrival).handles[0]

    def command(self, handle: str, *words: str) -> str:
        return self.value(self.arrive(self.bus.create_command, handle, words)).handles[0]

    # -- processes -----------------------------------------------------------------------------------------------------

    def run(self, command: str, claim: str, *words: str, who: str = "hub", **options: Any) -> str:
        """Run a command, and return the handle of the process.

        :param words: variables of the process, as NAME=value.
        """
        variables = dict(word.split("=", 1) for word in words)
        arrival = self.arrive(self.bus.run, command, claim, RunOptions(**options), variables, who=who)
        return self.value(arrival).handles[0]

    def exec(self, test: str, claim: str, *words: str, **options: Any) -> str:
        """Run a new command of a test."""
        return self.run(self.command(test, *words), claim, **options)

    def wait_for(self, process: str, timeout: float | None = None, who: str = "hub") -> str:
        return self.arrive(self.bus.wait, process, who=who, timeout=timeout)

    def ended(self, host: str, process: str, status: int | None = 0, state: str = "exited", **more: Any) -> None:
        """Let a host report the end of a process."""
        report = Ended(process=process, state=state, status=status, **more)
        self.take(self.bus.processes.ended(host, report, self.now))

    def arrived(self, host: str, digest: str) -> None:
        self.take(self.bus.processes.file_arrived(host, digest * 64, self.now))

    def report(self, host: str, *running: str, digests: str = "") -> None:
        """Let the hub ask a host, and let the host report its processes and files."""
        self.bus.processes.ask(host)
        self.take(self.bus.processes.reported(host, running, [one * 64 for one in digests], self.now))

    def actions(self) -> list[str]:
        """The actions since the last call: the name of each, its host, and its process, claim or digest."""
        found = []
        for one in self.bus.take_actions():
            what = getattr(one, "process", "") or getattr(one, "claim", "") or getattr(one, "digest", "")[:1]
            found.append(f"{type(one).__name__.lower()} {getattr(one, 'host', '-')} {what}")
        return found

    def states(self) -> list[str | None]:
        """The state of each process."""
        return [one.state for one in self.objects().values() if one.kind == "process"]

    # -- what is there -------------------------------------------------------------------------------------------------

    def objects(self) -> dict[str, ObjectState]:
        """All objects by handle."""
        return {one.handle: one for one in self.bus.show(self.now).objects}

    def users(self) -> dict[str, list[str]]:
        """The names of the tests that use each host."""
        objects = self.objects()
        found: dict[str, list[str]] = {}
        for one in objects.values():
            if one.kind == "claim":
                found.setdefault(str(one.host), []).append(objects[str(one.parent)].name)
        return found

    def check(self) -> None:
        """Check that the store has all changes, and that a restored hub has the same state."""
        self.store.take(self.services)
        assert self.store.rows == Store.dump(self.services)
        again = self.restored()
        assert Store.dump(again) == self.store.rows
        assert again.testbus.show(self.now) == self.bus.show(self.now)

    def restored(self) -> SyncServices:
        rows = [(kind, key, text) for (kind, key), text in self.store.rows.items()]
        return SyncServices.restore(rows, 0.0, self.now)
