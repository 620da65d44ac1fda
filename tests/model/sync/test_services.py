"""All services together: the loss of a host ends its waits, and status shows everything."""

from __future__ import annotations

import json

import pytest

from linesync.model.decisions import Failed, Granted, HostLost, HostUp, Revoked
from linesync.model.participants import Cause
from linesync.model.state.status import Remembered, Status
from linesync.model.sync.barriers.terms import Terms
from linesync.model.sync.services import SyncServices

from ..helpers import client, failed, granted


@pytest.fixture
def hub() -> SyncServices:
    services = SyncServices()
    for number, host in enumerate(["sut1", "sut2"]):
        services.register(host, f"s{number}", f"boot{number}", f"/dev/ttyS{number}", 0.0)
    return services


def test_a_lost_host_fails_its_own_waits_immediately_and_no_others(hub: SyncServices) -> None:
    hub.barriers.arrive("x", "default", "boot", Terms(count=3), client("sut1"), 0.0, timeout=3600)
    hub.barriers.arrive("y", "default", "boot", Terms(count=3), client("sut2"), 0.0)
    hub.heard("sut2", "s1", 10.0)
    events = hub.handle_timer(20.0)
    assert [type(event) for event in events] == [HostLost, Failed]
    error = failed(events)["x"]
    assert "line lost: nothing heard on /dev/ttyS0 for 20 s" in str(error) and error.exit_code == 125
    assert hub.status(20.0).barriers[0].gone == {"sut1": "line lost"}


def test_a_failed_wait_does_not_revive_when_the_session_resumes(hub: SyncServices) -> None:
    hub.barriers.arrive("x", "default", "boot", Terms(count=2), client("sut1"), 0.0)
    hub.handle_timer(20.0)
    assert hub.heard("sut1", "s0", 25.0) == [HostUp(host="sut1", session="s0", resumed=True)]
    assert list(failed(hub.barriers.arrive("x", "default", "boot", Terms(count=2), client("sut1"), 25.0))) == ["x"]
    assert hub.status(25.0).barriers == ()


def test_a_restarted_host_frees_its_units_and_its_places(hub: SyncServices) -> None:
    hub.semaphores.change("g", "default", "slots", 1, client("hub"), 0.0)
    hub.semaphores.change("t", "default", "slots", -1, client("sut1"), 0.0)
    hub.semaphores.change("u", "default", "slots", -1, client("sut2"), 0.0)
    hub.barriers.arrive("x", "default", "boot", Terms(count=2), client("sut1"), 0.0, as_member="sut1")
    events = hub.register("sut1", "s9", "boot9", "/dev/ttyS0", 1.0)
    assert [type(event) for event in events] == [HostLost, Failed, Failed, Granted, HostUp]
    assert list(granted(events)) == ["u"]
    assert (
        hub.barriers.arrive("x2", "default", "boot", Terms(count=2), client("sut1", "2"), 1.0, as_member="sut1") == []
    )


def test_a_restart_gives_back_and_revokes_the_holds_of_the_host(hub: SyncServices) -> None:
    hub.semaphores.change("g", "default", "slots", 1, client("hub"), 0.0)
    hub.semaphores.change("t", "default", "slots", -1, client("sut1"), 0.0, hold=True)
    hub.commit("t", client("sut1"), 0.0)
    hub.semaphores.change("u", "default", "slots", -1, client("sut2"), 0.0, hold=True)
    events = hub.ended("sut1", "s0", Cause.RESTARTED, "the peer restarted", 1.0)
    assert [type(event) for event in events] == [HostLost, Revoked]
    hub.heard("sut2", "s1", 20.5)
    assert list(granted(hub.handle_timer(20.9))) == []
    assert list(granted(hub.handle_timer(21.0))) == ["u"], "they are granted one lease after the restart"


@pytest.mark.parametrize("gives", [False, True])
def test_the_data_that_a_host_gave_to_an_exchange_before_it_restarts_counts(hub: SyncServices, gives: bool) -> None:
    for host in ("sut1", "sut2"):
        hub.exchanges.open(f"x{host}", "default", "keys", ["sut1", "sut2"], host, 5, client(host), 0.0)
    if gives:
        hub.exchanges.given("xsut1", client("sut1"), 1, 0.0)
    events = hub.ended("sut1", "s0", Cause.RESTARTED, "the peer restarted", 1.0)
    assert set(failed(events)) == ({"xsut1"} if gives else {"xsut1", "xsut2"})
    if gives:
        assert list(granted(hub.exchanges.given("xsut2", client("sut2"), 2, 2.0))) == ["xsut2"]
    else:
        assert "sut1 was lost before it gave its data (restarted: the peer restarted)" in str(failed(events)["xsut2"])


