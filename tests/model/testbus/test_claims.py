"""Claims: the hosts that tests get, the order of the requests, and the ends of claims."""

from __future__ import annotations

import pytest

from linesync.errors import (
    Aborted,
    DeadlockError,
    LinesyncFailed,
    MemberLost,
    Mismatch,
    NotAllowed,
    TimedOut,
    UsageError,
)
from linesync.model.decisions import Granted
from linesync.model.participants import Cause

from .lab import Lab, wants


def test_a_host_is_claimed_by_name_by_capabilities_or_at_all() -> None:
    lab = Lab("plain", nfs="nfs-server nfs-client", big="nfs-server gpu")
    test = lab.test()
    assert lab.hosts_of(lab.ask(test, "a=nfs")) == ("nfs",)
    assert lab.hosts_of(lab.ask(test, "b:nfs-server,gpu")) == ("big",)
    assert lab.hosts_of(lab.ask(test, "c")) == ("plain",)
    assert isinstance(lab.error(lab.ask(test, "d", timeout=0)), TimedOut)
    assert lab.hosts_of(lab.ask(test, "d=hub", timeout=0)) == ("hub",)
    lab.check()


def test_a_host_with_few_capabilities_is_preferred() -> None:
    lab = Lab(big="a b", small="a", plain="")
    test = lab.test()
    assert lab.hosts_of(lab.ask(test, "x", "y:a")) == ("plain", "small")


def test_the_hosts_of_a_request_are_different_and_found_whenever_they_exist() -> None:
    lab = Lab(h1="a", h2="a b", h3="b c")
    assert lab.hosts_of(lab.ask(lab.test(), "x:b", "y", "z:a,b", timeout=0)) == ("h3", "h1", "h2")


def test_a_request_gets_all_hosts_or_none() -> None:
    lab = Lab("h1", "h2", "h3")
    first, second = lab.test("first"), lab.test("second")
    lab.claim(first, "a")
    waiting = lab.ask(second, "a", "b", "c")
    assert lab.waits(waiting) and lab.users() == {"h1": ["first"]}
    lab.check()
    lab.delete(first)
    assert lab.hosts_of(waiting) == ("h1", "h2", "h3")
    lab.check()


def test_two_tests_that_need_two_hosts_each_get_them_one_after_the_other() -> None:
    lab = Lab("h1", "h2")
    tests = [lab.test(name) for name in ("first", "second")]
    asked = [lab.ask(test, "a", "b") for test in tests]
    assert lab.hosts_of(asked[0]) == ("h1", "h2") and lab.waits(asked[1])
    lab.delete(tests[0])
    assert lab.hosts_of(asked[1]) == ("h1", "h2")


def test_a_large_request_is_not_starved_by_later_small_ones() -> None:
    lab = Lab("h1", "h2")
    small = lab.test("small")
    (held,) = lab.claim(small, "a=h1")
    large = lab.ask(lab.test("large"), "a", "b")
    later = [lab.ask(lab.test(f"later{n}"), "a") for n in range(3)]
    assert all(map(lab.waits, [large, *later]))
    lab.release(held)
    assert lab.hosts_of(large) == ("h1", "h2") and all(map(lab.waits, later))


def test_a_request_for_a_host_that_is_down_does_not_block_later_ones() -> None:
    lab = Lab("h1", "h2")
    lab.down("h2")
    pair = lab.ask(lab.test("pair"), "a=h1", "b=h2")
    single = lab.ask(lab.test("single"), "a=h1")
    assert lab.waits(pair) and lab.hosts_of(single) == ("h1",)
    lab.up("h2")
    later = lab.ask(lab.test("later"), "a=h2")
    assert lab.waits(later), "the pair could be met now if nobody used the hosts, so it reserves them"
    lab.delete(lab.bus.handle_of("test", "single"))
    assert lab.hosts_of(pair) == ("h1", "h2")


def test_a_request_waits_for_a_host_to_come_up_and_for_a_new_capability() -> None:
    lab = Lab("h1")
    waiting = lab.ask(lab.test(), "a=h9")
    able = lab.ask(lab.test(), "a:gpu")
    lab.publish("h1", ["gpu"])
    assert lab.hosts_of(able) == ("h1",)
    lab.up("h9")
    assert lab.hosts_of(waiting) == ("h9",)


