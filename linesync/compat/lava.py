"""LAVA's MultiNode API: lava-self, lava-role, lava-group, lava-send, lava-wait, lava-wait-all, lava-sync.

A group is a published group: its agents publish ``group=...``, ``role=...`` and ``group_size=N``. LAVA starts the tests of a
group when the group is complete. Here, a command that needs the group waits until the hub knows N hosts of the group. If no
agent publishes a size, the group consists of the hosts that the hub knows.

Each group has its own messages, and the hub keeps them until a reset. A wait writes the last message of each host under the id
to the cache file, as lines ``host:key=value``. lava-sync is a barrier of the group's hosts. An id can therefore be used again,
even by a host that is faster than the others.

LAVA's scripts report a failure only on the console and exit with 0. These commands exit with linesync's codes. With
``--lava-bug-compat`` or LAVA_BUG_COMPAT=1 they exit with 0, as LAVA's scripts do.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..client.deadlines import Deadline
from ..client.settings.places import setting
from ..errors import LinesyncError, TimedOut, UsageError
from ..frozen_record import Record
from ..numbers import read_seconds
from .program import connect, namespace, options, own_host, run

if TYPE_CHECKING:
    from ..client.blocking import BlockingClient
    from ..client.sync import TopicMessage
    from ..model.state.hosts import HostState

__all__ = ["Group", "cache_lines", "group_of", "main", "write_cache"]

CACHE = "/tmp/lava_multi_node_cache.txt"
_POLL_INTERVAL = 1.0  # seconds between checks of a group that is not complete
_MOST = 1000  # the maximum number of messages of a topic in one answer


class Group(Record):
    """The hosts of one group."""

    name: str
    """The name of the published group; empty for hosts without a published group."""
    own: str
    """The host on which this process runs."""
    roles: dict[str, str]
    """The role of each host; empty for a host without a published role."""
    size: int
    """The published size of the group; 0 if no host publishes a size."""

    @property
    def complete(self) -> bool:
        return len(self.roles) >= self.size

    def topic(self, message_id: str) -> str:
        """The topic of the group's messages under an id."""
        return f"{self.name}/{message_id}" if self.name else message_id


def group_of(hosts: Iterable[HostState], own: str) -> Group:
    """The group of a host.

    :param hosts: the hosts that the hub knows.
    :raises UsageError: the hub knows no agent of that host, or the published size is not a number.
    """
    hosts = list(hosts)
    ours = next((host.published for host in hosts if host.name == own), None)
    if ours is None:
        raise UsageError(
            f"{own} does not belong to a group: run this on a host whose agent publishes a group (linesync agent --publish"
            " group=G --publish role=R --publish group_size=N)"
        )
    name = ours.get("group", "")
    found = [host for host in hosts if host.published.get("group", "") == name]
    sizes = [host.published["group_size"] for host in found if host.published.get("group_size")]
    size = ours.get("group_size") or (sizes[0] if sizes else "0")
    if not size.isascii() or not size.isdigit():
        raise UsageError(
            f"the agents of the group {name!r} publish group_size={size}, which is not a number; start them with a"
            " number"
        )
    if int(size) and len(found) > int(size):  # some hosts belong to an earlier group with the same name
        found = [host for host in found if host.state != "lost"]
    return Group(
        name=name, own=own, roles={host.name: host.published.get("role", "") for host in found}, size=int(size)
    )


def cache_lines(messages: Iterable[TopicMessage]) -> list[str]:
    """The lines that a wait writes: the last message of each sender, as ``host:key=value``."""
    last: dict[str, dict[str, str]] = {}
    for message in messages:
        pairs = [item.partition("=") for item in message.items]
        last[message.sender] = {key: value for key, equals, value in pairs if key and equals}
    return [f"{sender}:{key}={value}" for sender, pairs_of in last.items() for key, value in pairs_of.items()]


