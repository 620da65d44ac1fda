"""autotest's barrier and SyncData between processes on three hosts, each with its own serial line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.helpers import Hosts, hosts_on_cables
from tests.e2e import kit
from tests.real import wait_for

pytestmark = pytest.mark.real

NAMES = ("client1", "client2", "server")

MEET = """
import sys
from linesync.compat import autotest as barrier, autotest as error
hostid, tag, abort, *hosts = sys.argv[1:]
try:
    barrier.barrier(hostid, tag, 60).rendezvous(*hosts, abort=abort == "abort")
except error.BarrierAbortError as failure:
    print("aborted", failure)
except error.BarrierError as failure:
    print("failed", failure)
else:
    print("met")
"""

SYNC = """
import json, sys
from linesync.compat.autotest import DataSyncError, SyncData
hostid, session, timeout, *hosts = sys.argv[1:]
sync = SyncData("server", hostid, hosts, session)
try:
    got = sync.sync({"pid of": hostid, "raw": [hostid.encode() + bytes([0, 255])]}, float(timeout))
except DataSyncError as error:
    print("failed", error)
else:
    print(json.dumps({host: [value["pid of"], value["raw"][0].hex()] for host, value in got.items()}))
sync.close()
"""


@pytest.fixture(scope="module")
def hosts(shims: Path) -> Iterator[Hosts]:
    with kit.site() as place, hosts_on_cables(place, shims, {name: {} for name in NAMES}) as found:
        yield found


def _await_arrivals(hosts: Hosts, tag: str, count: int) -> None:
    hosts.site.await_waiting("barriers", f"autotest:11922:client1:{tag}", count)


def test_three_hosts_meet_twice_under_one_tag(hosts: Hosts) -> None:
    for _ in range(2):
        calls = [hosts.python(name, MEET, name, "server-up", "", *NAMES) for name in NAMES]
        assert [call.wait().text for call in calls] == ["met\n"] * 3


def test_an_abort_ends_the_wait_of_all_three_hosts(hosts: Hosts) -> None:
    first = hosts.python("client1", MEET, "client1", "broken", "", *NAMES)
    _await_arrivals(hosts, "broken", 1)
    done = hosts.python("client2", MEET, "client2", "broken", "abort", *NAMES).wait()
    last = hosts.python("server", MEET, "server", "broken", "", *NAMES).wait()
    for text in (first.wait().text, done.text, last.text):
        assert text.startswith("aborted Client requested abort")
        assert "client2 requested abort" in text


def test_two_members_of_one_host_meet_and_a_duplicate_is_refused(hosts: Hosts) -> None:
    members = ("client1#1", "client1#2", "server")
    first = hosts.python("client1", MEET, "client1#1", "tags", "", *members)
    hosts.site.await_waiting("barriers", "autotest:11922:client1#1:tags", 1)
    duplicate = hosts.python("client1", MEET, "client1#1", "tags", "", *members).wait()
    assert "duplicate client" in duplicate.text
    second = hosts.python("client1", MEET, "client1#2", "tags", "", *members)
    third = hosts.python("server", MEET, "server", "tags", "", *members)
    assert [call.wait().text for call in (first, second, third)] == ["met\n"] * 3


def test_a_member_can_arrive_again_after_its_script_was_killed(hosts: Hosts) -> None:
    first = hosts.python("client1", MEET, "client1", "reboot", "", *NAMES)
    _await_arrivals(hosts, "reboot", 1)
    first.kill()
    _await_arrivals(hosts, "reboot", 0)
    calls = [hosts.python(name, MEET, name, "reboot", "", *NAMES) for name in NAMES]
    assert [call.wait().text for call in calls] == ["met\n"] * 3


def _synced(text: str) -> dict[str, list[str]]:
    assert text.startswith("{"), text
    found: dict[str, list[str]] = json.loads(text)
    return found


def test_each_host_gets_the_data_of_all(hosts: Hosts) -> None:
    expected = {name: [name, name.encode().hex() + "00ff"] for name in NAMES}
    calls = [hosts.python(name, SYNC, name, "s1", "60", *NAMES) for name in NAMES]
    assert [_synced(call.wait().text) for call in calls] == [expected] * 3


def test_each_host_can_take_part_in_two_sessions_at_the_same_time(hosts: Hosts) -> None:
    members = ("::1", "client2#a", "server")
    calls = [
        hosts.python(host, SYNC, hostid, session, "60", *members)
        for session in ("s2", "s3")
        for host, hostid in zip(NAMES, members, strict=True)
    ]
    for call in calls:
        assert sorted(_synced(call.wait().text)) == sorted(members)


def test_a_timeout_names_the_missing_host(hosts: Hosts) -> None:
    calls = [hosts.python(name, SYNC, name, "s4", "2", *NAMES) for name in NAMES[:2]]
    for call in calls:
        text = call.wait().text
        assert text.startswith("failed Timeout during data sync")
        assert "server" in text


# -- a host dies: its agent is killed and sends nothing more ----------------------------------------------------------


@pytest.fixture
def short_lease(shims: Path) -> Iterator[Hosts]:
    """Hosts that are lost after two seconds of silence."""
    with kit.site() as place, hosts_on_cables(place, shims, {name: {} for name in NAMES}, "--lease", "2") as found:
        yield found


def _kill(hosts: Hosts, name: str) -> None:
    next(daemon for daemon in hosts.site.daemons if name in daemon.argv).kill()


def test_a_barrier_fails_for_all_when_a_host_dies_before_it_arrives(short_lease: Hosts) -> None:
    waiting = [short_lease.python(name, MEET, name, "fatal", "", *NAMES) for name in NAMES[:2]]
    _await_arrivals(short_lease, "fatal", 2)
    _kill(short_lease, "server")
    for call in waiting:
        text = call.wait(15).text
        assert text.startswith("failed master lost client")
        assert "server is lost" in text


def test_a_barrier_fails_for_all_when_a_host_dies_while_it_waits(short_lease: Hosts) -> None:
    dead_host = short_lease.python("server", MEET, "server", "fatal", "", *NAMES)
    waiting = short_lease.python("client1", MEET, "client1", "fatal", "", *NAMES)
    _await_arrivals(short_lease, "fatal", 2)
    _kill(short_lease, "server")
    assert waiting.wait(15).text.startswith("failed master lost client")
    assert dead_host.wait(15).text.startswith("failed")


def test_a_host_that_dies_after_it_gave_its_data_does_not_fail_the_session(short_lease: Hosts) -> None:
    short_lease.python("server", SYNC, "server", "s", "60", *NAMES)
    first = short_lease.python("client1", SYNC, "client1", "s", "60", *NAMES)
    wait_for(lambda: _given(short_lease) == {"server", "client1"}, "the data of two")
    _kill(short_lease, "server")
    short_lease.site.await_host("server", "lost")
    last = short_lease.python("client2", SYNC, "client2", "s", "60", *NAMES)
    for call in (first, last):
        assert sorted(_synced(call.wait(15).text)) == sorted(NAMES)


def test_a_session_fails_when_a_host_dies_before_it_gives_data(short_lease: Hosts) -> None:
    waiting = [short_lease.python(name, SYNC, name, "s", "60", *NAMES) for name in NAMES[:2]]
    wait_for(lambda: _given(short_lease) == {"client1", "client2"}, "the data of two")
    _kill(short_lease, "server")
    for call in waiting:
        text = call.wait(15).text
        assert text.startswith("failed")
        assert "server" in text


def _given(hosts: Hosts) -> set[str]:
    """The members that have given data to the only session."""
    rows = hosts.site.json("hub", "status")["exchanges"]
    return set(rows[0]["given"]) if rows else set()
