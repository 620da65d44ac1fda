"""Checks the arguments of the public methods of both clients when a method is called.

A parameter has the same meaning in every method. The name of a parameter therefore determines its rule. An argument of a
wrong type raises TypeError, and an invalid value raises :class:`UsageError`, which is a ValueError. Both messages contain the
name of the parameter and the expected values. The hub checks the conditions that only the hub knows: its limits, and the
arguments of other clients.

A rule returns the value for the method. For example, it returns a tuple for a list of members, because an iterator can be
read only once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps

from ..errors import UsageError
from ..model.names import check_arrival, check_host, check_member, check_name, check_process, check_timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias, TypeVar

    C = TypeVar("C", bound=Callable[..., object])
    T = TypeVar("T")
    Rule: TypeAlias = Callable[[str, Any], Any]
    """A function of the name of the parameter and the argument. It returns the value for the method, or raises an error."""

__all__ = [
    "RULES",
    "an_instance",
    "checked",
    "flag",
    "host_and_path",
    "name_of",
    "optional_bytes",
    "path",
    "place",
    "sources",
    "text",
]

_SHOWN = 64  # the maximum number of characters of an argument that an error shows
_TERMINAL_MAX = 9999  # columns and rows of a terminal
_INTEGER_MAX = 10**18 - 1  # the largest integer of the protocol, which has 18 digits
_VARIADIC = 0x04  # inspect.CO_VARARGS, without importing inspect


def checked(**special: Rule) -> Callable[[C], C]:
    """A decorator that applies the rules to the arguments of a method or function.

    :param special: rules for parameters that have another meaning in this method.
    """

    def decorate(method: C) -> C:
        inner: Any = method
        while hasattr(inner, "__wrapped__"):
            inner = inner.__wrapped__
        code = inner.__code__
        count = code.co_argcount + code.co_kwonlyargcount
        rules = {name: special.get(name) or RULES[name] for name in code.co_varnames[:count]}
        by_position = [(name, rules[name]) for name in code.co_varnames[: code.co_argcount]]
        rest = code.co_varnames[count] if code.co_flags & _VARIADIC else ""
        for_rest = special.get(rest) or RULES[rest] if rest else None

        @wraps(method)
        def call(*args: Any, **named: Any) -> Any:
            values = [rule(name, value) for (name, rule), value in zip(by_position, args, strict=False)]
            more = args[len(by_position) :]
            values += [for_rest(f"{rest}[{n}]", value) for n, value in enumerate(more)] if for_rest else more
            for name, value in named.items():
                if name in rules:
                    named[name] = rules[name](name, value)
            return method(*values, **named)

        return call  # type: ignore[return-value]

    return decorate


# -- errors -----------------------------------------------------------------------------------------------------------


def _wrong_type(parameter: str, value: object, expected: str) -> TypeError:
    return TypeError(f"invalid {parameter} {_shown(value)}: expected {expected}, not {type(value).__name__}")


def _invalid(parameter: str, value: object, expected: str) -> UsageError:
    return UsageError(f"invalid {parameter} {_shown(value)}: expected {expected}")


def _shown(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."


# -- rules ------------------------------------------------------------------------------------------------------------


def _anything(parameter: str, value: Any) -> Any:
    return value


def text(parameter: str, value: Any) -> str:
    """The rule for a text."""
    if not isinstance(value, str):
        raise _wrong_type(parameter, value, "a str")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _invalid(parameter, value, "text that can be written as UTF-8") from None
    return value


def _accepted_by(check: Callable[[str], None], *, optional: bool = False) -> Rule:
    """Make the rule for a text that passes a check. The hub uses the same check.

    :param optional: the text may also be empty.
    """

    def rule(parameter: str, value: Any) -> str:
        if not isinstance(value, str):
            raise _wrong_type(parameter, value, "a str")
        if value or not optional:
            _apply(check, parameter, value)
        return str(value)

    return rule


def _apply(check: Callable[[str], T], parameter: str, value: str) -> T:
    """Apply a check, and add the name of the parameter to its error."""
    try:
        return check(value)
    except UsageError as error:
        if parameter.partition("[")[0] in error.message:
            raise
        raise UsageError(f"{parameter}: {error.message}") from None


def name_of(noun: str, *, optional: bool = False) -> Rule:
    """Make the rule for the name of a barrier, a lock and so on.

    :param noun: the kind of the name, for the error.
    :param optional: the name may also be empty.
    """
    return _accepted_by(lambda value: check_name(noun, value), optional=optional)


_member = _accepted_by(check_member)
_arrival = _accepted_by(check_arrival, optional=True)
_host = _accepted_by(check_host)


def _check_reuse(mode: str) -> None:
    if mode not in ("cyclic", "once"):
        from ..model.sync.barriers.terms import Reuse

        Reuse.read(mode)


def flag(parameter: str, value: Any) -> bool:
    """The rule for a bool."""
    if not isinstance(value, bool):
        raise _wrong_type(parameter, value, "True or False")
    return value


def _integer(least: int, most: int = _INTEGER_MAX) -> Rule:
    def rule(parameter: str, value: Any) -> int:
        expected = f"an integer of at least {least}" if least > -_INTEGER_MAX else "an integer of at most 18 digits"
        try:
            if isinstance(value, bool):
                raise TypeError
            number: int = value.__index__()
        except (AttributeError, TypeError):
            raise _wrong_type(parameter, value, expected) from None
        if not least <= number <= most:
            raise _invalid(parameter, value, expected)
        return number

    return rule


def _timeout(parameter: str, value: Any) -> float | None:
    if value is None:
        return None
    expected = "0 to 315360000 seconds, or None"
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong_type(parameter, value, expected)
    try:
        check_timeout(value)
    except (UsageError, OverflowError):
        raise _invalid(parameter, value, expected) from None
    return value


def _function(parameter: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise _wrong_type(parameter, value, "a function or None")
    return value


def an_instance(kind: type, expected: str) -> Rule:
    """The rule for an object of a class."""

    def rule(parameter: str, value: Any) -> Any:
        if not isinstance(value, kind):
            raise _wrong_type(parameter, value, expected)
        return value

    return rule


def _members(parameter: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        from ..model.hosts.members import unfold  # imported late, because this import takes long and is seldom needed

        value = _apply(unfold, parameter, text(parameter, value))
    if isinstance(value, bytes | bytearray) or not isinstance(value, Iterable):
        raise _wrong_type(parameter, value, "a list of str, or a folded list such as 'sut[1-8],hub'")
    return tuple([_member(f"{parameter}[{n}]", item) for n, item in enumerate(value)])


def _item(parameter: str, value: Any) -> str | dict[str, str]:
    if not isinstance(value, Mapping):
        if not isinstance(value, str):
            raise _wrong_type(parameter, value, "a str such as 'key=value', or a mapping of str to str")
        return text(parameter, value)
    for key, part in value.items():
        if not text(f"key of {parameter}", key) or "=" in key:
            raise _invalid(f"key of {parameter}", key, "a str that is not empty and has no '='")
        text(f"{parameter}[{key!r}]", part)
    return dict(value)


# -- rules for commands and files on a host ---------------------------------------------------------------------------


def _argument(parameter: str, value: Any) -> str:
    """The rule for a text that the host passes to its operating system."""
    if "\0" in text(parameter, value):
        raise _invalid(parameter, value, "a str without NUL characters")
    return value  # type: ignore[no-any-return]


def _user(parameter: str, value: Any) -> int | None:
    return None if value is None else _integer(0, 0xFFFFFFFF)(parameter, value)


def _tail(parameter: str, value: Any) -> int | None:
    return None if value is None else _integer(0)(parameter, value)


def _argv(parameter: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError(
            f"invalid {parameter} {_shown(value)}: expected a list of str, not one str; write ['uname', '-r'], or"
            " ['sh', '-c', text] for a shell"
        )
    if isinstance(value, bytes | bytearray | memoryview) or not isinstance(value, Sequence):
        raise _wrong_type(parameter, value, "a list of str")
    argv = tuple([_argument(f"{parameter}[{n}]", word) for n, word in enumerate(value)])
    if not argv or not argv[0]:
        raise _invalid(parameter, value, "the name of a command, and its arguments")
    return argv


def _env(parameter: str, value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise _wrong_type(parameter, value, "a mapping of str to str, or None")
    for key, part in value.items():
        if not _argument(f"key of {parameter}", key) or "=" in key:
            raise _invalid(f"key of {parameter}", key, "a str that is not empty and has no '='")
        _argument(f"{parameter}[{key!r}]", part)
    return dict(value)


def path(parameter: str, value: Any) -> str:
    """The rule for the path of a file."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise _wrong_type(parameter, value, "a path, as a str or a pathlib.Path")
    if not value or "\0" in value:
        raise _invalid(parameter, value, "a path that is not empty and has no NUL characters")
    return value