def test_a_shared_host_has_several_tests_and_an_exclusive_request_waits_for_all_of_them() -> None:
    lab = Lab("h1")
    first, second, third = (lab.test(name) for name in ("first", "second", "third"))
    lab.claim(first, "+a=h1")
    (shared,) = lab.claim(second, "+a=h1")
    alone = lab.ask(third, "a=h1")
    late = lab.ask(lab.test("late"), "+a=h1")
    assert lab.waits(alone) and lab.waits(late), "a later shared request does not overtake an exclusive one"
    lab.delete(first)
    assert lab.waits(alone)
    lab.release(shared)
    assert lab.hosts_of(alone) == ("h1",) and lab.waits(late)
    lab.check()


def test_a_role_is_unique_in_its_test_also_among_requests_that_wait() -> None:
    lab = Lab("h1", "h2")
    test = lab.test()
    lab.claim(test, "server=h1")
    with pytest.raises(Mismatch, match=r"the role 'server' is taken in test 'nfs' \(test4\)"):
        lab.claim(test, "server=h2")
    with pytest.raises(Mismatch, match="the role 'x' is taken"):
        lab.claim(test, "x", "x")
    lab.ask(test, "client=h9")
    with pytest.raises(Mismatch, match="the role 'client' is taken"):
        lab.claim(test, "client=h2")
    lab.claim(lab.test("inner", within=test), "server=h2")


@pytest.mark.parametrize(
    ("texts", "error", "match"),
    [
        ((), UsageError, "at least one host"),
        (("a-b",), UsageError, "invalid role 'a-b'"),
        (("a=h 1",), UsageError, "invalid host name"),
        (("a:x\x01",), UsageError, "control characters"),
        (("a=h1", "b=h1"), UsageError, "cannot ask for host h1 twice"),
        (("a=h9",), LinesyncFailed, "host h9 cannot be claimed: the hub has never seen it"),
        (("a=h2",), MemberLost, r"host h2 cannot be claimed: it is lost \(stopped\)"),
        (("a=h3",), TimedOut, r"host h3 is in use by test 'other' \(test5\)"),
        (("a:gpu",), TimedOut, "no host with the capability gpu is up"),
        (("a", "b", "c"), TimedOut, "is free, but an earlier claim waits for it, or another host of this claim"),
    ],
)
def test_a_refused_request_changes_nothing(texts: tuple[str, ...], error: type[Exception], match: str) -> None:
    lab = Lab("h1", "h2", "h3")
    lab.down("h2")
    lab.claim(lab.test("other"), "a=h3")
    test = lab.test()
    before = lab.bus.show(lab.now)
    with pytest.raises(error, match=match):
        lab.claim(test, *texts)
    assert lab.bus.show(lab.now) == before
    lab.check()


def test_a_request_times_out_with_the_reason_for_each_host() -> None:
    lab = Lab("h1", "h2")
    lab.claim(lab.test("other"), "a=h1")
    test = lab.test()
    asked = lab.ask(test, "server=h1", "client:gpu", timeout=5.0)
    lab.pass_time(4.5)
    assert lab.waits(asked)
    lab.check()
    lab.pass_time(1.0)
    error = lab.error(asked)
    assert isinstance(error, TimedOut)
    assert error.details["missing"] == {
        "server": "host h1 is in use by test 'other' (test4)",
        "client": "no host with the capability gpu is up",
    }
    assert error.message.startswith("timed out after 5 s at the claim of server, client for test 'nfs' (test6): ")


def test_a_claim_ends_with_its_test_its_release_or_its_deletion() -> None:
    lab = Lab("h1", "h2")
    outer = lab.test("outer")
    inner = lab.test("inner", within=outer)
    (one,), (two,) = lab.claim(inner, "a=h1"), lab.claim(outer, "b=h2")
    lab.release(one)
    lab.delete(two)
    lab.claim(inner, "a=h1")
    assert lab.users() == {"h1": ["inner"]}
    lab.bus.take_actions()
    lab.delete(outer)
    assert lab.users() == {} and [action.host for action in lab.bus.take_actions()] == ["h1"]


@pytest.mark.parametrize("end", ["client", "process", "host"])
def test_a_test_ends_with_its_owner(end: str) -> None:
    lab = Lab("sut", "h1", "h2")
    options = {"client": {}, "process": {"owner": lab.shell(7, "sut")}, "host": {"keep": True}}[end]
    test = lab.test(who="sut/1", **options)
    lab.claim(test, "a=h1")
    waiting = lab.ask(test, "b=h9", who="sut/2")
    later = lab.ask(lab.test("later"), "a=h1")
    client = lab.client("sut/1")
    assert lab.bus.owns(client) == (end == "client")
    owners = [(owner.host, owner.pid) for owner in lab.bus.owners() if owner.host == "sut"]
    assert owners == {"client": [("sut", 0)], "process": [("sut", 7)], "host": []}[end]
    lab.check()
    ends = {
        "client": lambda: lab.take(lab.services.client_gone(client, lab.now)),
        "process": lambda: lab.take(lab.services.owner_gone("sut", 7, "100", lab.now)),
        "host": lambda: lab.down("sut"),
    }
    for name, call in ends.items():
        if name == end:
            call()
            break
        if name != "host":
            call()
            assert lab.bus.handle_of("test", "nfs") == test
    assert lab.bus.handle_of("test", "nfs") is None
    assert lab.hosts_of(later) == ("h1",)
    assert isinstance(lab.error(waiting), Aborted if end != "host" else LinesyncFailed)
    lab.check()


