"""The checks of autotest's own barrier tests, with linesync's barrier. The hub runs on this machine, the members in threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from linesync import connect_blocking
from linesync.compat import autotest
from linesync.compat import autotest as barrier
from linesync.compat import autotest as error
from linesync.errors import LinesyncError
from tests.e2e import kit
from tests.real import wait_for

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def hub() -> Iterator[kit.Site]:
    with kit.site() as place:
        place.hub().says("scripts on this machine")
        yield place


@pytest.fixture(autouse=True)
def _use_hub(hub: kit.Site, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("LINESYNC_HUB", f"unix:{hub.socket('hub')}")
    monkeypatch.setenv("LINESYNC_NAMESPACE", request.node.name)


def rendezvous(
    timeout: float | None,
    *,
    port: int | None = 11922,
    servers: bool = False,
    abort: bool | None = None,
    server: autotest.listen_server | None = None,
) -> None:
    """Two members meet, as in autotest's own tests. One of them runs in a thread, and its error is ignored."""

    def meet(hostid: str) -> None:
        member = barrier.barrier(hostid, "test_meeting", timeout, None if server else port, listen_server=server)
        call = member.rendezvous_servers if servers else member.rendezvous
        hosts = ("127.0.0.1#0", "127.0.0.1#1")
        if abort is None:
            call(*hosts)
        else:
            call(*hosts, abort=abort)

    def ignore_error() -> None:
        try:
            meet("127.0.0.1#0")
        except error.BarrierError:
            pass

    other = threading.Thread(target=ignore_error)
    other.start()
    try:
        meet("127.0.0.1#1")
    finally:
        other.join(20)
        assert not other.is_alive()


# -- listen_server ----------------------------------------------------------------------------------------------------


def test_two_listen_servers_cannot_have_one_port() -> None:
    server = barrier.listen_server()
    with pytest.raises(OSError, match="in use"):
        barrier.listen_server()
    server.close()
    barrier.listen_server().close()


def test_a_port_and_a_listen_server_exclude_each_other() -> None:
    server = barrier.listen_server(port=5)
    with pytest.raises(error.BarrierError, match="mutually exclusive"):
        barrier.barrier("a", "tag", port=7, listen_server=server)
    assert barrier.barrier("a", "tag", listen_server=server)._port == 5
    server.close()


# -- barrier ----------------------------------------------------------------------------------------------------------


def test_initialize() -> None:
    created = barrier.barrier("127.0.0.1#", "testtag", 100, 11921)
    assert (created._hostid, created._tag, created._timeout_secs, created._port) == (
        "127.0.0.1#",
        "testtag",
        100,
        11921,
    )


def test_the_host_of_an_id() -> None:
    assert barrier.get_host_from_id("my_host") == "my_host"
    assert barrier.get_host_from_id("my_host#") == "my_host"
    assert barrier.get_host_from_id("my_host#2") == "my_host"
    with pytest.raises(error.BarrierError):
        barrier.get_host_from_id("#my_host")


@pytest.mark.parametrize("servers", [False, True])
def test_a_rendezvous_of_two(servers: bool) -> None:
    rendezvous(60, port=11920, servers=servers)


@pytest.mark.parametrize("servers", [False, True])
def test_a_rendezvous_without_time_fails(servers: bool) -> None:
    with pytest.raises(error.BarrierError, match="timeout waiting for barrier: test_meeting"):
        rendezvous(0, port=11921, servers=servers)


@pytest.mark.parametrize("servers", [False, True])
def test_abort_false_does_not_abort(servers: bool) -> None:
    rendezvous(60, port=11920, servers=servers, abort=False)


@pytest.mark.parametrize("servers", [False, True])
def test_an_abort_by_both(servers: bool) -> None:
    with pytest.raises(error.BarrierAbortError):
        rendezvous(20, port=11921, servers=servers, abort=True)


@pytest.mark.parametrize("timeout", [0, 20])
def test_an_abort_is_an_error_with_and_without_time_to_wait(timeout: float) -> None:
    with pytest.raises(error.BarrierError):
        rendezvous(timeout, port=11921, abort=True)


def test_a_listen_server_serves_several_barriers() -> None:
    server = barrier.listen_server()
    for _ in range(3):
        rendezvous(10, server=server)
    server.close()


def test_one_host_alone_does_not_wait() -> None:
    barrier.barrier("a", "alone", 10).rendezvous("a")
    barrier.barrier("a", "alone", 10).rendezvous("a", abort=True)
    barrier.barrier("a", "alone", 10).rendezvous_servers("a")


