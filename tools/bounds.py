"""Generates the tables of docs/operations.md with the bounds of a hub and an agent.

    python -m tools.bounds            shows where the page and the constants differ
    python -m tools.bounds --write    writes the tables into the page

The value of a bound is a constant of the program. This file describes for each constant which amount it limits, and the effect
at the bound. In the program, each table that can grow has a comment with the name of its bound
(``# bound: limits.CHANNELS``). ``tests/docs/pages/test_bounds.py`` checks that this file declares the bound.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import linesync
from tools.generated_page import GeneratedPage

__all__ = ["BOUNDS", "PAGE", "Bound", "constant", "differences"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "operations.md"


def number(value: float) -> str:
    return f"{value:,.0f}"


def share(value: float) -> str:
    return f"{value * 100:g} %"


def seconds(value: float) -> str:
    return f"{value / 60:g} min" if value >= 120 and value % 60 == 0 else f"{value:g} s"


def days(value: float) -> str:
    return f"{value / 86400:g} days"


def size(value: float) -> str:
    """A number of bytes, in the largest unit that gives a whole number."""
    for factor, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if value >= factor and value % factor == 0:
            return f"{value / factor:g} {unit}"
    return f"{value:,.0f} bytes"


@dataclass(frozen=True)
class Bound:
    """A bound, which is one row of a table."""

    name: str
    """The constant, as ``MODULE.NAME``."""
    unit: Callable[[float], str]
    """Formats the value with its unit."""
    what: str
    """The limited amount."""
    at: str
    """The effect at the bound."""
    option: str = ""
    """The option that sets another value, as ``COMMAND --OPTION``; empty if there is none."""
    scale: int = 1
    """The unit of the option, as a multiple of the unit of the constant."""

    @property
    def value(self) -> float:
        return constant(self.name)


@cache
def _modules() -> dict[str, list[str]]:
    """The full names of the modules, by the last part of their names."""
    root = Path(linesync.__file__).parent
    found: dict[str, list[str]] = {}
    for file in root.rglob("*.py"):
        found.setdefault(file.stem, []).append(".".join(file.relative_to(root.parent).with_suffix("").parts))
    return found


def constant(name: str) -> float:
    """The value of a constant of the program.

    :param name: ``MODULE.NAME``, with the last part of the module's name.
    :raises LookupError: there is not exactly one such constant.
    """
    module, _, own = name.partition(".")
    values = [value for full in _modules()[module] if (value := getattr(import_module(full), own, None)) is not None]
    if len(values) != 1:
        raise LookupError(f"{name} is not the name of one constant")
    return float(values[0])


BOUNDS: dict[str, tuple[Bound, ...]] = {
    "connections": (
        Bound(
            "limits.SESSIONS",
            number,
            "accepted connections of one hub or agent; fewer if the process may open fewer files (`ulimit -Hn`)",
            "If there is an idle script, its session ends to make room. Otherwise the new connection gets the reason as a line of"
            " text, and is closed.",
        ),
        Bound(
            "limits.AGENTS_ONLY",
            share,
            "the share of the hub's connections that is reserved for agents",
            "If a script has such a connection, it gets an error for each request, and its connection is closed.",
        ),
        Bound(
            "limits.PROCESS_SHARE",
            share,
            "the share of the other connections for the scripts of one process",
            "A further script of that process is refused.",
        ),
        Bound(
            "limits.SENDER_SHARE",
            share,
            "the same for one user, or for one address on TCP",
            "A further script is refused.",
        ),
        Bound(
            "limits.HANDSHAKE",
            seconds,
            "time until a session begins on an accepted connection",
            "The connection is closed.",
        ),
        Bound(
            "limits.SCRIPT_SILENCE",
            seconds,
            "silence of a script that holds nothing and waits for nothing",
            "Its connection is closed. The script connects again for its next request.",
        ),
        Bound(
            "limits.SCRIPT_RECLAIM",
            seconds,
            "the same while the hub or agent has as many connections as it accepts",
            "The session of the script that was silent longest ends.",
        ),
        Bound("hub._KEEP_AGENT", seconds, "life of an agent's session without a connection", "The session ends."),
    ),
    "sessions": (
        Bound(
            "limits.CHANNELS",
            number,
            "open channels of one session",
            "A further channel is refused. The session of a peer that does not read the refusals ends.",
        ),
        Bound("limits.MESSAGE_MAX", size, "one message", "The session ends, because the peer violates the protocol."),
        Bound("limits.OPEN_MAX", size, "the opening of a channel: a command with its environment", "The session ends."),
        Bound("limits.PIECES_MAX", size, "incomplete messages and openings of one session", "The session ends."),
        Bound(
            "limits.OPENINGS_MAX", size, "the openings of a session's open channels", "A further channel is refused."
        ),
        Bound("limits.CREDIT_PIPE", size, "unread bytes of one channel on a socket or pipe", "The sender waits."),
        Bound("limits.CREDIT_SERIAL", size, "the same on a serial line", "The sender waits."),
        Bound(
            "limits.UNREAD_MAX",
            size,
            "memory for the unread records of one session",
            "The channel that needs the most memory is reset, with the reason.",
        ),
        Bound(
            "limits.REPLIES_MAX",
            size,
            "replies that a peer of the hub does not read",
            "The hub does not take further requests of the peer. If more replies become due, the session ends.",
        ),
        Bound("limits.SCRIPT_REPLIES_MAX", size, "the same for a script of an agent", "The same."),
        Bound("limits.WINDOW_FRAMES", number, "frames in flight in each lane of a session", "The sender waits."),
        Bound(
            "limits.WINDOW_BYTES",
            size,
            "received bytes of a session that wait for a missing frame",
            "Further frames are dropped. The peer sends them again.",
        ),
        Bound("limits.PIPE_FRAME", size, "one frame on a socket or pipe", "A longer frame counts as noise."),
        Bound(
            "polls._POLLS",
            number,
            "polls (requests for an acknowledgement) with different numbers",
            "The numbers begin again at 1.",
        ),
        Bound("session._REPLIES", number, "answers to probes of the line that wait", "The oldest answer is dropped."),
        Bound("hello_timer._ANSWERS", number, "answers to hellos that wait", "Further hellos get no answer."),
        Bound(
            "limits.FOREIGN_LINES",
            number,
            "foreign lines inside one frame",
            "The frame counts as noise, and is sent again.",
        ),
        Bound(
            "limits.HELD_COUNT",
            number,
            "damaged pieces of frames that wait for a valid copy",
            "The oldest piece counts as noise.",
        ),
        Bound("limits.HELD_BYTES", size, "the size of these pieces together", "The oldest piece counts as noise."),
        Bound(
            "limits.REPAIR_MOST",
            size,
            "damaged frames that are searched for a repair at once",
            "The frames are dropped.",
        ),
        Bound(
            "compression._SHAPES",
            number,
            "stored texts of each lane of a compressed session",
            "Both ends remove the oldest text.",
        ),
    ),
    "logs": (
        Bound(
            "limits.LOG_BURST",
            number,
            "similar lines about one peer in a minute",
            "Further lines are counted, but not written.",
        ),
        Bound("limits.LOG_KINDS", number, "kinds of lines in a minute", "Further lines count as one kind."),
        Bound(
            "conversation._STATIONS_MAX",
            number,
            "other stations on one line that are reported",
            "Further stations are ignored.",
        ),
        Bound(
            "refusal.REFUSAL_MOST",
            size,
            "text that a caller keeps until its session begins",
            "Further text is dropped.",
        ),
        Bound("console._KEPT", size, "the console log of one line", "The oldest bytes are dropped."),
        Bound(
            "console._FOLLOWER_MAX",
            size,
            "text that a reader of a console has not read",
            "The reader loses the oldest pieces.",
        ),
        Bound(
            "changes._BEHIND",
            size,
            "changes that a reader of `linesync status --watch` has not read",
            "The reader loses the oldest changes, and gets their number.",
        ),
        Bound("watch._TRACE_BEHIND", size, "the same for a trace of frames", "The same."),
    ),
    "waits": (
        Bound(
            "waits.WAITS",
            number,
            "requests of all hosts that wait, or that are granted and unconfirmed",
            "Further requests are refused.",
        ),
        Bound("waits.WAITS_PER_HOST", number, "the same for the scripts of one host", "Further requests are refused."),
        Bound("waits.WAITS_PER_CLIENT", number, "the same for one script", "Further requests are refused."),
        Bound(
            "waiting._REPEATS",
            number,
            "requests with the same arrival id that wait",
            "Further requests are refused. The earlier requests continue to wait.",
        ),
        Bound("draining.DRAINS", number, "requests to drain the hub that wait", "Further requests are refused."),
        Bound(
            "kept_results.RESULTS_PER_HOST", number, "unconfirmed results of one host", "The oldest result is removed."
        ),
        Bound("kept_results.RESULT_LIFE", seconds, "the life of an unconfirmed result", "The result is removed."),
        Bound("membership.LEASE", seconds, "silence of a host", "The host is lost.", "hub --lease"),
    ),
    "names": (
        Bound("membership.HOSTS_MAX", number, "hosts, including lost ones", "A new host replaces a lost host."),
        Bound("membership.CAPABILITIES_MAX", number, "capabilities of one host", "The agent is refused."),
        Bound("membership.PUBLISHED_MAX", number, "published values of one host", "The agent is refused."),
        Bound("membership.PUBLISHED_BYTES", size, "one published value", "The value is refused."),
        Bound("names.NAME_BYTES", size, "the name of a barrier, lock, event ...", "The request is refused."),
        Bound(
            "names.WORD_CHARS",
            number,
            "characters of the name of a host or the tag of a member",
            "The name is refused.",
        ),
        Bound("members.MEMBERS_MAX", number, "members of one list", "The request is refused."),
        Bound("terms.PARTIES_MAX", number, "parties of a barrier", "The request is refused."),
        Bound(
            "history.NAMES_REMEMBERED",
            number,
            "barriers whose last generation is stored",
            "The oldest generation is removed.",
        ),
        Bound(
            "history.MEMBERS_REMEMBERED",
            number,
            "members in these generations",
            "The oldest list is removed.",
        ),
        Bound("semaphore.NAMES_MAX", number, "semaphores", "A further semaphore is refused."),
        Bound("lock.NAMES_MAX", number, "locks with an owner", "A further lock is refused."),
        Bound("event.SET_MAX", number, "events that are set", "A further event is refused."),
        Bound("event.NAMES_MAX", number, "events of one request", "The request is refused."),
        Bound("event.AWAITED_MAX", number, "events that all waits together name", "A further wait is refused."),
        Bound("namespaces.TOTAL", number, "namespaces with an owner", "A further namespace is refused."),
        Bound("namespaces.PER_HOST", number, "the same for one host", "A further namespace is refused."),
        Bound("owners._LIMIT", number, "processes of one host that own namespaces", "A further process is refused."),
    ),
    "data": (
        Bound("mailbox.ROOM", size, "memory for all messages", "A further message is refused."),
        Bound("mailbox.TOPICS_MAX", number, "topics with messages", "A message to a further topic is refused."),
        Bound("mailbox.MESSAGES_MAX", number, "messages of one topic", "A further message is refused."),
        Bound("mailbox.TEXT_MAX", size, "the items of one message", "The message is refused."),
        Bound("mailbox.ITEMS_MAX", number, "items of one message", "The message is refused."),
        Bound("mailbox.MOST", number, "messages in one answer", "The request is refused."),
        Bound(
            "gathering.ANSWER_ROOM",
            size,
            "bytes of messages in one answer",
            "The answer ends there; `wait-all` is refused.",
        ),
        Bound(
            "exchange.EXCHANGE_BYTES",
            size,
            "data of one member of an exchange",
            "The exchange is refused.",
            "hub --exchange-limit",
            1 << 20,
        ),
        Bound("blobs.BOUND", size, "data of all exchanges of a hub", "A further exchange is refused."),
        Bound(
            "blobs.MEMORY",
            size,
            "the part of this data in memory, in a hub that stores no state",
            "The rest goes to temporary files (TMPDIR).",
        ),
        Bound("member_data.PIECE", size, "data of one member that waits for the disk", "The sender waits."),
    ),
    "groups": (
        Bound(
            "groups.GROUPS_MAX",
            number,
            "groups that are kept",
            "The oldest group without members is forgotten. If all have members, a further group is refused.",
        ),
        Bound("group_limits.MEMBERS_MAX", number, "members of one group", "A further member is refused."),
        Bound("group_limits.SERVICES_MAX", number, "services of one member", "The member is refused."),
        Bound(
            "group_limits.MEMBERS_OF_HOST", number, "members of one host in all groups", "A further member is refused."
        ),
        Bound("group_limits.SERVICES_OF_HOST", number, "services of these members", "Further services are refused."),
        Bound(
            "messages.WINDOW",
            size,
            "messages of one member that were not sent to all members",
            "The member waits before it can send another one.",
        ),
        Bound(
            "messages.ROOM_OF_LOGS",
            size,
            "events of all groups that were not sent to all members",
            "Senders wait in the groups that have more than 256 KiB of events.",
        ),
        Bound(
            "messages.ROOM_OF_LOG", size, "events of one group that were not sent to all members", "All senders wait."
        ),
        Bound(
            "messages.SLOW",
            seconds,
            "time that senders wait for a member that receives nothing",
            "The member is removed from the group.",
        ),
        Bound(
            "messages.LOG_MAX",
            number,
            "events that were not sent to all members",
            "A member that asks for nothing for 30 s is removed.",
        ),
        Bound("messages.MESSAGE_BYTES", size, "one message of a group", "The message is refused."),
        Bound(
            "messages.PART_MAX", size, "one part of a message on the line, and the state of a group", "It is refused."
        ),
        Bound(
            "group.SHARED",
            seconds,
            "time that a new member waits until all members have acknowledged the present view",
            "The next view is formed.",
        ),
        Bound(
            "group.SERVICES_SHOWN",
            number,
            "services in the shown state of a group",
            "Services without an event are omitted, and then further ones.",
        ),
        Bound("group.MISSING_MAX", number, "members that have left and are named", "The oldest one is forgotten."),
        Bound("round.PAST_MAX", number, "earlier rounds of one group", "The oldest one is forgotten."),
        Bound(
            "members.ENDED_MAX",
            number,
            "removed members that have not been notified",
            "The oldest one gets an error without the cause.",
        ),
    ),
    "jobs": (
        Bound(
            "serve.JOBS",
            number,
            "commands and file transfers of one script that run on one host at the same time",
            "A further command or transfer is refused.",
        ),
        Bound(
            "serve.HOST_JOBS", number, "the same for all scripts together", "A further command or transfer is refused."
        ),
        Bound(
            "serve.CONNECTIONS",
            number,
            "forwarded connections and listening sockets of one script on one host; a connection with many bytes counts twice",
            "A further connection is refused.",
        ),
        Bound(
            "serve.HOST_CONNECTIONS", number, "the same for all scripts together", "A further connection is refused."
        ),
        Bound(
            "forwarding._WAITING",
            number,
            "accepted connections of one listening socket that its client has not taken",
            "Further connections wait in the kernel.",
        ),
        Bound(
            "limits.FORWARD_MOST",
            size,
            "bytes of one forwarded connection on their way, in each direction",
            "The sender waits. More than twice as many bytes reset the connection.",
        ),
        Bound("connection._PIECES", number, "pieces of these bytes that wait", "The connection is reset."),
        Bound("window._MARKS", number, "bytes whose time is measured", "The next bytes are not measured."),
        Bound(
            "limits.KEPT",
            size,
            "output of a command that its client has not taken, in the agent; the same for its stdin, in both ends",
            "The command waits until its client takes some of the output, or the client waits until the command reads.",
        ),
        Bound(
            "resuming._REMEMBERED",
            number,
            "ended commands of a host to which a client may still return",
            "The host forgets the oldest one, and starts no command for a client that returns to an older one.",
        ),
        Bound(
            "records.RUNNING",
            number,
            "detached processes of one host that run at the same time",
            "A further process is refused.",
        ),
        Bound("records.KEPT", number, "ended detached processes of one host", "The oldest one is forgotten."),
        Bound("records.KEPT_TIME", days, "the time for which a host remembers them", "The process is forgotten."),
        Bound(
            "process.OUTPUT_LIMIT",
            size,
            "kept output of one detached process",
            "The oldest output is dropped, and its size is reported.",
            "agent --output-limit",
            1 << 20,
        ),
        Bound(
            "supervisor._CONNECTIONS",
            number,
            "clients that are attached to one detached process",
            "A further client is refused.",
        ),
        Bound("desk._HELD", size, "received data of one file that waits for the disk", "The sender waits."),
        Bound("limits.COPY_ENTRIES", number, "files and folders of one copy", "The copy fails."),
        Bound("contents.BOUND", number, "contents that a host remembers", "It forgets the oldest ones."),
        Bound("parts.KEPT", seconds, "age of an unused part of a file", "The part is removed."),
    ),
    "agents": (
        Bound(
            "relayed._QUEUE_MAX",
            size,
            "requests of all scripts that wait for the hub",
            "The agent does not take further requests until the hub has taken some.",
        ),
        Bound(
            "relayed._REMEMBERED",
            number,
            "granted requests of one script that it has not confirmed",
            "The oldest request can no longer be confirmed.",
        ),
    ),
}
"""The rows of each table."""


def _table(name: str) -> str:
    rows = ["| bound | default | option | at the bound |\n", "| --- | --- | --- | --- |\n"]
    for bound in BOUNDS[name]:
        option = f"`linesync {bound.option}`" if bound.option else ""
        rows.append(f"| {bound.what} | {bound.unit(bound.value)} | {option} | {bound.at} |\n")
    return "".join(rows)


_PAGE = GeneratedPage(PAGE, _table, "bounds")
differences = _PAGE.differences

if __name__ == "__main__":
    sys.exit(_PAGE.main())
