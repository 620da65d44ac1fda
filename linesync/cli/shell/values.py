"""Completion of the values of options and arguments. The metavar determines the kind of values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ...client.settings.places import find_hub, setting
from ...errors import LinesyncError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from ...client.blocking import BlockingClient

    T = TypeVar("T")

__all__ = ["NOT_COMPLETED", "VALUES", "Found", "HubNames", "Query", "kind"]

_PATIENCE = 1.0  # seconds for which the shell waits for the hub
CONTROLLER = "hub"


class Found:
    """The candidates for one word.

    :ivar words: the candidates and their descriptions.
    :ivar also: the kind of words that bash, zsh or fish adds: ``nothing``, ``files``, ``directories`` or ``commands``.
    :ivar prefix: the text at the beginning of the word that is not part of a file name, as in ``--file=``.
    """

    def __init__(self, words: Iterable[tuple[str, str]] = (), *, also: str = "nothing", prefix: str = "") -> None:
        self.words = list(words)
        self.also = also
        self.prefix = prefix

    def with_prefix(self, prefix: str) -> Found:
        """The same candidates for a text that begins with this prefix."""
        return Found(
            [(prefix + word, about) for word, about in self.words], also=self.also, prefix=prefix + self.prefix
        )

    def matching(self, text: str) -> Found:
        """Only the candidates that begin with this text."""
        return Found([row for row in self.words if row[0].startswith(text)], also=self.also, prefix=self.prefix)


class HubNames:
    """The names that the hub knows. The lists are empty if the hub does not answer in time.

    :param endpoint: the endpoint of the hub or agent; empty for the default.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def hosts(self) -> list[tuple[str, str, str]]:
        """The name, the state and the published role of the controller and of each host."""
        rows = self._ask(lambda client: client.hosts())
        if rows is None:
            return []
        hosts = [(host.name, host.state, host.published.get("role", "")) for host in rows]
        return [(CONTROLLER, "the controller", ""), *hosts]

    def names(self) -> list[tuple[str, str, str]]:
        """The kind, the namespace and the name of each barrier, lock and so on that is in use.

        The kind is the name of the list in ``status``, as in ``barriers``.
        """
        status = self._ask(lambda client: client.status())
        kinds = ("barriers", "semaphores", "locks", "exchanges", "events", "topics", "groups")
        return [(kind, state.namespace, state.name) for kind in kinds for state in getattr(status, kind, ())]

    def namespaces(self) -> list[tuple[str, str]]:
        """The name of each namespace that is in use, and its owner's host; the host is empty without an owner."""
        found = self._ask(lambda client: client.namespaces()) or []
        return [(space.name, space.owner.host if space.owner is not None else "") for space in found]

    def processes(self, *, running: bool) -> list[tuple[str, str]]:
        """The handle and the command of each detached process.

        :param running: only those that run.
        """

        def ask(client: BlockingClient) -> list[tuple[str, str]]:
            hosts = [CONTROLLER, *(host.name for host in client.hosts() if host.state == "up")]
            found = [process for host in hosts for process in client.processes(host)]
            return [(one.process, one.argv[0]) for one in found if one.state == "running" or not running]

        return self._ask(ask) or []

    def _ask(self, question: Callable[[BlockingClient], T]) -> T | None:
        """Ask the hub. Returns None if there is no answer within a second.

        The function uses a thread, because the look-up of a host's address cannot be interrupted.
        """
        from threading import Thread

        found: list[T] = []

        def work() -> None:
            try:
                endpoint = self._endpoint or find_hub()
                if not endpoint.startswith(("unix:", "tcp:")):  # completion must not open a device or start a program
                    return
                from ...client.blocking import connect_blocking

                with connect_blocking(endpoint) as client:
                    found.append(question(client))
            except (LinesyncError, OSError):
                pass  # no names are completed

        thread = Thread(target=work, daemon=True)
        thread.start()
        thread.join(_PATIENCE)
        return found[0] if found else None


class Query:
    """A word to complete.

    :ivar text: the beginning of the word, up to the cursor.
    :ivar command: the name of the command.
    :ivar arguments: the arguments before the word.
    :ivar hub_names: the names that the hub knows.
    """

    def __init__(self, text: str, namespace: str, command: str, arguments: Sequence[str], hub_names: HubNames) -> None:
        self.text = text
        self.command = command
        self.arguments = arguments
        self.hub_names = hub_names
        self._namespace = namespace

    @property
    def namespace(self) -> str:
        return self._namespace or str(setting("namespace", self.command) or "default")


Kind = Callable[[Query], Found]


def _nothing(query: Query) -> Found:
    return Found()


def _files(query: Query) -> Found:
    return Found(also="files")


def _directories(query: Query) -> Found:
    return Found(also="directories")


def _words(*words: str) -> Kind:
    return lambda query: Found([(word, "") for word in words])


def _named(kind: str) -> Kind:
    """Complete the names of this kind in the namespace. An empty kind means the names of all kinds."""

    def find(query: Query) -> Found:
        namespace = query.namespace
        found = {
            name for name_kind, space, name in query.hub_names.names() if space == namespace and kind in ("", name_kind)
        }
        return Found((name, "") for name in sorted(found - {*query.arguments}))

    return find


def _hosts(query: Query) -> Found:
    return Found((name, state) for name, state, _ in query.hub_names.hosts())


def _lines(query: Query) -> Found:
    """Complete a host with a line, or a port of the hub. A port is often the path of a device."""
    return Found([row for row in _hosts(query).words if row[0] != CONTROLLER], also="files")