def test_a_host_that_restarts_before_it_has_sent_does_not_fail_a_gathering(hub: SyncServices) -> None:
    hub.mailbox.receive_all("x", "default", "ready", "hub", "", client("hub"), 0.0)
    hub.mailbox.send("y", "default", "ready", (), "sut2", client("sut2"), 0.0)
    assert failed(hub.ended("sut1", "s0", Cause.RESTARTED, "the peer restarted", 1.0)) == {}
    hub.register("sut1", "s9", "boot9", "/dev/ttyS0", 1.1)
    assert list(granted(hub.mailbox.send("z", "default", "ready", (), "sut1", client("sut1", "2"), 2.0))) == ["z", "x"]


def test_a_gathering_fails_if_a_restarted_host_does_not_register_again(hub: SyncServices) -> None:
    hub.mailbox.receive_all("x", "default", "ready", "hub", "", client("hub"), 0.0)
    hub.ended("sut1", "s0", Cause.RESTARTED, "the peer restarted", 1.0)
    hub.heard("sut2", "s1", 15.0)
    assert "sut1 was lost before it had sent (line lost: its agent restarted 20 s ago" in str(
        failed(hub.handle_timer(21.0))["x"]
    )


def test_a_wait_whose_host_is_lost_at_its_deadline_fails_with_the_loss(hub: SyncServices) -> None:
    hub.barriers.arrive("x", "default", "boot", Terms(count=2), client("sut1"), 0.0, timeout=20)
    hub.heard("sut2", "s1", 10.0)
    assert "line lost" in str(failed(hub.handle_timer(20.0))["x"])


def test_a_stalled_hub_loses_no_host(hub: SyncServices) -> None:
    hub.barriers.arrive("x", "default", "boot", Terms(count=2), client("sut1"), 0.0)
    hub.extend_all(500.0)
    assert hub.handle_timer(500.0) == []
    assert hub.next_timer() == 520.0


def test_a_host_that_stops_cleanly_is_lost_immediately(hub: SyncServices) -> None:
    hub.barriers.arrive("x", "default", "boot", Terms(count=2), client("sut1"), 0.0)
    events = hub.ended("sut1", "s0", Cause.STOPPED, "its agent was stopped", 1.0)
    assert list(failed(events)) == ["x"] and hub.absent("sut1") is Cause.STOPPED


def test_the_end_of_a_client_ends_only_its_own_waits(hub: SyncServices) -> None:
    hub.barriers.arrive("x", "default", "boot", Terms(count=3), client("sut1", "1"), 0.0)
    hub.barriers.arrive("y", "default", "boot", Terms(count=3), client("sut1", "2"), 0.0)
    assert list(failed(hub.client_gone(client("sut1", "1"), 1.0))) == ["x"]
    assert hub.status(1.0).held == Remembered(waits=1, deadlines=0, results=1)


def test_clients_can_give_up_and_confirm_through_the_services(hub: SyncServices) -> None:
    hub.semaphores.change("g", "default", "slots", 1, client("hub"), 0.0)
    assert hub.confirm("g", client("hub"))
    hub.semaphores.change("t", "default", "slots", -2, client("sut1"), 0.0)
    assert list(failed(hub.withdraw("t", client("sut1"), 0.0))) == ["t"]


def test_a_line_that_is_lost_and_restored_fails_no_wait(hub: SyncServices) -> None:
    hub.barriers.arrive("x", "default", "boot", Terms(count=2), client("sut1"), 0.0)
    hub.line_lost("sut1", "s0", "unplugged")
    assert hub.line_back("sut1", "s0", "/dev/ttyUSB0", 5.0) == []
    hub.heard("sut2", "s1", 5.0)
    assert hub.handle_timer(20.0) == []


def test_status_can_be_read_back_from_its_json(hub: SyncServices) -> None:
    hub.barriers.arrive("x", "default", "boot", Terms(count=2), client("sut1"), 0.0)
    hub.semaphores.change("t", "default", "slots", -2, client("sut1"), 0.0)
    status = hub.status(1.0)
    assert status.semaphores[0].queue[0].name == "sut1"
    assert Status.from_json(json.loads(json.dumps(status.as_json()))) == status


def test_an_aborted_client_gets_the_reason_as_aborted(hub: SyncServices) -> None:
    hub.barriers.arrive("x", "default", "boot", Terms(count=2), client("sut1"), 0.0)
    error = failed(hub.client_gone(client("sut1"), 1.0, Cause.ABORTED, "the test was cancelled"))["x"]
    assert error.exit_code == 3 and "the test was cancelled" in str(error)
