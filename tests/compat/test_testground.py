"""testground's interface: states that are counted, topics that are replayed, and separate runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from linesync import connect_blocking
from linesync.compat.testground import Sync
from linesync.errors import LinesyncFailed, TimedOut, UsageError
from tests.compat.helpers import hosts_on_cables
from tests.e2e import kit

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def hub() -> Iterator[kit.Site]:
    with kit.site() as place:
        place.hub().says("scripts on this machine")
        yield place


@pytest.fixture
def endpoint(hub: kit.Site, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    monkeypatch.setenv("TEST_RUN", request.node.name)
    return f"unix:{hub.socket('hub')}"


def test_entries_are_counted(endpoint: str) -> None:
    with Sync(endpoint=endpoint) as first, Sync(endpoint=endpoint) as second:
        assert [first.signal_entry("ready"), second.signal_entry("ready"), first.signal_entry("ready")] == [1, 2, 3]
        assert first.signal_entry("done") == 1


def test_a_barrier_is_released_at_its_target_and_stays_released(endpoint: str) -> None:
    with Sync(endpoint=endpoint) as sync:
        sync.barrier("ready", 0)
        with pytest.raises(TimedOut):
            sync.barrier("ready", 1, timeout=0.1)
        sync.signal_entry("ready")
        with pytest.raises(TimedOut):
            sync.barrier("ready", 2, timeout=0.1)
        sync.signal_entry("ready")
        sync.signal_entry("ready")
        for target in (1, 2, 3):
            sync.barrier("ready", target, timeout=10)
        with pytest.raises(UsageError, match="invalid target -1"):
            sync.barrier("ready", -1)


def test_all_signal_and_wait_for_all(endpoint: str) -> None:
    places: list[int] = []

    def instance() -> None:
        with Sync(endpoint=endpoint) as sync:
            places.append(sync.signal_and_wait("ready", 5, timeout=20))

    threads = [threading.Thread(target=instance) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(places) == [1, 2, 3, 4, 5]


def test_a_late_subscriber_gets_all_payloads_from_the_first_one(endpoint: str) -> None:
    with Sync(endpoint=endpoint) as sync, Sync(endpoint=endpoint) as late:
        payloads = [{"n": number, "raw": bytes([number])} for number in range(250)]
        assert [sync.publish("addresses", payload) for payload in payloads] == list(range(1, 251))
        assert list(islice(late.subscribe("addresses"), 250)) == payloads
        assert list(islice(late.subscribe("addresses"), 2)) == payloads[:2]


def test_a_subscription_waits_for_the_next_payload(endpoint: str) -> None:
    with Sync(endpoint=endpoint) as sync, Sync(endpoint=endpoint) as reader:
        found: list[object] = []
        thread = threading.Thread(target=lambda: found.extend(islice(reader.subscribe("news"), 3)))
        thread.start()
        for number in range(3):
            sync.publish("news", number)
        thread.join(20)
        assert found == [0, 1, 2]
        with pytest.raises(TimedOut):
            list(islice(reader.subscribe("news", timeout=0.1), 4))


def test_one_call_publishes_and_waits_or_subscribes(endpoint: str) -> None:
    with Sync(endpoint=endpoint) as sync:
        sync.signal_entry("ready")
        assert sync.publish_and_wait("topic", "a", "ready", 1, timeout=10) == 1
        number, payloads = sync.publish_subscribe("topic", ("b",))
        assert (number, list(islice(payloads, 2))) == (2, ["a", ("b",)])


def test_runs_plans_and_cases_have_separate_states(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sync(endpoint=endpoint) as usual:
        assert usual.signal_entry("ready") == 1
    with Sync(case="b", endpoint=endpoint) as other:
        assert other.signal_entry("ready") == 1
    with Sync(run="another", endpoint=endpoint) as third:
        assert third.signal_entry("ready") == 1
    monkeypatch.setenv("LINESYNC_NAMESPACE", "mine")
    with Sync(endpoint=endpoint) as fourth:
        assert fourth.signal_entry("ready") == 1


def test_a_message_of_another_program_is_an_error(endpoint: str, request: pytest.FixtureRequest) -> None:
    with Sync(endpoint=endpoint) as sync, connect_blocking(endpoint) as other:
        other.send("topic:mixed", "hello", namespace=f"run:{request.node.name}:plan::case:")
        with pytest.raises(LinesyncFailed, match="message 1 of the topic mixed, from hub"):
            next(iter(sync.subscribe("mixed", timeout=5)))


INSTANCE = """
import sys
from itertools import islice
from linesync.compat.testground import Sync
with Sync() as sync:
    sync.publish("peers", sys.argv[1])
    place = sync.signal_and_wait("published", 3, timeout=30)
    print(place, *sorted(islice(sync.subscribe("peers"), 3)))
"""


@pytest.mark.real
def test_a_plan_runs_on_three_hosts_with_only_serial_lines(shims: Path) -> None:
    names = ("a", "b", "c")
    with kit.site() as place, hosts_on_cables(place, shims, {name: {} for name in names}) as hosts:
        calls = [hosts.python(name, INSTANCE, name, env={"TEST_RUN": "r1"}) for name in names]
        words = [call.wait().text.split() for call in calls]
        assert sorted(found[0] for found in words) == ["1", "2", "3"]
        assert [found[1:] for found in words] == [["a", "b", "c"]] * 3
