"""The decisions of a policy."""

from __future__ import annotations

import pytest

from linesync.errors import NotAllowed
from linesync.model.policy import Policy, Rule, Socket
from linesync.model.state.principal import Principal
from linesync.protocol.operations import PERMISSIONS

ROOT = Principal(line="unix:x", host="hub", script="1", uid=0)
ALICE = Principal(line="unix:x", host="hub", script="2", uid=1000)
NETWORK = Principal(line="tcp://x", host="hub", script="3")
SUT = Principal(line="/dev/ttyS0", host="sut", script="4")


def allowed(policy: Policy, principal: Principal, to: str) -> set[str]:
    return {permission for permission in PERMISSIONS if policy.decide(principal, permission, to).allowed}


@pytest.mark.parametrize(
    ("principal", "to", "expected"),
    [
        (ROOT, "hub", set(PERMISSIONS)),
        (ROOT, "sut", set(PERMISSIONS)),
        (ALICE, "hub", {"sync", "look"}),
        (ALICE, "sut", {"sync", "look"}),
        (NETWORK, "sut", {"sync", "look"}),
        (SUT, "hub", {"sync", "look"}),
        (SUT, "other", {"sync", "look"}),
        (SUT, "sut", set(PERMISSIONS) - {"admin"}),
    ],
)
def test_without_rules_the_defaults_decide(principal: Principal, to: str, expected: set[str]) -> None:
    assert allowed(Policy(), principal, to) == expected


def test_the_user_of_the_hub_may_do_everything() -> None:
    assert allowed(Policy(owners=frozenset((0, 1000))), ALICE, "sut") == set(PERMISSIONS)


def test_a_rule_allows_only_the_permissions_that_it_names() -> None:
    policy = Policy((Rule(allow=True, source="su*", to="build[12]", do=("run", "files")),))
    assert allowed(policy, SUT, "build1") == {"sync", "look", "run", "files"}
    assert allowed(policy, SUT, "build3") == {"sync", "look"}
    assert allowed(policy, ALICE, "build1") == {"sync", "look"}


def test_a_rule_with_addresses_is_only_about_forwards_to_these_addresses() -> None:
    ssh, web, listen = Socket("localhost:22"), Socket("localhost:80"), Socket("localhost:22", listens=True)
    limited = Rule(allow=True, source="sut", to="build", do=("forward",), connect=("localhost:2*", "unix:/run/*"))
    policy = Policy((limited,))
    assert policy.decide(SUT, "forward", "build", ssh).allowed
    assert policy.decide(SUT, "forward", "build", Socket("unix:/run/dbus/system_bus_socket")).allowed
    for socket in (web, listen, None):
        assert not policy.decide(SUT, "forward", "build", socket).allowed, socket
    listening = Policy((Rule(allow=True, do=("forward",), listen=("localhost:*",)),))
    assert listening.decide(SUT, "forward", "build", listen).allowed
    assert not listening.decide(SUT, "forward", "build", ssh).allowed
    denied = Policy((Rule(allow=False, do=("forward",), connect=("*:22",)), Rule(allow=True)))
    assert not denied.decide(ROOT, "forward", "sut", ssh).allowed
    assert denied.decide(ROOT, "forward", "sut", web).allowed and denied.decide(ROOT, "forward", "sut", listen).allowed


def test_a_refused_forward_suggests_a_rule_for_exactly_this_address() -> None:
    with pytest.raises(NotAllowed) as refused:
        Policy().check(SUT, "forward", "build", Socket("unix:/tmp/[x]*"))
    assert "may not forward connections from build to unix:/tmp/[x]*, because no rule allows it" in str(refused.value)
    assert 'do = ["forward"], connect = ["unix:/tmp/[[]x][*]"]}]' in str(refused.value)
    rule = Rule(allow=True, do=("forward",), connect=("unix:/tmp/[[]x][*]",))
    assert rule.fits(SUT, "forward", "build", Socket("unix:/tmp/[x]*"))
    with pytest.raises(NotAllowed, match=r"may not listen on localhost:80 on build.*listen = \["):
        Policy().check(SUT, "forward", "build", Socket("localhost:80", listens=True))


def test_a_rule_with_users_matches_only_principals_with_these_user_ids() -> None:
    policy = Policy((Rule(allow=True, users=frozenset((1000,)), do=("run",)),))
    assert "run" in allowed(policy, ALICE, "sut")
    assert "run" not in allowed(policy, NETWORK, "sut")
    assert "run" not in allowed(policy, SUT, "hub")


def test_a_rule_that_denies_decides_before_rules_that_allow_and_before_the_defaults() -> None:
    policy = Policy((Rule(allow=True), Rule(allow=False, to="hub", do=("run",)), Rule(allow=False, do=("look",))))
    assert allowed(policy, ROOT, "hub") == set(PERMISSIONS) - {"run", "look"}
    assert allowed(policy, SUT, "hub") == set(PERMISSIONS) - {"run", "look"}
    assert allowed(policy, SUT, "other") == set(PERMISSIONS) - {"look"}


def test_an_operation_that_needs_no_permission_is_always_allowed() -> None:
    assert Policy((Rule(allow=False),)).decide(SUT, "", "hub").allowed


def test_a_refusal_shows_the_rule_that_would_allow_the_operation() -> None:
    with pytest.raises(NotAllowed) as refused:
        Policy(path="/etc/linesync/policy.toml").check(ALICE, "run", "sut")
    assert refused.value.message == (
        "not allowed: a script on hub (user id 1000) may not run commands on sut, because no rule allows it; to allow it, add"
        ' this to /etc/linesync/policy.toml on the controller: allow = [{from = "hub", users = [1000], to = "sut", do = ["run"]}]'
    )


def test_a_refusal_shows_the_rule_that_denies_the_operation() -> None:
    rule = Rule(allow=False, do=("run",), text='deny {do = ["run"]}')
    with pytest.raises(NotAllowed) as refused:
        Policy((rule,)).check(ROOT, "run", "sut")
    assert 'because the rule deny {do = ["run"]} denies it' in refused.value.message
    assert refused.value.details["rule"] == 'deny {do = ["run"]}'


def test_every_permission_has_a_phrase_for_refusals() -> None:
    for permission in PERMISSIONS:
        with pytest.raises(NotAllowed):
            Policy((Rule(allow=False),)).check(ROOT, permission, "sut")
