"""The changes that the services record for scripts that follow the changes of the hub."""

from __future__ import annotations

from typing import Any

from linesync.model.participants import Client
from linesync.model.sync.barriers.terms import Terms
from linesync.model.sync.namespaces import Owner
from linesync.model.sync.services import SyncServices

A, B = Client("a", "1"), Client("b", "2")


def noted(services: SyncServices) -> list[tuple[Any, ...]]:
    return [(change.kind, change.key[1], change.who, change.value) for change in services.take_noted()]


def test_changes_are_taken_once_and_a_refused_request_is_not_a_change() -> None:
    services = SyncServices()
    services.events.set("1", "default", ("ready",), A, 0.0)
    services.events.set("2", "default", ("ready",), A, 0.0)
    services.events.set("3", "default", ("\n",), A, 0.0)
    services.locks.take("4", "default", "flash", A, 0.0)
    services.locks.take("5", "default", "flash", B, 0.0, timeout=0)
    assert noted(services) == [("event set", "ready", "a", None), ("lock taken", "flash", "a", 1)]
    assert noted(services) == []


def test_a_retry_is_not_a_change() -> None:
    services = SyncServices()
    for _ in range(2):
        services.semaphores.change("1", "default", "slots", 2, A, 0.0)
        services.semaphores.change("2", "default", "slots", -3, B, 0.0)
    assert noted(services) == [("semaphore changed", "slots", "a", 2), ("semaphore waiting", "slots", "b", None)]


def test_a_reset_returns_holds_and_reports_all_failed_waits_as_one_change() -> None:
    services = SyncServices()
    services.locks.take("1", "default", "flash", A, 0.0)
    for arrival in "234":
        services.locks.take(arrival, "default", "flash", B, 0.0)
    services.take_noted()
    services.reset("default", ("flash",), "b", 1.0)
    assert noted(services) == [
        ("reset", "flash", "b", None),
        ("lock given back", "flash", "a", 1),
        ("lock failed", "flash", "", None),
    ]


def test_an_abort_is_noted_before_the_failure_of_the_others() -> None:
    services = SyncServices()
    terms = Terms(count=3)
    services.barriers.arrive("1", "default", "up", terms, A, 0.0)
    services.barriers.arrive("2", "default", "up", terms, A, 0.0)
    services.barriers.arrive("3", "default", "up", terms, B, 0.0, abort="no power")
    *arrivals, aborted, failed = services.take_noted()
    assert [change.kind for change in arrivals] == ["barrier arrival", "barrier arrival"]
    assert (aborted.kind, aborted.who, aborted.why) == ("barrier aborted", "b", "no power")
    assert (failed.kind, failed.why) == ("barrier failed", "barrier 'up' was aborted by b: no power")


def test_waits_that_end_without_a_request_are_separate_changes_with_their_cause() -> None:
    services = SyncServices()
    services.events.wait("1", "default", ("ready", "other"), False, A, 0.0, timeout=1.0)
    services.mailbox.receive("2", "default", "log", 1, 1, False, "b", B, 0.0)
    services.take_noted()
    services.handle_timer(2.0)
    services.client_gone(B, 3.0)
    assert [
        (change.kind, change.key[1], change.who, change.why, change.client) for change in services.take_noted()
    ] == [
        ("event left", "ready, other", "a", "timed out", A),
        ("message left", "log", "b", "client gone", B),
    ]


def test_a_host_that_is_lost_restarts_and_stops_is_a_change_each_time() -> None:
    services = SyncServices(lease=20.0)
    services.register("a", "1", "boot", "line", 0.0)
    services.handle_timer(21.0)
    services.heard("a", "1", 22.0)
    services.heard("a", "1", 23.0)
    assert noted(services) == [(kind, "a", "a", None) for kind in ("host up", "host lost", "host up")]


def test_the_begin_and_the_end_of_a_namespace_are_changes() -> None:
    services = SyncServices()
    services.begin_namespace("run", Owner(A), 0.0)
    services.locks.take("1", "run", "flash", B, 0.0)
    services.client_gone(A, 1.0)
    assert [(change.kind, *change.key, change.who) for change in services.take_noted()] == [
        ("namespace begun", "run", "", "a"),
        ("lock taken", "run", "flash", "b"),
        ("namespace ended", "run", "", "a"),
        ("lock given back", "run", "flash", "b"),
    ]
