"""Reads the file that declares the services of a group. An unknown key and a value of the wrong type are errors, so that no key
is ignored silently. The error names the file, the key and the expected value."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from ...errors import UsageError
from ...frozen_record import Record
from ..hosts.members import unfold
from ..names import check_name
from .declarations import STARTED, STEPS, Declaration
from .group_limits import BACKOFF_MAX, ID_MAX, MEMBERS_MAX, POLICIES, RETRIES_MAX, SERVICES_MAX
from .order import Place, in_order, places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

__all__ = ["SERVICE", "TOP", "ServicesFile", "read_services"]

_SHELL: Final = ("/bin/sh", "-c")
_SHOWN = 64  # the maximum number of characters of a wrong value in an error


class ServicesFile(Record):
    """The declarations of a group."""

    group: str
    """The name of the group."""
    services: tuple[Declaration, ...]
    """The services, sorted by id."""
    commands: Mapping[str, Mapping[str, tuple[str, ...]]]
    """The commands of each service, by its name and the step: the program and its arguments."""
    quorum: int = 0
    """The smallest number of members with which services start."""
    init: str = "first"
    """``first``: the ``init`` of all services runs first; ``in-turn``: it runs directly before ``process`` of its service."""
    activate: str = "after"
    """``after``: ``activate`` runs after the barrier; ``before``: it runs directly after ``process``."""
    on_failure: str = "retry"
    """The reaction to a failed or late step: ``retry``, ``exclude`` (the member), or ``stop``."""
    retries: int = 5
    """The maximum number of retries. After them, the round stays failed."""
    backoff: float = 1.0
    """Seconds until the first retry. Each further delay is twice as long."""


def read_services(text: str, path: str) -> ServicesFile:
    """Read the text of a file.

    :param path: the path of the file, for the errors.
    :raises UsageError: the text is not TOML, or a key or value is invalid. The error names the key and the expected value.
    """
    try:
        document = tomllib.loads(text)
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}; correct the file") from None
    top = _Table(path, "", document, TOP)
    commands: dict[str, dict[str, tuple[str, ...]]] = {}
    declared = []
    for name, table in top.values.get("service", {}).items():
        if not isinstance(table, dict):
            raise top.wrong(f"service.{name}", table, "a table, as in [service.network]")
        found = _Table(path, f"service.{name}.", table, SERVICE)
        commands[name] = {step: found.values[step] for step in STEPS if step in found.values}
        declared.append(_declaration(name, found))
        if declared[-1].keystone and not declared[-1].checked:
            raise top.wrong(
                f"service.{name}.keystone", True, "a check in the same table, which notices the end of the service"
            )
    try:
        check_name("group", top.values.get("group", "services"))
        services = tuple(in_order(declared))
        _check_count(places(services))
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}") from None
    terms = {key.replace("-", "_"): value for key, value in top.values.items() if key not in ("group", "service")}
    return ServicesFile(top.values.get("group", "services"), services, commands, **terms)


def _check_count(found: Iterable[Place]) -> None:
    """Refuse more services of one host, with their gates, than a member may have; raises UsageError."""
    counts = Counter(host for place in found for host in place.declaration.hosts or ("",))
    most = counts.pop("", 0) + max(counts.values(), default=0)
    if most > SERVICES_MAX:
        raise UsageError(f"a host has {most} services with their gates; it may have {SERVICES_MAX}, so declare fewer")


def _declaration(name: str, table: _Table) -> Declaration:
    found = table.values
    timeouts = dict.fromkeys(STEPS, found["timeout"]) if "timeout" in found else {}
    fields = {field: found[key] for key, field in _FIELDS.items() if key in found}
    return Declaration(name=name, checked="check" in found, timeouts=timeouts | found.get("timeouts", {}), **fields)


class _Table:
    """A table of the file with its keys and values.

    :param prefix: the table's own keys with a dot, for errors; empty for the top.
    :param keys: the valid keys, each with its rule.
    :ivar values: the results of the rules, by key.
    """

    def __init__(self, path: str, prefix: str, table: Mapping[str, Any], keys: Mapping[str, _Rule]) -> None:
        self._path = path
        self.values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in keys:
                raise UsageError(f"unknown key {prefix + key!r} in {path}; {_near(key, keys)}")
            read, expected = keys[key]
            try:
                self.values[key] = read(value)
            except UsageError as error:
                raise self.wrong(prefix + key, value, f"{expected} ({error.message})") from None
            except (TypeError, ValueError, AttributeError):
                raise self.wrong(prefix + key, value, expected) from None

    def wrong(self, key: str, value: object, expected: str) -> UsageError:
        """The error for a wrong value."""
        shown = repr(value)
        shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."
        return UsageError(f"invalid value {shown} of the key {key!r} in {self._path}: expected {expected}")


_Rule = tuple[Callable[[object], object], str]
"""The function that reads a value or raises TypeError or ValueError, and the expected value for the error."""


def _near(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name.lower().replace("_", "-"), known, 1)
    return f"did you mean {near[0]}?" if near else f"the keys here are {', '.join(sorted(known))}"


# -- rules ------------------------------------------------------------------------------------------------------------


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _whole(most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError
        if not 0 <= value <= most:
            raise ValueError
        return value

    return read


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError
    if not value > 0:
        raise ValueError
    return value


def _one_of(*values: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in values:
            raise ValueError
        return _text(value)

    return read


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(map(_text, value))


def _hosts(value: object) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    return tuple({name: None for text in names for name in unfold(_text(text))})


def _backoff(value: object) -> float:
    seconds = _seconds(value)
    if seconds > BACKOFF_MAX:
        raise ValueError
    return seconds


def _needs(value: object) -> dict[str, str]:
    if isinstance(value, list):
        return dict.fromkeys(_names(value), STARTED)
    if not isinstance(value, dict):
        raise TypeError
    return {name: _text(state) for name, state in value.items()}


def _timeouts(value: object) -> dict[str, float]:
    if not isinstance(value, dict) or not value.keys() <= set(STEPS):
        raise TypeError
    return {step: _seconds(seconds) for step, seconds in value.items()}


def _command(value: object) -> tuple[str, ...]:
    words = _names([value] if isinstance(value, str) else value)
    if not words or not words[0] or any("\0" in word for word in words):
        raise ValueError
    return (*_SHELL, *words) if isinstance(value, str) else words


def _table(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError
    return value


_LIST = 'a list of services, as in ["network"]'
_SECONDS: _Rule = (_seconds, "more than 0 seconds")
_FLAG: _Rule = (_flag, "true or false")
_COMMAND: _Rule = (_command, 'a command: a list of words, as in ["mount", "/srv"], or a text for /bin/sh')
_POLICY: _Rule = (_one_of(*POLICIES), '"retry", "exclude" or "stop"')
TOP: dict[str, _Rule] = {
    "group": (_text, 'a text, as in group = "storage"'),
    "quorum": (_whole(MEMBERS_MAX), f"a number of members from 0 to {MEMBERS_MAX}"),
    "init": (_one_of("first", "in-turn"), '"first" or "in-turn"'),
    "activate": (_one_of("after", "before"), '"after" or "before"'),
    "on-failure": _POLICY,
    "retries": (_whole(RETRIES_MAX), f"a whole number from 0 to {RETRIES_MAX}"),
    "backoff": (_backoff, f"more than 0 and at most {BACKOFF_MAX:g} seconds"),
    "service": (_table, "tables of services, as in [service.network]"),
}
"""The keys at the top of the file, each with its rule."""
SERVICE: dict[str, _Rule] = {
    "id": (_whole(ID_MAX), f"a whole number from 0 to {ID_MAX}"),
    "after": (_names, _LIST),
    "before": (_names, _LIST),
    "needs": (_needs, 'services with the needed states, as in {network = "healthy"}, or a list of services'),
    "hosts": (_hosts, 'a list of hosts, as in ["sut1", "sut2"] or "sut[1-2]"'),
    "version": (_text, 'a text, as in version = "1.2"'),
    "timeout": _SECONDS,
    "timeouts": (_timeouts, f"seconds for some of the steps {', '.join(STEPS)}, as in {{process = 60}}"),
    "check-interval": _SECONDS,
    "check-timeout": _SECONDS,
    "serialize": _FLAG,
    "keystone": _FLAG,
    "on-failure": _POLICY,
    **dict.fromkeys(STEPS, _COMMAND),
}
"""The keys of the table of a service, each with its rule."""
_FIELDS = {
    "id": "id",
    "after": "after",
    "before": "before",
    "needs": "needs",
    "hosts": "hosts",
    "version": "version",
    "check-interval": "interval",
    "check-timeout": "check_timeout",
    "serialize": "serialize",
    "keystone": "keystone",
    "on-failure": "on_failure",
}
"""The keys of a service whose values become fields of the declaration without a change, each with the name of the field."""
