"""The policy file of a hub."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from linesync.errors import UsageError
from linesync.hub.access.policy_file import read_policy


def read(tmp_path: Path, text: str) -> object:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return read_policy(str(path), required=True)


def test_rules_are_read_with_patterns_permissions_users_and_groups(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    name = pwd.getpwuid(os.getuid()).pw_name
    path.write_text(
        f'allow = [{{from = "ctl*", do = ["run", "files"]}}]\ndeny = [{{users = ["{name}", 4711], do = ["*"]}}]\n'
    )
    policy = read_policy(str(path), required=True)
    allow, deny = policy.rules
    assert (allow.allow, allow.source, allow.to, allow.do, allow.users) == (True, "ctl*", "*", ("run", "files"), None)
    assert allow.text == 'allow {from = "ctl*", do = ["run", "files"]}'
    assert (deny.allow, deny.do, deny.users) == (False, ("*",), frozenset((os.getuid(), 4711)))
    assert policy.owners == {0, os.geteuid()} and policy.path == str(path)


def test_rules_for_forwards_may_have_addresses(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('allow = [{do = ["forward"], connect = ["localhost:22"], listen = ["localhost:*"]}]')
    (rule,) = read_policy(str(path), required=True).rules
    assert (rule.connect, rule.listen) == (("localhost:22",), ("localhost:*",))
    assert rule.text == 'allow {do = ["forward"], connect = ["localhost:22"], listen = ["localhost:*"]}'


def test_a_group_stands_for_its_members(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('allow = [{users = ["@root"], do = ["run"]}]')
    users = read_policy(str(path), required=True).rules[0].users
    assert users is not None and 0 in users


def test_a_missing_file_has_no_rules_unless_it_is_required(tmp_path: Path) -> None:
    path = str(tmp_path / "none.toml")
    assert read_policy(path, required=False).rules == ()
    with pytest.raises(UsageError, match="does not exist"):
        read_policy(path, required=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("allow = [", "cannot read the policy file"),
        ("allow = 5", "invalid value of the key 'allow'"),
        ("allow = ['run']", "invalid value of the key 'allow'"),
        ("alow = []", "unknown key 'alow' in .*; did you mean allow?"),
        ("allow = [{form = 'x', do = ['run']}]", "unknown key 'form' in rule 1 of 'allow' of .*; did you mean from?"),
        ("allow = [{do = ['rum']}]", "unknown permission 'rum' in rule 1 of 'allow' of .*; did you mean run?"),
        ("allow = [{from = 'x'}]", "invalid value of the key 'do' in rule 1 of 'allow'"),
        ("allow = [{do = []}]", "invalid value of the key 'do'"),
        ("allow = [{do = ['run'], connect = ['*']}]", "the keys 'connect' and 'listen' .* write do = ..forward.."),
        ("allow = [{do = ['forward'], listen = [5]}]", "invalid value of the key 'listen' .*: expected addresses"),
        ("allow = [{do = ['forward'], connect = '*'}]", "invalid value of the key 'connect' .*: expected a list"),
        ("deny = [{do = ['run']}, {from = 5, do = ['run']}]", "invalid value of the key 'from' in rule 2 of 'deny'"),
        ("allow = [{users = [true], do = ['run']}]", "invalid value of the key 'users'"),
        ("allow = [{users = [-1], do = ['run']}]", "invalid value of the key 'users'"),
        ("allow = [{users = ['no such user'], do = ['run']}]", "unknown user 'no such user' in rule 1 of 'allow'"),
        ("allow = [{users = ['@nosuchgroup'], do = ['run']}]", "unknown group 'nosuchgroup'"),
    ],
)
def test_a_mistake_in_the_file_is_refused_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        read(tmp_path, text)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(b'allow = [{from = "\xff"}]')
    with pytest.raises(UsageError, match="it is not UTF-8"):
        read_policy(str(path), required=True)
