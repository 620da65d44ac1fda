"""The cost of the search for deadlocks: nothing without waits, and little with thousands of waits."""

from __future__ import annotations

import time

import pytest

from linesync.errors import DeadlockError
from linesync.model.participants import Client
from linesync.model.sync.services import SyncServices

from ..helpers import failed
from ..simulated_hub import SimulatedHub

HOSTS = [f"h{number}" for number in range(8)]
PARTIES = 5000


def test_there_is_no_search_without_waits() -> None:
    services = SyncServices()
    services.locks.take("x", "default", "flash", Client("hub", "1"), 0.0)
    services.confirm("x", Client("hub", "1"))
    services.handle_timer(5.0)
    assert services.next_timer() is None


def test_there_is_no_search_without_owners() -> None:
    hub = SimulatedHub()
    hub.barrier("x", "hub/1", 2)
    assert hub.services.next_timer() is None


def test_a_long_chain_of_owners_is_followed_quickly_in_any_order() -> None:
    services = SyncServices()
    order = [number * 7919 % PARTIES for number in range(PARTIES)]
    for number in order:
        client = Client("hub", str(number))
        services.locks.take(f"own{number}", "default", f"n{number}", client, 0.0)
        services.confirm(f"own{number}", client)
    for number in order:
        if number:
            services.locks.take(f"want{number}", "default", f"n{number - 1}", Client("hub", str(number)), 0.0)
    begun = time.process_time()
    assert services.handle_timer(1.0) == []
    assert time.process_time() - begun < 2.0
    assert services.take_asked() == []


@pytest.mark.parametrize("kind", ["barrier", "held units", "lock"])
def test_thousands_of_waits_at_one_place_cost_little(kind: str) -> None:
    hub = SimulatedHub(*HOSTS)
    hub.sem("g", "hub", 1)
    hub.sem("h", "hub/h", -1, hold=True)
    hub.lock("l", "hub/h")
    for number in range(PARTIES):
        owner = f"h{number % 8}/{number}"
        if kind == "barrier":
            hub.barrier(f"x{number}", owner, "h[0-7]#[0-1240]", as_member=f"h{number % 8}#{number // 8}")
        elif kind == "held units":
            hub.sem(f"x{number}", owner, -1, hold=True)
        else:
            hub.lock(f"x{number}", owner)
    begun = time.process_time()
    assert failed(hub.pass_time(0.6)) == {}
    assert time.process_time() - begun < 2.0
    begun = time.process_time()
    assert failed(hub.pass_time(20)) == {}
    assert time.process_time() - begun < 1.0, "without changes, nothing is searched again"


def test_a_cycle_among_thousands_of_waits_is_reported_soon() -> None:
    hub = SimulatedHub(*HOSTS, "z")
    hub.lock("owned", "h0/0")
    for number in range(PARTIES):
        member = f"h{number % 8}#{number // 8}"
        hub.barrier(f"x{number}", f"h{number % 8}/{number}", "h[0-7]#[0-624],z", as_member=member)
    hub.lock("wanted", "z")
    begun = time.process_time()
    faults = failed(hub.pass_time(4))
    assert time.process_time() - begun < 3.0
    assert sorted(faults) == ["wanted", "x0"] and isinstance(faults["x0"], DeadlockError)
