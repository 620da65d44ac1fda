"""Namespaces that end with their owner, and the end of everything in them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from linesync.errors import Aborted, LinesyncFailed, NotAllowed, UsageError
from linesync.model.decisions import Revoked
from linesync.model.participants import Cause, Client
from linesync.model.state.namespace import NamespaceState
from linesync.model.sync import namespaces
from linesync.model.sync.barriers.terms import Reuse, Terms
from linesync.model.sync.namespaces import Owner
from linesync.model.sync.services import SyncServices

from ..helpers import client, failed, granted

SHELL = Owner(client("sut1"), 100, "5000", "bash test.sh")


@pytest.fixture
def hub() -> SyncServices:
    services = SyncServices()
    for number, host in enumerate(["sut1", "sut2"]):
        services.register(host, f"s{number}", f"boot{number}", f"/dev/ttyS{number}", 0.0)
    return services


def fill(hub: SyncServices, namespace: str) -> list[str]:
    """Use one object of each kind in a namespace. Returns the arrivals that wait there."""
    hub.barriers.arrive("b", namespace, "up", Terms(count=2), client("sut2"), 1.0)
    hub.semaphores.change("s", namespace, "slots", -1, client("sut2"), 1.0)
    hub.locks.take("l", namespace, "flash", client("sut2"), 1.0)
    hub.commit("l", client("sut2"), 1.0)
    hub.events.wait("e", namespace, ("booted",), False, client("hub"), 1.0)
    hub.mailbox.receive("m", namespace, "ready", 1, 10, False, "hub", client("hub"), 1.0)
    hub.exchanges.open("x", namespace, "addr", ["sut2", "hub"], "sut2", 1, client("sut2"), 1.0)
    return ["b", "s", "e", "m", "x"]


def rows(hub: SyncServices, now: float = 1.0) -> dict[str, Any]:
    """Return the states of the namespaces by name, as JSON."""
    found = hub.namespace_states(now)
    assert [NamespaceState.from_json(json.loads(json.dumps(state.as_json()))) for state in found] == found
    return {state.name: state.as_json() for state in found}


def test_the_end_of_the_owner_resets_everything_in_its_namespaces_and_nothing_else(hub: SyncServices) -> None:
    hub.begin_namespace("@run", SHELL, 0.0)
    hub.begin_namespace("@other", Owner(client("sut1"), 100, "5001"), 0.0)
    hub.barriers.arrive("o", "@other", "up", Terms(count=2), client("sut2"), 1.0)
    waiting = fill(hub, "@run")
    assert hub.owner_gone("sut2", 100, "5000", 2.0) == []
    outcomes = hub.owner_gone("sut1", 100, "5000", 2.0)
    errors = failed(outcomes)
    assert sorted(errors) == sorted(waiting)
    for error in errors.values():
        assert isinstance(error, Aborted) and error.exit_code == 3
        assert error.details == {"cause": "reset", "by": "sut1", "namespace": "@run"}
    assert errors["b"].message == (
        "barrier 'up' of namespace '@run' was reset, because the namespace has ended: its owner, process 100 on sut1, has"
        " ended"
    )
    (revoked,) = [event for event in outcomes if isinstance(event, Revoked)]
    assert revoked.arrival == "l" and "process 100 on sut1, has ended" in revoked.why
    assert list(rows(hub)) == ["@other"] and rows(hub)["@other"]["things"] == 1
    assert hub.owner_gone("sut1", 100, "5000", 3.0) == []


def test_one_process_may_own_several_namespaces(hub: SyncServices) -> None:
    for name in ("@1", "@2"):
        hub.begin_namespace(name, SHELL, 0.0)
    hub.end_namespace("@1", "hub", 1.0)
    hub.begin_namespace("@3", SHELL, 1.0)
    assert list(rows(hub)) == ["@2", "@3"]
    hub.owner_gone("sut1", 100, "5000", 2.0)
    assert rows(hub) == {}


def test_any_host_may_end_a_namespace_once(hub: SyncServices) -> None:
    hub.begin_namespace("@run", SHELL, 0.0)
    fill(hub, "@run")
    forgotten, waits, outcomes = hub.end_namespace("@run", "hub", 2.0)
    assert (len(waits), len(failed(outcomes))) == (5, 5) and forgotten >= 3
    assert "the namespace has ended: hub ended it" in failed(outcomes)["b"].message
    with pytest.raises(LinesyncFailed, match="there is no namespace '@run' with an owner"):
        hub.end_namespace("@run", "hub", 2.0)


def test_a_namespace_of_a_client_ends_with_the_client(hub: SyncServices) -> None:
    owner, other = Client("sut1", "7"), Client("sut1", "8")
    hub.begin_namespace("@mine", Owner(owner, command="test.py"), 0.0)
    fill(hub, "@mine")
    assert rows(hub)["@mine"] == {
        "name": "@mine",
        "since": 1.0,
        "owner": {"host": "sut1", "pid": None, "client": "7", "command": "test.py"},
        "things": 6,
    }
    assert hub.client_gone(other, 2.0) == []
    assert "a script on sut1, has ended" in failed(hub.client_gone(owner, 2.0))["b"].message
    assert rows(hub) == {}


@pytest.mark.parametrize("how", ["silent", "restarted", "stopped"])
def test_a_namespace_ends_when_the_host_of_its_owner_is_lost(hub: SyncServices, how: str) -> None:
    hub.begin_namespace("@run", SHELL, 0.0)
    fill(hub, "@run")
    hub.heard("sut2", "s1", 15.0)
    if how == "silent":
        outcomes = hub.handle_timer(20.0)
    elif how == "restarted":
        outcomes = hub.register("sut1", "s9", "boot9", "/dev/ttyS0", 15.0)
    else:
        outcomes = hub.ended("sut1", "s0", Cause.STOPPED, "the agent was stopped", 15.0)
    assert "its owner's host sut1 is lost" in failed(outcomes)["b"].message
    assert rows(hub) == {}


def test_a_name_in_use_is_refused(hub: SyncServices) -> None:
    hub.begin_namespace("run", SHELL, 0.0)
    hub.events.set("e", "left", ("booted",), client("hub"), 0.0)
    for name, why in (
        ("run", "it belongs to process 100 on sut1"),
        ("left", "it is not empty"),
        ("default", "it always exists"),
    ):
        with pytest.raises(NotAllowed, match=f"namespace '{name}' is in use: {why}"):
            hub.begin_namespace(name, Owner(client("hub"), 1, "1"), 0.0)
    hub.reset("left", (), "hub", 1.0)
    hub.begin_namespace("left", SHELL, 1.0)


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("", SHELL),
        ("a\nb", SHELL),
        ("@x", Owner(client("hub"), -1)),
        ("@x", Owner(client("hub"), 1, "1" * 21)),
        ("@x", Owner(client("hub"), command="x" * 201)),
        ("@x", Owner(client("hub"), command="\x1b[2J")),
    ],
)
def test_an_invalid_name_or_owner_is_refused(hub: SyncServices, name: str, owner: Owner) -> None:
    with pytest.raises(UsageError):
        hub.begin_namespace(name, owner, 0.0)
    assert rows(hub) == {}


def test_the_numbers_for_each_host_and_in_total_are_limited(hub: SyncServices, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(namespaces.PER_HOST):
        hub.begin_namespace(f"@{number}", SHELL, 0.0)
    with pytest.raises(LinesyncFailed, match="100 of them from sut1, and the limits are 10000 and 100; end some"):
        hub.begin_namespace("@more", SHELL, 0.0)
    hub.begin_namespace("@hub", Owner(client("hub")), 0.0)
    monkeypatch.setattr(namespaces, "TOTAL", namespaces.PER_HOST + 1)
    with pytest.raises(LinesyncFailed, match="there are 101, 1 of them from hub"):
        hub.begin_namespace("@hub2", Owner(client("hub")), 0.0)
    hub.owner_gone("sut1", 100, "5000", 1.0)
    hub.begin_namespace("@more", SHELL, 1.0)


def test_a_name_with_an_at_sign_is_a_namespace_only_from_its_begin_to_its_end(hub: SyncServices) -> None:
    host_client = client("hub")
    with pytest.raises(Aborted, match="there is no namespace '@run' now"):
        hub.check_namespace("@run", "a", host_client)
    hub.begin_namespace("@run", SHELL, 0.0)
    hub.check_namespace("@run", "a", host_client)
    hub.events.set("a", "@run", ("booted",), host_client, 0.0)
    hub.end_namespace("@run", "hub", 1.0)
    with pytest.raises(Aborted):
        hub.check_namespace("@run", "b", host_client)
    hub.check_namespace("@run", "a", host_client)  # a retry gets the outcome that it had
    assert list(granted(hub.events.set("a", "@run", ("booted",), host_client, 1.0))) == ["a"]
    assert rows(hub) == {}, "the retry changed nothing"
    hub.check_namespace("run", "c", host_client)


def test_a_namespace_without_an_owner_is_listed_while_it_is_in_use(hub: SyncServices) -> None:
    hub.begin_namespace("@run", SHELL, 0.0)
    hub.events.set("e", "default", ("booted",), client("hub"), 0.0)
    hub.barriers.arrive("b1", "old", "once", Terms(count=1, reuse=Reuse.read("once")), client("hub"), 0.0)
    found = rows(hub)
    assert list(found) == ["@run", "default", "old"]
    assert found["old"] == {"name": "old", "since": None, "owner": None, "things": 1}
    hub.reset("old", (), "hub", 1.0)
    assert list(rows(hub)) == ["@run", "default"]
