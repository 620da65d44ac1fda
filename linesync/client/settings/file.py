"""Reads ``linesync.toml``. An unknown key, or a value of a wrong type, is an error, so that no setting is silently ignored."""

from __future__ import annotations

import tomllib

from ...errors import UsageError
from ...suggestions import near

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["KEYS", "check_value", "read_settings"]

TEXT, TEXTS, NUMBER, FLAG = "a text", "a text or a list of texts", "a number", "true or false"
_EXAMPLES = {TEXT: '"..."', TEXTS: '["...", "..."]', NUMBER: "60", FLAG: "true"}

_SOCKET = {"socket": TEXT, "socket-group": TEXT}
_PROCESSES = {"output-limit": NUMBER}
_NAMESPACE = {"namespace": TEXT}
_WAIT = {"timeout": NUMBER} | _NAMESPACE
KEYS: dict[str, dict[str, str]] = {
    "hub": {
        "port": TEXTS,
        "listen": TEXTS,
        "insecure": FLAG,
        "state": TEXT,
        "lease": NUMBER,
        "exchange-limit": NUMBER,
        "policy": TEXT,
        "audit": TEXT,
    }
    | _SOCKET
    | _PROCESSES,
    "agent": {
        "port": TEXT,
        "name": TEXT,
        "capability": TEXTS,
        "publish": TEXTS,
        "no-run": FLAG,
        "no-forward": FLAG,
        "allow-users": TEXTS,
    }
    | _SOCKET
    | _PROCESSES,
    "barrier": {"as": TEXT, "reuse": TEXT} | _WAIT,
    "sem": {"bound": NUMBER} | _WAIT,
    "lock": _WAIT,
    "send": {"as": TEXT} | _WAIT,
    "wait": {"as": TEXT} | _WAIT,
    "wait-all": {"as": TEXT} | _WAIT,
    "event": _WAIT,
    "group": _WAIT,
    "reset": _WAIT,
    "exchange": {"as": TEXT} | _WAIT,
    "phases": _NAMESPACE,
    "lava": _WAIT,
    "dissem": _NAMESPACE,
    "beaker": _NAMESPACE,
    "autotest": _NAMESPACE,
    "testground": _NAMESPACE,
}
"""The tables of the file, and for each table its keys with their types. All keys may also be at the top of the file."""
_ONLY_AT_THE_TOP = {"hub": TEXT}


def read_settings(path: str) -> dict[str, Any]:
    """The contents of the settings file at this path.

    :raises UsageError: the file cannot be read, is not TOML, or has an unknown key or a value of a wrong type.
    """
    try:
        with open(path, "rb") as file:
            settings = tomllib.load(file)
    except UnicodeDecodeError:
        raise UsageError(f"{path} cannot be read: it is not UTF-8; correct or remove it") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}; correct or remove it") from None
    for name, value in settings.items():
        if not isinstance(value, dict):
            _check_top(path, name, value)
            continue
        if name not in KEYS:
            raise UsageError(f"unknown table [{name}] in {path}; {near(name, KEYS, 'the tables are')}")
        for key, inner in value.items():
            if key not in KEYS[name]:
                found = near(key, KEYS[name], "its keys are")
                raise UsageError(f"unknown key {key!r} in the table [{name}] of {path}; {found}")
            check_value(path, key, inner, name)
    return settings


def _check_top(path: str, key: str, value: Any) -> None:
    kinds = {keys[key] for keys in (*KEYS.values(), _ONLY_AT_THE_TOP) if key in keys}
    if not kinds:
        known_keys = {*_ONLY_AT_THE_TOP, *(key for keys in KEYS.values() for key in keys)}
        raise UsageError(f"unknown key {key!r} in {path}; {near(key, known_keys, 'the keys are')}")
    if not any(_fits(value, kind) for kind in kinds):
        raise _wrong_type(path, key, sorted(kinds)[-1])


def check_value(path: str, key: str, value: Any, command: str) -> None:
    """Check the type of a value that a command reads.

    :raises UsageError: the value has a wrong type.
    """
    kind = KEYS.get(command, _ONLY_AT_THE_TOP).get(key)
    if kind is not None and not _fits(value, kind):
        raise _wrong_type(path, key, kind)


def _wrong_type(path: str, key: str, kind: str) -> UsageError:
    return UsageError(f"invalid value of the key {key!r} in {path}: expected {kind}, as in {key} = {_EXAMPLES[kind]}")


def _fits(value: Any, kind: str) -> bool:
    if kind == FLAG or isinstance(value, bool):
        return kind == FLAG and isinstance(value, bool)
    if kind == NUMBER:
        return isinstance(value, int | float)
    if kind == TEXTS and isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, str)