def test_the_error_of_a_request_names_the_reason_why_its_test_was_deleted() -> None:
    lab = Lab()
    test = lab.test()
    asked = lab.ask(test, "a=h9")
    lab.delete(test)
    assert "the claim of a for test 'nfs' (test2) ended, because the test was deleted: hub deleted it" in str(
        lab.error(asked)
    )


def test_hosts_that_were_not_confirmed_are_free_when_their_client_is_gone() -> None:
    lab = Lab("h1")
    test = lab.test(who="hub/1")
    (granted,) = lab.bus.claim("a1", test, wants("a=h1"), lab.client("hub/2"), lab.now)
    assert isinstance(granted, Granted) and granted.provisional
    lab.check()
    (again,) = lab.bus.claim("a1", test, wants("a=h1"), lab.client("hub/3"), lab.now)
    assert again.value == granted.value
    lab.take(lab.services.client_gone(lab.client("hub/2"), lab.now))
    assert lab.users() == {"h1": ["nfs"]}
    lab.take(lab.services.client_gone(lab.client("hub/3"), lab.now))
    assert lab.users() == {}
    lab.check()


def test_confirmed_hosts_stay_when_the_client_that_asked_for_them_ends() -> None:
    lab = Lab("h1")
    test = lab.test(who="hub/1")
    lab.claim(test, "a=h1", who="hub/2")
    lab.take(lab.services.client_gone(lab.client("hub/2"), lab.now))
    assert lab.users() == {"h1": ["nfs"]}


def test_a_client_that_gives_up_after_its_grant_has_no_host() -> None:
    lab = Lab("h1")
    test = lab.test(who="hub/1")
    client = lab.client("hub/2")
    lab.bus.claim("a1", test, wants("a=h1"), client, lab.now)
    lab.services.commit("a1", client, lab.now)
    lab.check()
    lab.take(lab.services.withdraw("a1", client, lab.now))
    assert lab.users() == {}
    with pytest.raises(LinesyncFailed, match="the claimed hosts were returned"):
        lab.services.commit("a1", client, lab.now)
    lab.check()


def test_a_claim_that_was_released_before_its_confirmation_is_gone() -> None:
    lab = Lab("h1", "h2")
    test = lab.test(who="hub/1")
    (granted,) = lab.bus.claim("a1", test, wants("a=h1", "b=h2"), lab.client("hub/2"), lab.now)
    lab.release(granted.value.handles[0])
    lab.check()
    lab.services.commit("a1", lab.client("hub/2"), lab.now)
    assert lab.users() == {"h2": ["nfs"]}
    lab.check()


def test_a_claim_stays_while_its_host_is_lost() -> None:
    lab = Lab("h1")
    test = lab.test()
    lab.claim(test, "a=h1")
    lab.down("h1")
    lab.check()
    lab.up("h1")
    assert lab.users() == {"h1": ["nfs"]}
    assert isinstance(lab.error(lab.ask(lab.test("b"), "a=h1", timeout=0)), TimedOut)


def test_a_test_cannot_ask_for_a_host_that_it_uses() -> None:
    lab = Lab("h1")
    test = lab.test()
    (claim,) = lab.claim(test, "+a=h1")
    inner = lab.test("inner", within=test)
    with pytest.raises(Mismatch, match=rf"already uses host h1 in the role 'a'; use this claim \({claim}\)"):
        lab.claim(inner, "b=h1")
    lab.claim(inner, "+b=h1")


def test_a_test_that_holds_a_needed_host_may_get_a_reserved_one() -> None:
    lab = Lab("h1", "h2")
    holder = lab.test("holder")
    lab.claim(holder, "a=h1")
    both = lab.ask(lab.test("both"), "a=h1", "b=h2")
    assert lab.hosts_of(lab.ask(holder, "b=h2")) == ("h2",), "the other request waits for this test anyway"
    lab.delete(holder)
    assert lab.hosts_of(both) == ("h1", "h2")


