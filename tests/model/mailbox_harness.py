"""A mailbox with hosts and groups, for the tests of messages and gathering."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from linesync.errors import Aborted, LinesyncError
from linesync.model.decisions import Messages, Outcome
from linesync.model.participants import Cause
from linesync.model.sync import mailbox as mailbox_module
from linesync.model.sync.mailbox import Group, Mailbox
from linesync.model.sync.waits import Waits

from .helpers import client, failed, granted


class HostGroups:
    """The groups of the hosts, as a test sets them."""

    def __init__(self) -> None:
        self.where: dict[str, tuple[str, str]] = {}  # host: its group and role
        self.sizes: dict[str, int] = {}
        self.dead: dict[str, str] = {}

    def name_of(self, host: str) -> str:
        return self.where.get(host, ("", ""))[0]

    def group(self, name: str, stopped: Collection[str] = ()) -> Group:
        members = {host: role for host, (group, role) in self.where.items() if group == name}
        return Group(members=members, size=self.sizes.get(name))

    def lost(self, host: str) -> str | None:
        return self.dead.get(host)


class MailboxHarness:
    """A mailbox with its waits and hosts, and short methods to send and read."""

    def __init__(self, room: int = mailbox_module.ROOM) -> None:
        self.waits = Waits()
        self.hosts = HostGroups()
        self.mailbox = Mailbox(self.waits, self.hosts, room=room)
        self.numbers: Iterator[int] = iter(range(100_000))

    def join(self, *hosts: str, group: str = "", size: int | None = None) -> list[Outcome]:
        """Register hosts in a group. A host is written as ``name`` or ``name=role``."""
        for host in hosts:
            name, _, role = host.partition("=")
            self.hosts.where[name] = (group, role)
        if size is not None:
            self.hosts.sizes[group] = size
        return self.mailbox.hosts_changed(0.0)

    def lose(self, host: str, why: str = "line lost") -> list[Outcome]:
        self.hosts.dead[host] = why
        return self.mailbox.host_lost(host, 1.0)

    def send(self, sender: str, *items: str, arrival: str = "", topic: str = "boot") -> list[Outcome]:
        owner = client(sender.partition("#")[0])
        return self.mailbox.send(arrival or f"s{next(self.numbers)}", "default", topic, items, sender, owner, 0.0)

    def receive(
        self,
        arrival: str,
        reader: str = "a",
        first: int = 1,
        *,
        most: int = 100,
        others: bool = False,
        now: float = 0.0,
        timeout: float | None = None,
        topic: str = "boot",
    ) -> list[Outcome]:
        owner = client(reader.partition("#")[0])
        return self.mailbox.receive(arrival, "default", topic, first, most, others, reader, owner, now, timeout)

    def gather(
        self,
        arrival: str,
        reader: str = "a",
        role: str = "",
        *,
        now: float = 0.0,
        timeout: float | None = None,
        topic: str = "boot",
    ) -> list[Outcome]:
        owner = client(reader.partition("#")[0])
        return self.mailbox.receive_all(arrival, "default", topic, reader, role, owner, now, timeout)

    def reset(self, *topics: str) -> tuple[int, dict[str, LinesyncError]]:
        """Return (the number of topics that were forgotten, the errors of the waits that failed)."""
        forgotten, waits = self.mailbox.reset("default", topics or None, 0.0)
        return forgotten, failed(self.waits.fail([(wait, Aborted("reset")) for wait in waits], Cause.RESET, 0.0))


def read(outcomes: list[Outcome]) -> dict[str, list[str]]:
    """Return the messages that each arrival has read, each as ``number sender: items``."""
    return {
        arrival: [f"{message.number} {message.sender}: {' '.join(message.items)}" for message in value.messages]
        for arrival, value in granted(outcomes).items()
        if isinstance(value, Messages)
    }
