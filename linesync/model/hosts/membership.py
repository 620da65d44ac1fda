"""The registry of hosts, and whether each of them is alive.

1. An agent registers its host's name with a session, a boot id (one for each life of the agent) and a line.
2. Any valid frame renews the host's lease (20 s by default). The loss of a line alone does not end a session: the session
   resumes if a line is available again within the lease. When the lease ends, the host is lost, and the loss is reported
   once. If the session resumes later, the host is up again, but the waits that have failed stay failed.
3. A name belongs to one life of an agent at a time. A new session replaces the old session of a name in three cases. It has
   the same boot id, so it is the same life. The old session is lost or has ended. Or the old session cannot send any more,
   because its line is down or the new session uses the same line. The replacement ends the old life as *restarted*, unless
   its loss was already reported. Any other session is refused, and the error names the two agents. A host that restarted
   must register again within one lease. Otherwise it is lost with the cause *line lost*, which is reported too.
4. An agent may announce that its system is going down (``going_down``). The end of its session then counts as a restart, and
   its host has 600 s to register again, because a reboot takes longer than a lease. Its holds still end with the lease.
5. A hub that was itself stalled could not receive frames. ``extend_all`` therefore gives each host a full lease.
6. Lost hosts stay in the table until new hosts need their entries, so that ``status`` can show them with the reason.

Calls for a session that is not the current session of its host are ignored. A valid frame moves the end of the lease but
does not set the timer again. A timer that expires before the end of the lease is set again, about once in each lease.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ...errors import LinesyncFailed, NotAllowed, UsageError
from ..decisions import HostEvent, HostLost, HostUp
from ..journal import Journal
from ..kept.objects import KeptHost
from ..kept.rows import Rows, by_number
from ..participants import HUB, Cause, check_host, check_name, seconds_in_words
from ..state.hosts import HostState
from ..timers import Timers

__all__ = ["LEASE", "REBOOT_PATIENCE", "Membership"]

LEASE = 20.0  # seconds without a valid frame after which a host is lost
REBOOT_PATIENCE = 600.0  # seconds in which a host whose system went down may register again
RECENT = 3.0  # seconds since the last frame of a host within which the hub does not need to ask for a sign of life
QUIET = 0.4  # the share of a lease without a frame after which the state of a host is "quiet": 8 s of 20 s
HOSTS_MAX = 4096  # the maximum number of hosts in the table, including lost hosts
CAPABILITIES_MAX = 64  # the maximum number of capabilities of one host, each a name of up to 200 bytes
PUBLISHED_MAX = 64  # the maximum number of published values of one host; their keys are names too
SYSTEM_CHARS = 64  # the maximum length of the boot id of a system, in characters
PUBLISHED_BYTES = 1024  # the maximum size of one published value, in bytes of UTF-8
BOOT_SHOWN = 4  # characters of a boot id in errors
_GOING_DOWN = "its system is going down"


@dataclass(slots=True, eq=False)
class _Host:
    name: str
    session: str
    boot: str
    line: str
    since: float
    heard: float
    lease_end: float
    capabilities: tuple[str, ...] = ()
    published: dict[str, str] = field(default_factory=dict)
    system: str = ""
    down: str | None = None  # the reason why its line is down, possibly empty; None while the line is up
    lost: Cause | None = None
    unheard: bool = False  # it was restored from the store, and has sent no frame since then
    number: int = 0  # grows in the order in which hosts were first seen
    going_down: bool = False  # its agent announced that its system is going down
    ended: bool = False  # the session is over
    why: str = ""

    def line_in_words(self) -> str:
        return f"its line {self.line} is down" + (f" ({self.down})" if self.down else "")

    def deadline(self) -> float:
        """The time at which the host is lost if it sends no frame, or at which a restarted host is reported again."""
        rebooting = self.going_down and self.lost is Cause.RESTARTED
        return max(self.lease_end, self.since + REBOOT_PATIENCE) if rebooting else self.lease_end


class Membership:
    """The registry of hosts. All times are monotonic seconds.

    :param lease: seconds without a valid frame after which a host is lost.
    :param journal: gets the changes; by default a journal that is off.
    :ivar version: grows when a host comes, goes, or publishes other values.
    """

    def __init__(self, *, lease: float = LEASE, journal: Journal | None = None) -> None:
        self._lease = lease
        self._journal = journal or Journal(on=False)
        self._journal.source("host", self._kept, lambda: self._hosts)
        self._hosts: dict[str, _Host] = {}
        self._leases: Timers[str] = Timers()
        self._asked: dict[str, None] = {}
        self.version = 0

    def __len__(self) -> int:
        return len(self._hosts)

    def register(
        self,
        name: str,
        session: str,
        boot: str,
        line: str,
        now: float,
        *,
        capabilities: Iterable[str] = (),
        published: Mapping[str, str] | None = None,
        system: str = "",
    ) -> list[HostEvent]:
        """Register a host. The same session may register again with other values.

        :param boot: the boot id of its agent.
        :param system: the boot id of its system; empty if it is not known.
        :param line: the label of the host's line, different for each byte pipe.
        :returns: the changes: HostLost for an earlier life that is replaced, and HostUp.
        :raises UsageError: a bad name, capability or published value.
        :raises NotAllowed: the name is the hub's own, or another live agent has it.
        :raises LinesyncFailed: there are too many live hosts.
        """
        check_host(name)
        if name == HUB:
            raise NotAllowed("the name 'hub' is reserved for the controller; start this agent with another --name")
        capability_names = tuple(capabilities)
        values = dict(published or {})
        _check_values(capability_names, values)
        if len(system) > SYSTEM_CHARS or not system.isprintable():
            raise UsageError(f"invalid system boot id: expected at most {SYSTEM_CHARS} printable characters")
        old = self._hosts.get(name)
        if old is not None and old.session == session and not old.ended:
            old.capabilities, old.published = capability_names, values
            self.version += 1
            self._journal.mark("host", name)
            return self.line_back(name, session, line, now)
        if old is not None:
            self._refuse_second_agent(old, boot, line, now)
        else:
            self._make_room()
        events: list[HostEvent] = []
        again = _how_it_ended(old, boot, system) if old is not None else ""
        if old is not None and old.lost is None:
            events += self._lose(old, Cause.RESTARTED, f"{again or 'its agent started again'} on {line}", now)
        host = _Host(name, session, boot, line, now, now, now + self._lease, capability_names, values, system=system)
        host.number = old.number if old is not None else self._journal.number()
        self._hosts[name] = host
        self.version += 1
        self._journal.mark("host", name, new=old is None)
        self._leases.set(name, host.lease_end)
        return [*events, HostUp(host=name, session=session, resumed=False, again=again)]

    def heard(self, name: str, session: str, now: float) -> list[HostEvent]:
        """Renew the lease of a host that has sent a valid frame. Return HostUp if the host was lost."""
        host = self._current(name, session)
        if host is None:
            return []
        host.heard = now
        host.unheard = False
        host.lease_end = now + self._lease
        if host.lost is None:
            return []
        host.lost = None
        self.version += 1
        host.why = ""
        host.since = now
        self._leases.set(name, host.lease_end)
        self._journal.mark("host", name)
        return [HostUp(host=name, session=session, resumed=True)]

    def line_lost(self, name: str, session: str, why: str = "") -> None:
        """Record that a host's line was lost. Its lease continues.

        :param why: the reason as a clause; empty if it is not known.
        """
        host = self._current(name, session)
        if host is not None and host.down != why:
            host.down = why
            self._journal.mark("host", name)

    def line_back(self, name: str, session: str, line: str, now: float) -> list[HostEvent]:
        """Record that the session resumed, possibly on another line. Return HostUp if the host was lost."""
        host = self._current(name, session)
        if host is None:
            return []
        if host.down is not None or host.line != line:
            host.down = None
            host.line = line
            self._journal.mark("host", name)
        return self.heard(name, session, now)

    def going_down(self, name: str, session: str) -> None:
        """Record the announcement of an agent that its system is going down. Its session will soon end."""
        host = self._current(name, session)
        if host is not None and not host.going_down:
            host.going_down = True
            self._journal.mark("host", name)

    def ended(self, name: str, session: str, cause: Cause, why: str, now: float) -> list[HostEvent]:
        """Record the end of a session: the agent stopped or restarted. Return HostLost unless it was already reported.

        A host that restarted may register again within its lease, and is lost after that. An agent that stops while its
        system is going down counts as restarted.

        :param why: the reason as a clause.
        """
        host = self._current(name, session)
        if host is None:
            return []
        host.ended = True
        self._journal.mark("host", name)
        if host.lost:
            return []
        if host.going_down:
            cause, why = Cause.RESTARTED, _GOING_DOWN
        events = self._lose(host, cause, why, now)
        if cause is Cause.RESTARTED:
            host.lease_end = now + self._lease
            self._leases.set(name, host.deadline())
        return events

    def extend_all(self, now: float) -> None:
        """Give every host a full lease from now, because the hub itself was stalled."""
        for host in self._hosts.values():
            self._renew(host, now)

    def _renew(self, host: _Host, now: float) -> None:
        """Start a host's lease again, if it runs."""
        host.lease_end = now + self._lease
        if host.lost in (None, Cause.RESTARTED):
            self._leases.set(host.name, host.deadline())

    def absent(self, name: str) -> Cause | None:
        """The cause of a host's absence; None while it is alive. The hub itself is always alive."""
        if name == HUB:
            return None
        host = self._hosts.get(name)
        return Cause.NEVER_SEEN if host is None else host.lost

    def lease_end(self, name: str) -> float:
        """The end of the current or last lease of a host, in seconds. Its clients may use their holds until then."""
        return self._hosts[name].lease_end

    def lost(self, name: str) -> tuple[Cause, str] | None:
        """The cause and the reason for the loss of a host; None while it is alive or if it was never seen."""
        host = self._hosts.get(name)
        return (host.lost, host.why) if host is not None and host.lost is not None else None

    def silent(self, name: str, now: float) -> bool:
        """Whether a host has sent no frame for three seconds. The hub must then ask for a sign of life before a release."""
        host = self._hosts.get(name)
        return host is not None and (host.unheard or now - host.heard > RECENT)

    def remark(self, name: str) -> str:
        """A short text about a host that is not lost: ``never seen``, ``its line ... is down``, or an empty text."""
        if name == HUB:
            return ""
        host = self._hosts.get(name)
        if host is None:
            return str(Cause.NEVER_SEEN)
        return host.line_in_words() if host.down is not None else ""

    def published(self, name: str) -> Mapping[str, str]:
        """The values that a host publishes; empty for a host that was never seen."""
        host = self._hosts.get(name)
        return host.published if host is not None else {}

    def capabilities(self, name: str) -> tuple[str, ...]:
        """The capabilities of a host; empty for a host that was never seen."""
        host = self._hosts.get(name)
        return host.capabilities if host is not None else ()

    def system(self, name: str) -> str:
        """The boot id of the system of a host; empty if it is not known."""
        host = self._hosts.get(name)
        return host.system if host is not None else ""

    def names(self) -> list[str]:
        """The hosts in the table, including lost hosts."""
        return list(self._hosts)

    def all_published(self) -> list[tuple[str, Mapping[str, str]]]:
        """The published values of each host in the table, including lost hosts."""
        return [(host.name, host.published) for host in self._hosts.values()]

    def ask(self, name: str) -> None:
        """Record that the hub must ask a host for a sign of life."""
        self._asked[name] = None

    def take_asked(self) -> list[str]:
        """Return the hosts that the hub must ask for a sign of life, and clear the list."""
        asked, self._asked = list(self._asked), {}
        return asked

    def next_timer(self) -> float | None:
        """The time of the next :meth:`handle_timer`, or None; never later than the end of the first lease."""
        return self._leases.next_timer()

    def handle_timer(self, now: float) -> list[HostEvent]:
        """Return HostLost for each host whose lease has ended."""
        events: list[HostEvent] = []
        for name in self._leases.pop_due(now):
            host = self._hosts[name]
            if host.deadline() > now:
                self._leases.set(name, host.deadline())
            elif host.going_down and host.lost is None:
                events += self._lose(host, Cause.RESTARTED, _GOING_DOWN, now)
                self._leases.set(name, host.deadline())
            else:
                events += self._lose(host, Cause.LINE_LOST, self._why_silent(host, now), now)
        return events

    def status(self, now: float) -> list[HostState]:
        """The state of each host, sorted by name."""
        return [self._state(host, now) for _, host in sorted(self._hosts.items())]

    # -- storing ---------------------------------------------------------------------------------------------

    def _kept(self, name: str) -> KeptHost | None:
        host = self._hosts.get(name)
        if host is None:
            return None
        return KeptHost(
            number=host.number,
            session=host.session,
            boot=host.boot,
            line=host.line,
            since=host.since,
            heard=host.heard if host.lost is not None else None,
            capabilities=host.capabilities,
            published=host.published,
            down=host.down,
            lost=str(host.lost) if host.lost is not None else None,
            ended=host.ended,
            why=host.why,
            system=host.system,
            going_down=host.going_down,
        )

    def restore(self, rows: Rows) -> None:
        """Restore the hosts. A host that is alive gets a new lease, and counts as silent until its first frame.

        :raises BadRow: a row does not fit.
        """

        def restore_row(key: list[str], kept: KeptHost) -> None:
            (name,) = key
            check_host(name)
            heard = rows.now if kept.heard is None else kept.heard + rows.shift
            host = _Host(name, kept.session, kept.boot, kept.line, kept.since + rows.shift, heard, 0.0)
            host.capabilities, host.published, host.down = kept.capabilities, kept.published, kept.down
            host.lost = Cause(kept.lost) if kept.lost is not None else None
            host.ended, host.why, host.unheard = kept.ended, kept.why, kept.heard is None
            host.number, host.system = self._journal.numbered(kept.number), kept.system
            host.going_down = kept.going_down
            self._hosts[name] = host
            self.version += 1
            self._renew(host, rows.now)

        rows.each("host", KeptHost, restore_row, by_number)

    # -- inside ----------------------------------------------------------------------------------------------

    @staticmethod
    def _why_silent(host: _Host, now: float) -> str:
        if host.lost is Cause.RESTARTED and host.going_down:
            return (
                f"its system went down {seconds_in_words(now - host.since)} ago and its agent has not registered since"
            )
        if host.lost is Cause.RESTARTED:
            return f"its agent restarted {seconds_in_words(now - host.since)} ago and has not registered since then"
        if host.down is not None:
            return host.line_in_words()
        return f"nothing heard on {host.line} for {seconds_in_words(now - host.heard)}"

    def _current(self, name: str, session: str) -> _Host | None:
        host = self._hosts.get(name)
        return host if host is not None and host.session == session and not host.ended else None

    def _refuse_second_agent(self, old: _Host, boot: str, line: str, now: float) -> None:
        silenced = old.lost is not None or old.down is not None or old.line == line
        if silenced or old.boot == boot:
            return
        raise NotAllowed(
            f"the name '{old.name}' is taken by the agent on {old.line} (boot {old.boot[:BOOT_SHOWN]}…), "
            f"heard {seconds_in_words(now - old.heard)} ago; "
            "start this agent with another --name, or stop the other agent",
            details={"host": old.name, "line": old.line, "boot": old.boot, "heard": now - old.heard},
        )

    def _make_room(self) -> None:
        if len(self._hosts) < HOSTS_MAX:
            return
        lost = min((h for h in self._hosts.values() if h.lost), key=lambda h: h.since, default=None)
        if lost is None:
            raise LinesyncFailed(f"this hub already serves {HOSTS_MAX} hosts, which is the limit; stop an agent first")
        del self._hosts[lost.name]
        self._leases.cancel(lost.name)  # a host that restarted has a lease in which it may register again
        self._journal.mark("host", lost.name)

    def _lose(self, host: _Host, cause: Cause, why: str, now: float) -> list[HostEvent]:
        host.lost = cause
        self.version += 1
        host.why = why
        host.since = now
        self._leases.cancel(host.name)
        self._journal.mark("host", host.name)
        return [HostLost(host=host.name, session=host.session, cause=cause, why=why)]

    def _state(self, host: _Host, now: float) -> HostState:
        quiet = host.down is not None or now - host.heard > QUIET * self._lease
        return HostState(
            name=host.name,
            state="lost" if host.lost else "quiet" if quiet else "up",
            cause=str(host.lost) if host.lost else None,
            why=host.why or (host.line_in_words() if host.down is not None else ""),
            since=now - host.since,
            heard=now - host.heard,
            session=host.session,
            boot=host.boot,
            line=host.line,
            capabilities=host.capabilities,
            published=dict(host.published),
            system=host.system,
        )


def _how_it_ended(old: _Host, boot: str, system: str) -> str:
    """The end of the earlier life of a host, as a clause; empty if it is not known, or if the life continues."""
    if old.boot == boot or not (old.system and system):
        return ""
    return "its agent was restarted" if old.system == system else "it was rebooted"


def _check_values(capabilities: tuple[str, ...], published: Mapping[str, str]) -> None:
    if len(capabilities) > CAPABILITIES_MAX or len(published) > PUBLISHED_MAX:
        raise UsageError(
            f"a host has at most {CAPABILITIES_MAX} capabilities and {PUBLISHED_MAX} published values; omit some of them"
        )
    for capability in capabilities:
        check_name("capability", capability)
    for key, value in published.items():
        check_name("published value's", key)
        if len(value) > PUBLISHED_BYTES or len(value.encode(errors="surrogatepass")) > PUBLISHED_BYTES:
            raise UsageError(f"the published value {key} is longer than {PUBLISHED_BYTES} bytes; publish less")