def test_a_timeout_names_the_missing_host() -> None:
    begin = time.monotonic()
    with pytest.raises(error.BarrierError, match=r"timeout waiting for barrier: late: .*missing: b") as caught:
        barrier.barrier("a", "late", 0.3).rendezvous("a", "b")
    assert 0.3 <= time.monotonic() - begin < 5
    assert isinstance(caught.value.__cause__, LinesyncError)


def _in_thread(hostid: str, tag: str, *hosts: str, port: int | None = None, abort: bool = False) -> list[object]:
    """Wait at a barrier in a thread. At the end, the list gets None or the error."""
    results: list[object] = []

    def meet() -> None:
        try:
            barrier.barrier(hostid, tag, 20, port).rendezvous(*hosts, abort=abort)
        except error.BarrierError as failure:
            results.append(failure)
        else:
            results.append(None)

    threading.Thread(target=meet, daemon=True).start()
    return results


def _await_arrivals(hub: kit.Site, tag: str, count: int, request: pytest.FixtureRequest) -> None:
    def arrived() -> int:
        with connect_blocking(f"unix:{hub.socket('hub')}") as client:
            barriers = client.status().barriers
        return sum(
            len(barrier.arrived)
            for barrier in barriers
            if barrier.name.endswith(f":{tag}") and barrier.namespace == request.node.name
        )

    wait_for(lambda: arrived() == count, f"{count} at {tag}")


def test_an_abort_by_one_of_three_reaches_waiting_and_later_hosts(
    hub: kit.Site, request: pytest.FixtureRequest
) -> None:
    waiting = _in_thread("a", "start", "a", "b", "c")
    _await_arrivals(hub, "start", 1, request)
    with pytest.raises(error.BarrierAbortError, match="b requested abort"):
        barrier.barrier("b", "start", 20).rendezvous("a", "b", "c", abort=True)
    with pytest.raises(error.BarrierAbortError):
        barrier.barrier("c", "start", 20).rendezvous("a", "b", "c")
    wait_for(lambda: waiting, "the first one's end")
    assert isinstance(waiting[0], error.BarrierAbortError)


def test_after_an_abort_the_tag_can_be_used_again(hub: kit.Site, request: pytest.FixtureRequest) -> None:
    for _ in range(3):
        results = [_in_thread(host, "again", "a", "b", abort=True) for host in "ab"]
        wait_for(lambda results=results: all(results), "both results")
        assert all(isinstance(end[0], error.BarrierAbortError) for end in results)
    results = [_in_thread(host, "again", "a", "b") for host in "ab"]
    wait_for(lambda: all(results), "both results")
    assert [end[0] for end in results] == [None, None]


def test_a_second_client_under_one_name_is_refused(hub: kit.Site, request: pytest.FixtureRequest) -> None:
    waiting = _in_thread("a", "twins", "a", "b")
    _await_arrivals(hub, "twins", 1, request)
    with pytest.raises(error.BarrierError, match="duplicate client"):
        barrier.barrier("a", "twins", 20).rendezvous("a", "b")
    barrier.barrier("b", "twins", 20).rendezvous("a", "b")
    wait_for(lambda: waiting, "the first one's end")
    assert waiting == [None]


def test_a_host_that_is_not_in_the_list_is_refused() -> None:
    with pytest.raises(error.BarrierError, match="c is not a member"):
        barrier.barrier("c", "closed", 20).rendezvous("a", "b")


def test_different_lists_of_hosts_are_refused_immediately(hub: kit.Site, request: pytest.FixtureRequest) -> None:
    _in_thread("a", "lists", "a", "b")
    _await_arrivals(hub, "lists", 1, request)
    begin = time.monotonic()
    with pytest.raises(error.BarrierError, match="use the same terms everywhere"):
        barrier.barrier("c", "lists", 20).rendezvous("a", "b", "c")
    assert time.monotonic() - begin < 5
    barrier.barrier("b", "lists", 20).rendezvous("a", "b")


def test_one_tag_on_two_ports_gives_two_barriers(hub: kit.Site, request: pytest.FixtureRequest) -> None:
    first = _in_thread("a", "ports", "a", "b", port=11930)
    other = _in_thread("a", "ports", "a", "b", port=11931)
    _await_arrivals(hub, "ports", 2, request)
    barrier.barrier("b", "ports", 20, 11931).rendezvous("a", "b")
    wait_for(lambda: other, "the meeting on 11931")
    assert (first, other) == ([], [None])
    barrier.barrier("b", "ports", 20, 11930).rendezvous("a", "b")
    wait_for(lambda: first, "the meeting on 11930")
    assert first == [None]