def test_hosts_of_an_earlier_hub_are_not_granted_before_its_leases_have_ended() -> None:
    lab = Lab("h1")
    lab.services.grant_no_holds_before(lab.now + 8.0)
    asked = lab.ask(lab.test(), "a")
    assert lab.waits(asked)
    assert isinstance(lab.error(lab.ask(lab.test("b"), "a", timeout=0)), TimedOut)
    lab.pass_time(8.5)
    assert lab.hosts_of(asked) == ("h1",)


# -- deadlocks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", ["client", "process", "host"])
def test_two_tests_that_wait_for_each_other_are_a_deadlock(owner: str) -> None:
    lab = Lab("h1", "h2")
    tests = []
    for n in (1, 2):
        options = {"client": {}, "process": {"owner": lab.shell(n)}, "host": {"keep": True}}[owner]
        tests.append(lab.test(f"t{n}", who=f"hub/{n}", **options))
        lab.claim(tests[-1], f"a=h{n}", who=f"hub/{n}")
    askers = ["hub/1", "hub/2"] if owner == "client" else ["hub/3", "hub/4"]
    asked = [lab.ask(tests[0], "b=h2", who=askers[0]), lab.ask(tests[1], "b=h1", who=askers[1])]
    lab.pass_time(1.5)
    assert all(map(lab.waits, asked))
    lab.pass_time(3.0)
    for arrival in asked:
        error = lab.error(arrival)
        assert isinstance(error, DeadlockError)
        assert "hub waits for host h2, which test 't2'" in error.message
        assert "hub waits for host h1, which test 't1'" in error.message
    assert lab.users() == {"h1": ["t1"], "h2": ["t2"]}


def test_a_test_whose_owner_can_still_release_its_host_is_not_a_deadlock() -> None:
    lab = Lab("h1", "h2")
    first, second = lab.test("t1", who="hub/1"), lab.test("t2", who="hub/2")
    (held,) = lab.claim(first, "a=h1", who="hub/1")
    lab.claim(second, "a=h2", who="hub/2")
    asked = [lab.ask(first, "b=h2", who="hub/3"), lab.ask(second, "b=h1", who="hub/2")]
    lab.pass_time(10.0)
    assert all(map(lab.waits, asked)), "hub/1 owns the first test and does not wait"
    lab.release(held)
    assert lab.hosts_of(asked[1]) == ("h1",)


def test_a_request_that_needs_a_host_that_is_down_is_not_a_deadlock() -> None:
    lab = Lab("h1", "h2")
    first, second = lab.test("t1", who="hub/1"), lab.test("t2", who="hub/2")
    lab.claim(first, "a=h1", who="hub/1")
    lab.claim(second, "a=h2", who="hub/2")
    asked = [lab.ask(first, "b=h2", "c=h9", who="hub/1"), lab.ask(second, "b=h1", who="hub/2")]
    lab.pass_time(10.0)
    assert all(map(lab.waits, asked))


def test_a_cycle_through_a_reservation_and_a_lock_is_a_deadlock() -> None:
    lab = Lab("h1", "h2")
    client1, client2 = lab.client("hub/1"), lab.client("hub/2")
    first = lab.test("t1", who="hub/1")
    lab.claim(first, "a=h1", who="hub/1")
    lab.take(lab.services.locks.take("l2", "default", "flash", client2, lab.now))
    asked = lab.ask(lab.test("t2", who="hub/2"), "a=h1", who="hub/2")
    lab.take(lab.services.locks.take("l1", "default", "flash", client1, lab.now))
    lab.pass_time(4.0)
    assert isinstance(lab.error(asked), DeadlockError) and isinstance(lab.error("l1"), DeadlockError)


def test_a_test_that_waits_only_for_itself_is_a_deadlock() -> None:
    lab = Lab(h1="gpu")
    test = lab.test()
    lab.claim(test, "a=h1")
    asked = lab.ask(test, "b:gpu")
    lab.pass_time(4.0)
    assert isinstance(lab.error(asked), DeadlockError)


def test_the_causes_in_errors_are_those_of_other_waits() -> None:
    lab = Lab("h1")
    test = lab.test(who="hub/1")
    asked = lab.ask(test, "a=h9", who="h1/1")
    lab.take(lab.services.withdraw(asked, lab.client("h1/1"), lab.now, Cause.GAVE_UP))
    assert lab.error(asked).details["cause"] == "gave up"
    with pytest.raises(NotAllowed, match="cannot be deleted"):
        lab.delete("host1")