def _remote_path(parameter: str, value: Any) -> str:
    return text(parameter, path(parameter, value))


def _folder(parameter: str, value: Any) -> str:
    return "" if value == "" else _remote_path(parameter, value)


def host_and_path(parameter: str, value: Any) -> tuple[str, str]:
    """The rule for a file on a host."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise _wrong_type(parameter, value, "a tuple (host, path)")
    return _host(f"{parameter}[0]", value[0]), _remote_path(f"{parameter}[1]", value[1])


def place(parameter: str, value: Any) -> tuple[str, str]:
    """The rule for a local path, or a file on a host. The host of a local path is empty."""
    expected = "a path, or a tuple (host, path)"
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise _wrong_type(parameter, value, expected)
        host = _host(f"{parameter}[0]", value[0]) if value[0] != "" else ""
        return host, _any_path(f"{parameter}[1]", value[1])
    if not isinstance(value, str | os.PathLike):
        raise _wrong_type(parameter, value, expected)
    return "", _any_path(parameter, value)


def _any_path(parameter: str, value: Any) -> str:
    """The rule for a path whose bytes need not be UTF-8."""
    found = path(parameter, value)
    try:
        os.fsencode(found)
    except UnicodeEncodeError:
        raise _invalid(parameter, value, "a path without lone surrogates") from None
    return found


def sources(parameter: str, value: Any) -> tuple[tuple[str, str], ...]:
    """The rule for the sources of a copy."""
    if isinstance(value, str | bytes | bytearray | os.PathLike) or not isinstance(value, Sequence):
        raise _wrong_type(parameter, value, "a list of paths and of tuples (host, path)")
    if not value:
        raise _invalid(parameter, value, "one source or more")
    return tuple([place(f"{parameter}[{n}]", item) for n, item in enumerate(value)])


def _terminal(parameter: str, value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise _wrong_type(parameter, value, "a tuple (columns, rows), or None")
    side = _integer(1, _TERMINAL_MAX)
    return side(f"{parameter}[0]", value[0]), side(f"{parameter}[1]", value[1])


def optional_bytes(parameter: str, value: Any) -> bytes | None:
    """The rule for bytes or None."""
    if value is None or isinstance(value, bytes):
        return value
    if not isinstance(value, bytearray | memoryview):
        raise _wrong_type(parameter, value, "bytes or None; encode a text with text.encode()")
    return bytes(value)


def _address(parameter: str, value: Any) -> str:
    from .addresses import address_of  # few operations need it

    return _apply(address_of, parameter, text(parameter, value))


def _data(parameter: str, value: Any) -> Any:
    if isinstance(value, str):
        raise TypeError(
            f"invalid {parameter} {_shown(value)}: expected bytes, a pathlib.Path or a binary file, not str; write"
            " text.encode() to give a text, or Path(text) to give a file"
        )
    if isinstance(value, os.PathLike):
        return path(parameter, value) and value
    if isinstance(value, bytes | bytearray | memoryview):
        return value
    if not hasattr(value, "read") or hasattr(value, "encoding"):
        raise _wrong_type(parameter, value, "bytes, a pathlib.Path or a binary file, which open(path, 'rb') opens")
    return value


def _one_of(*allowed: str) -> Rule:
    """The rule for a choice."""

    def rule(parameter: str, value: Any) -> str:
        if text(parameter, value) not in allowed:
            raise _invalid(parameter, value, " or ".join(allowed))
        return str(value)

    return rule


def _signal(parameter: str, value: Any) -> int:
    """The rule for the name or the number of a signal; 0 for no signal."""
    if isinstance(value, str):
        from ..signals import signal_number

        return signal_number(value)
    return int(_integer(0, 64)(parameter, value))


def _services(parameter: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise _wrong_type(parameter, value, "a list of Announced")
    return tuple(value)


RULES: dict[str, Rule] = {
    "self": _anything,
    "topic": name_of("topic"),
    "namespace": name_of("namespace"),
    "host": _host,
    "from_host": _host,
    "to_host": _host,
    "permission": text,
    "uid": _user,
    "user": text,
    "member": _accepted_by(check_member, optional=True),
    "members": _members,
    "arrival": _arrival,
    "within": _arrival,
    "reuse": _accepted_by(_check_reuse, optional=True),
    "role": name_of("role", optional=True),
    "abort": text,
    "begin": text,
    "command": text,
    "endpoint": text,
    "items": _item,
    "terminal": _terminal,
    "timeout": _timeout,
    "end_after": _timeout,
    "process": _accepted_by(check_process),
    "since": _integer(0),
    "tail": _tail,
    "signal": _signal,
    "output": flag,
    "on_dropped": _function,
    "on_lost": _function,
    "count": _integer(0),
    "pid": _integer(0),
    "delta": _integer(-_INTEGER_MAX),
    "units": _integer(1),
    "bound": _integer(0),
    "token": _integer(0),
    "first": _integer(1),
    "most": _integer(1),
    "quorum": _integer(0),
    "retries": _integer(0),
    "backoff": _timeout,
    "init": _one_of("first", "in-turn"),
    "activate": _one_of("after", "before"),
    "on_failure": _one_of("retry", "exclude", "stop"),
    "services": _services,
    "sources": sources,
    "recursive": flag,
    "preserve": flag,
    "rate": _integer(0),
    "descriptor": _integer(0, 1 << 30),
    "any": flag,
    "others": flag,
    "keep": flag,
    "clear_env": flag,
    "tolerate_loss": flag,
    "rejoin": flag,
    "all_parties": flag,
    "check": flag,
    "device": flag,
    "follow": flag,
    "tell": flag,
    "type_into": flag,
    "on_notice": _function,
    "on_output": _function,
    "progress": _function,
    "sink": _function,
    "argv": _argv,
    "address": _address,
    "connect": text,
    "listen": text,
    "cwd": _folder,
    "env": _env,
    "path": _remote_path,
    "data": _data,
}
"""The rule of each parameter."""