def test_pairs_that_use_one_tag_do_not_meet() -> None:
    pairs = [_in_thread(host, "same", *pair) for pair in ("ab", "cd") for host in pair]
    wait_for(lambda: all(pairs), "both meetings")
    assert pairs == [[None]] * 4


def test_a_master_meets_each_of_several_hosts_separately() -> None:
    def profile(host: str, hostid: str, results: list[str]) -> None:
        barrier.barrier(hostid, "sync_profilers", 20).rendezvous_servers("PROF_MASTER", host)
        results.append(hostid)

    results: list[str] = []
    threads = [
        threading.Thread(target=profile, args=(host, hostid, results))
        for host in ("host_a", "host_b")
        for hostid in ("PROF_MASTER", host)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(results) == ["PROF_MASTER", "PROF_MASTER", "host_a", "host_b"]


def test_ids_that_are_not_valid_names_can_meet() -> None:
    ids = ("::1", "fe80::1%eth0#2", "two words")
    results = [_in_thread(hostid, "a tag\twith anything: ü", *ids) for hostid in ids]
    wait_for(lambda: all(results), "the meeting")
    assert results == [[None]] * 3


def test_a_barrier_without_a_hub_fails_immediately(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINESYNC_HUB", "unix:/nowhere/none.sock")
    with pytest.raises(error.BarrierError, match="none.sock"):
        barrier.barrier("a", "tag", 20).rendezvous("a", "b")


# -- SyncData without other hosts ---------------------------------------------------------------------------------------


def test_a_closed_listen_server_is_an_error() -> None:
    server = autotest.SyncListenServer()
    server.close()
    with pytest.raises(error.DataSyncError, match="closed"):
        autotest.SyncData("a", "a", ["a"], "1", server).sync("test", 2)


def test_a_value_that_cannot_be_sent_is_refused_before_the_wait() -> None:
    with pytest.raises(error.DataSyncError, match="a set cannot be sent"):
        autotest.SyncData("a", "a", ["a", "b"], "1").sync({1, 2})


def test_a_timeout_of_0_is_an_error() -> None:
    with pytest.raises(error.DataSyncError, match="Timeout during data sync with data 'x'"):
        autotest.SyncData("a", "a", ["a"], "1").sync("x", 0)


def test_a_session_of_one_host(request: pytest.FixtureRequest) -> None:
    for number, method in enumerate(("sync", "single_sync")):
        sync = autotest.SyncData("127.0.0.1", "127.0.0.1", ["127.0.0.1"], f"127.0.0.1#{number}")
        assert sync.listen_server is not None
        assert getattr(sync, method)(f"test{number}") == {"127.0.0.1": f"test{number}"}
        assert sync.listen_server.closed == (method == "single_sync")
        sync.close()
        assert sync.listen_server.closed


def test_the_callers_own_listen_server_is_not_closed() -> None:
    server = autotest.SyncListenServer()
    with autotest.SyncData("::1", "::1", ["::1"], "1", server) as sync:
        assert sync.single_sync(("a", {1: b"b"})) == {"::1": ("a", {1: b"b"})}
    assert not server.closed


def test_a_host_that_does_not_arrive_causes_a_timeout() -> None:
    sync = autotest.SyncData("127.0.0.1", "127.0.0.1", ["127.0.0.1", "192.168.0.1"], "1")
    with pytest.raises(error.DataSyncError, match=r"Timeout during data sync with data 'test1': .*192\.168\.0\.1"):
        sync.single_sync("test1", 0.5)


def test_many_sessions_run_at_the_same_time() -> None:
    server = autotest.SyncListenServer()
    got: dict[int, object] = {}

    def session(number: int) -> None:
        sync = autotest.SyncData("127.0.0.1", "127.0.0.1", ["127.0.0.1"], f"127.0.0.1#{number}", server)
        got[number] = sync.sync(f"test{number}")
        sync.close()

    threads = [threading.Thread(target=session, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert got == {number: {"127.0.0.1": f"test{number}"} for number in range(30)}


def test_a_host_that_is_not_in_the_session_is_refused() -> None:
    with pytest.raises(error.DataSyncError, match="c"):
        autotest.SyncData("a", "c", ["a", "b"], "1").sync("x", 5)
