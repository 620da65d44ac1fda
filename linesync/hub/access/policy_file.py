"""Reads a hub's policy file (docs/policy.md)."""

from __future__ import annotations

import grp
import os
import pwd
import tomllib
from collections.abc import Iterable
from typing import Any

from ...errors import UsageError
from ...model.policy import Policy, Rule
from ...protocol.operations import FORWARD, PERMISSIONS
from ...suggestions import near

__all__ = ["owners", "read_policy"]

_KEYS = ("from", "to", "do", "users", "connect", "listen")
_EXAMPLES = {
    "do": '["run", "files"]',
    "users": '["alice", "@testers", 1000]',
    "connect": '["localhost:22", "unix:/run/*"]',
    "listen": '["localhost:*"]',
}
"""An example of each key that is a list."""


def owners() -> frozenset[int]:
    """The user ids that have all permissions at the hub's socket: root and the user of this process."""
    return frozenset((0, os.geteuid()))


def read_policy(path: str, *, required: bool) -> Policy:
    """Read the rules of the file. The call may block, because it asks the system for users and groups.

    :param required: whether the file must exist.
    :raises UsageError: the file cannot be read or is invalid.
    """
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except FileNotFoundError:
        if required:
            raise UsageError(f"the policy file {path} does not exist; create it, or start the hub without it") from None
        return Policy(owners=owners(), path=path)
    except UnicodeDecodeError:
        raise UsageError(f"cannot read the policy file {path}: it is not UTF-8; correct it") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"cannot read the policy file {path}: {error}; correct it") from None
    rules: list[Rule] = []
    for key, tables in content.items():
        if key not in ("allow", "deny"):
            raise UsageError(f"unknown key {key!r} in {path}; {near(key, ('allow', 'deny'), 'the keys are')}")
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise UsageError(
                f"invalid value of the key {key!r} in {path}: expected a list of rules, as in {key} = [{{from ="
                ' "ctl*", to = "*", do = ["run"]}]'
            )
        rules += [
            _Reader(path, f"rule {number} of {key!r}", key == "allow").rule(table)
            for number, table in enumerate(tables, 1)
        ]
    return Policy(tuple(rules), owners(), path)


class _Reader:
    """Reads one rule.

    :param rule_name: names the rule in errors, such as "rule 2 of 'allow'".
    """

    def __init__(self, path: str, rule_name: str, allow: bool) -> None:
        self._path = path
        self._rule_name = rule_name
        self._allow = allow

    def rule(self, table: dict[str, Any]) -> Rule:
        for key in table:
            if key not in _KEYS:
                raise UsageError(
                    f"unknown key {key!r} in {self._rule_name} of {self._path}; {near(key, _KEYS, 'the keys are')}"
                )
        do = self._list(table, "do")
        for permission in do:
            if permission not in (*PERMISSIONS, "*"):
                advice = near(str(permission), PERMISSIONS, "the permissions are")
                raise UsageError(f"unknown permission {permission!r} in {self._rule_name} of {self._path}; {advice}")
        users = self._users(self._list(table, "users")) if "users" in table else None
        if ("connect" in table or "listen" in table) and do != [FORWARD]:
            raise UsageError(
                f"the keys 'connect' and 'listen' in {self._rule_name} of {self._path} are only for forwarded connections; write"
                ' do = ["forward"]'
            )
        shown = [f"{key} = {_toml(table[key])}" for key in _KEYS if key in table]
        return Rule(
            allow=self._allow,
            do=tuple(do),
            source=self._pattern(table, "from"),
            to=self._pattern(table, "to"),
            users=users,
            connect=self._addresses(table, "connect"),
            listen=self._addresses(table, "listen"),
            text=f"{'allow' if self._allow else 'deny'} {{{', '.join(shown)}}}",
        )

    def _pattern(self, table: dict[str, Any], key: str) -> str:
        value = table.get(key, "*")
        if not isinstance(value, str) or not value:
            raise self._invalid(key, "a host name or a pattern", '"ctl*"')
        return value

    def _addresses(self, table: dict[str, Any], key: str) -> tuple[str, ...] | None:
        """The patterns for addresses; None without this key."""
        if key not in table:
            return None
        patterns = self._list(table, key)
        if not all(isinstance(pattern, str) and pattern for pattern in patterns):
            raise self._invalid(key, "addresses or patterns", _EXAMPLES[key])
        return tuple(patterns)

    def _list(self, table: dict[str, Any], key: str) -> list[Any]:
        value = table.get(key)
        if not isinstance(value, list) or not value:
            raise self._invalid(key, "a list that is not empty", _EXAMPLES[key])
        return value

    def _invalid(self, key: str, expected: str, example: str) -> UsageError:
        return UsageError(
            f"invalid value of the key {key!r} in {self._rule_name} of {self._path}: expected {expected}, as in {key} = {example}"
        )

    def _users(self, names: Iterable[Any]) -> frozenset[int]:
        found: set[int] = set()
        for name in names:
            if isinstance(name, int) and not isinstance(name, bool) and 0 <= name < 1 << 32:
                found.add(name)
            elif isinstance(name, str) and name:
                found |= self._ids(name)
            else:
                raise self._invalid(
                    "users", "user names, groups with '@' before them, and user ids", '["alice", "@testers"]'
                )
        return frozenset(found)

    def _ids(self, name: str) -> set[int]:
        """The user ids of a user, or of all members of a group."""
        try:
            if not name.startswith("@"):
                return {pwd.getpwnam(name).pw_uid}
            group = grp.getgrnam(name[1:])
        except (KeyError, ValueError):
            entry = f"group {name[1:]!r}" if name.startswith("@") else f"user {name!r}"
            raise UsageError(
                f"unknown {entry} in {self._rule_name} of {self._path}; create it on this machine, or correct the rule"
            ) from None
        members = {user.pw_uid for user in pwd.getpwall() if user.pw_gid == group.gr_gid}
        for member in group.gr_mem:
            try:
                members.add(pwd.getpwnam(member).pw_uid)
            except KeyError:  # the group names a user that does not exist
                continue
        return members


def _toml(value: Any) -> str:
    """A value of a rule in the syntax of TOML."""
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)