def _host_list(query: Query) -> Found:
    """Complete a list of hosts with commas. Hosts that are already in the list are omitted."""
    head, comma, query.text = query.text.rpartition(",")
    listed = head.split(",")
    return Found((head + comma + name, state) for name, state in _hosts(query).words if name not in listed)


def _place(query: Query) -> Found:
    """Complete a local path, or the host of ``HOST:PATH``. Paths on other hosts are not completed."""
    host, colon, _ = query.text.partition(":")
    if "/" in host:
        return Found(also="files")
    if colon:
        return Found()
    return Found([(f"{name}:", state) for name, state in _hosts(query).words], also="files")


def _endpoint(query: Query) -> Found:
    if query.text.startswith("unix:"):
        return Found(also="files", prefix="unix:")
    words = [("unix:", "the path of a socket"), ("tcp://", "host:port")]
    if query.command == "agent":
        words.append(("auto", "search for the line"))
    return Found(words, also="files")


def _address(query: Query) -> Found:
    """Complete the path of a unix socket, on this machine or after the ``=`` of a forward."""
    head, equals, _ = query.text.rpartition("=")
    for prefix in (f"{head}{equals}unix:", head + equals):
        if query.text.startswith(prefix):
            return Found(also="files", prefix=prefix)
    return Found()


def _processes(query: Query) -> Found:
    """Complete a host for ``proc ls``, and the handle of a process for its other actions."""
    if query.arguments[:1] == ["ls"]:
        return _hosts(query)
    return Found(sorted(query.hub_names.processes(running=query.arguments[:1] in (["attach"], ["kill"]))))


def _signals(query: Query) -> Found:
    import signal

    return Found((one.name.removeprefix("SIG"), "") for one in signal.Signals)


def _namespaces(query: Query) -> Found:
    return Found(sorted(query.hub_names.namespaces()))


def _namespaces_to_end(query: Query) -> Found:
    """Complete a namespace that has an owner, for ``namespace end``."""
    return Found([row for row in _namespaces(query).words if row[1] and query.arguments == ["end"]])


def _file_or_group(query: Query) -> Found:
    """Complete a file for ``phases check`` and ``run``, and a group for its other actions."""
    if query.arguments[:1] in (["check"], ["run"]):
        return Found(also="files")
    return _named("groups")(query)


def _roles(query: Query) -> Found:
    return Found((role, "") for role in sorted({role for _, _, role in query.hub_names.hosts() if role}))


def _permissions(query: Query) -> Found:
    from ...protocol.operations import PERMISSIONS

    return Found((name, "") for name in PERMISSIONS)


def _users(query: Query) -> Found:
    from pwd import getpwall

    return Found((user.pw_name, "") for user in getpwall())


def _unix_groups(query: Query) -> Found:
    from grp import getgrall

    return Found((group.gr_name, "") for group in getgrall())


def _rules(query: Query) -> Found:
    from ...testing.conform import RULES, WATCHED

    return Found((rule.id, rule.does) for rule in (*RULES, *WATCHED))


def _drop_in(query: Query) -> Found:
    from ..compat import MODULES

    return Found([("install", "install all of them"), *((name, "") for name in MODULES)])


def _drop_in_arguments(query: Query) -> Found:
    if query.arguments[:1] != ["install"]:
        return Found(also="files")
    return Found([("--force", "replace other files")], also="directories")


VALUES: dict[str | tuple[str, str], Kind] = {
    "A,B#1,...": _host_list,
    "A,B,...": _host_list,
    "D": _directories,
    "DST": _place,
    "ENDPOINT": _endpoint,
    "F": _files,
    "FILE": _files,
    "FILE|GROUP": _file_or_group,
    "G": _unix_groups,
    "GROUP": _named("groups"),
    "HOST": _lines,
    "HOST[,HOST...]": _host_list,
    "[USER@]HOST": _hosts,
    "HOW": _words("cyclic", "once", "linger="),
    "ID": _named("topics"),
    "MEMBER": _hosts,
    "NS": _namespaces,
    "PATH": _files,
    "PORT": _endpoint,
    "PROC": _processes,
    "ROLE": _roles,
    "SIG": _signals,
    "SRC": _place,
    "LISTEN": _address,
    "LISTEN=TARGET": _address,
    "TARGET": _address,
    "...": _drop_in_arguments,
    "bash|zsh|fish": _words("bash", "zsh", "fish"),
    "check|run|status|log|rerun|stop": _words("check", "run", "status", "log", "rerun", "stop"),
    "install|NAME": _drop_in,
    ("barrier", "NAME"): _named("barriers"),
    ("conform", "ID"): _rules,
    ("event", "NAME"): _named("events"),
    ("exchange", "NAME"): _named("exchanges"),
    ("lock", "NAME"): _named("locks"),
    ("namespace", "NAME"): _namespaces_to_end,
    ("reset", "NAME"): _named(""),
    ("sem", "NAME"): _named("semaphores"),
    ("policy", "FROM"): _hosts,
    ("policy", "TO"): _hosts,
    ("policy", "DO"): _permissions,
    "USER": _users,
}
"""The function that completes a value. The key is a metavar, or a command and a metavar."""
NOT_COMPLETED = (
    *("ADDRESS", "B", "BOOT", "C", "COMMAND", "COUNT", "DATA", "DELTA", "DIR", "K=V", "K[=V]"),
    *("MIB", "N", "NAME", "OPTION", "PID", "REASON", "S", "SERVICE", "TAG", "TOKEN"),
)
"""The metavars without completion: numbers, free text, and values that only another host knows."""


def kind(command: str, metavar: str) -> Kind:
    """The function that completes a value with this metavar."""
    return VALUES.get((command, metavar)) or VALUES.get(metavar) or _nothing