def write_cache(path: str, lines: Sequence[str]) -> None:
    """Replace the cache file. Without lines, remove it, as LAVA does.

    :raises UsageError: the file cannot be written.
    """
    try:
        if os.path.lexists(path):
            mode = os.lstat(path).st_mode
            # A symbolic link is replaced, not followed: every user knows this name in /tmp.
            if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
                from ..jobs.files.paths import kind_of

                raise UsageError(
                    f"cannot write the cache file {path}: it is {kind_of(mode)}; set LAVA_MULTI_NODE_CACHE to another path"
                )
            if not lines:
                os.unlink(path)
        if not lines:
            return
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        from ..jobs.files.leftovers import replace_file

        replace_file(path, "".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise UsageError(
            f"cannot write the cache file {path}: {error.strerror}; set LAVA_MULTI_NODE_CACHE to another path"
        ) from None


class _Call:
    """The context of one command: the connection, the host on which it runs, the namespace and the deadline."""

    def __init__(self, client: BlockingClient, deadline: Deadline) -> None:
        self.client = client
        self.deadline = deadline
        self.own = own_host(client, deadline.left)
        self.space = namespace("lava")

    def group(self, *, complete: bool = True) -> Group:
        """The group of this host.

        :param complete: wait until the group is complete.
        :raises TimedOut: the group was not complete before the deadline.
        """
        reported = False
        while True:
            group = group_of(self.client.hosts(timeout=self.deadline.left), self.own)
            if group.complete or not complete:
                return group
            names = ", ".join(group.roles)
            known = f"{len(group.roles)} of {group.size} hosts of the group {group.name!r} are known: {names}"
            if self.deadline.over:
                raise TimedOut(f"timed out after {self.deadline.timeout:g} s: {known}; start the agents of the others")
            if not reported:
                print(f"waiting for the group: {known}", file=sys.stderr, flush=True)
                reported = True
            time.sleep(min(_POLL_INTERVAL, self.deadline.left or _POLL_INTERVAL))

    def save(self, messages: Sequence[TopicMessage]) -> None:
        write_cache(os.environ.get("LAVA_MULTI_NODE_CACHE") or CACHE, cache_lines(messages))

    def all_so_far(self, topic: str) -> list[TopicMessage]:
        """All messages of a topic. A reply contains at most 1,000 messages, so several requests may be necessary."""
        messages: list[TopicMessage] = []
        try:
            while True:
                messages += self.client.receive(topic, len(messages) + 1, most=_MOST, timeout=0, namespace=self.space)
        except TimedOut:
            return messages


# -- the commands -------------------------------------------------------------------------------------------------------


def _self(call: _Call, _: list[str]) -> int:
    print(call.own)
    return 0


def _role(call: _Call, words: list[str]) -> int:
    if words and words[0] == "list":
        print("\n".join(dict.fromkeys(role for role in call.group().roles.values() if role)))
        return 0
    role = call.group(complete=False).roles[call.own]
    if not role:
        raise UsageError(f"{call.own} has no role; start its agent with --publish role=R")
    print(role)
    return 0


def _group(call: _Call, words: list[str]) -> int:
    group = call.group()
    if not words:
        for host, role in group.roles.items():
            print(f"{host}\t{role}")
        return 0
    found = [host for host, role in group.roles.items() if role == words[0]]
    for host in found:
        print(host)
    return 0 if found else 1  # no error message, as in LAVA's manual


def _send(call: _Call, words: list[str]) -> int:
    message_id, *items = words
    pairs = [item for item in items if "=" in item[1:]]
    for item in items:
        if not item.isprintable():
            raise UsageError(f"{item!r} does not fit on one line of the cache file; send printable text")
        if item not in pairs:
            print(f"lava-send: {item!r} is not KEY=VALUE and is not sent", file=sys.stderr)
    call.client.send(
        call.group(complete=False).topic(message_id), *pairs, timeout=call.deadline.left, namespace=call.space
    )
    return 0


def _wait(call: _Call, words: list[str]) -> int:
    topic = call.group(complete=False).topic(words[0])
    call.client.receive(topic, 1, most=1, others=True, timeout=call.deadline.left, namespace=call.space)
    call.save(call.all_so_far(topic))
    return 0


def _wait_all(call: _Call, words: list[str]) -> int:
    topic = call.group(complete=False).topic(words[0])
    role = words[1] if len(words) > 1 else ""
    call.client.receive_all(topic, role=role, timeout=call.deadline.left, namespace=call.space)
    call.save(call.all_so_far(topic))
    return 0


def _sync(call: _Call, words: list[str]) -> int:
    group = call.group()
    call.client.barrier(
        f"lava-sync:{group.topic(words[0])}",
        members=group.roles,
        timeout=call.deadline.left,
        namespace=call.space,
        rejoin=True,  # a LAVA device may reboot during a test
    )
    call.save([])
    return 0


_COMMANDS: dict[str, tuple[Callable[[_Call, list[str]], int], str]] = {
    "lava-self": (_self, ""),
    "lava-role": (_role, "[list]"),
    "lava-group": (_group, "[ROLE]"),
    "lava-send": (_send, "MESSAGE-ID [KEY=VALUE]..."),
    "lava-wait": (_wait, "MESSAGE-ID"),
    "lava-wait-all": (_wait_all, "MESSAGE-ID [ROLE]"),
    "lava-sync": (_sync, "MESSAGE-ID"),
}


def main(program: str, argv: Sequence[str]) -> int:
    """Run the command with the name ``program``. Returns its exit code."""
    work, synopsis = _COMMANDS[program]
    usage = f"{program} [--timeout S] [--lava-bug-compat] {synopsis}".rstrip()
    lenient = os.environ.get("LAVA_BUG_COMPAT", "") in ("1", "yes", "true")

    def command(arguments: list[str]) -> int:
        nonlocal lenient
        given_options, words = options(arguments, "h", ("timeout=", "lava-bug-compat", "help"), usage)
        limit = setting("timeout", "lava")
        timeout = None if limit is None else read_seconds(str(limit), "timeout")
        for option, value in given_options:
            match option:
                case "-h" | "--help":
                    print(f"usage: {usage}")
                    return 0
                case "--timeout":
                    timeout = read_seconds(value, "timeout")
                case _:
                    lenient = True
        if synopsis.startswith("M") and (not words or "=" in words[0]):
            raise UsageError(f"the message id is missing; usage: {usage}")
        if not synopsis.endswith("...") and len(words) > len(synopsis.split()):
            raise UsageError(f"there is one argument too many, {words[-1]!r}; usage: {usage}")
        if work is _self and (name := os.environ.get("LINESYNC_HOST")):
            print(name)  # no connection is needed
            return 0
        deadline = Deadline(timeout)
        with connect(program, timeout=deadline.to_connect) as client:
            return work(_Call(client, deadline), words)

    def like_lava(arguments: list[str]) -> int:
        try:
            return command(arguments)
        except LinesyncError as error:
            if not lenient or isinstance(error, UsageError):
                raise
            print(f"{program}: {error.message} (exit code 0, as in LAVA)", file=sys.stderr)
            return 0

    return run(program, like_lava, argv)
