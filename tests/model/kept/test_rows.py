"""The rows of stored objects: their contents, the refusal of a bad row by name, and the number of rows of an input."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from linesync.errors import Aborted, LinesyncError, TimedOut, UsageError
from linesync.model.decisions import Failed, Granted
from linesync.model.kept.rows import KINDS, BadRow
from linesync.model.kept.values import KeptError
from linesync.model.participants import Cause, Client
from linesync.model.state.group import Announced
from linesync.model.state.group import Terms as GroupTerms
from linesync.model.state.testbus import RunOptions, Want
from linesync.model.sync.barriers.terms import Reuse, Terms
from linesync.model.sync.namespaces import Owner
from linesync.model.sync.services import SyncServices

from .life import Store

A, B = Client("a", "1"), Client("b", "1")
Rows = dict[tuple[str, str], Any]


def stored() -> tuple[SyncServices, Store]:
    services, store = SyncServices(stored=True), Store()
    for number, host in enumerate("ab"):
        services.register(host, f"s{number}", "boot", f"/dev/ttyS{number}", 0.0)
    store.take(services)
    return services, store


def restored(
    rows: dict[tuple[str, str], str], shift: float = 0.0, now: float = 0.0, first_token: int = 1
) -> SyncServices:
    return SyncServices.restore([(*key, text) for key, text in rows.items()], shift, now, first_token=first_token)


def test_a_restored_host_whose_system_went_down_still_has_the_rest_of_ten_minutes() -> None:
    services, store = stored()
    services.going_down("a", "s0")
    store.take(services)
    assert json.loads(store.rows["host", "a"])["going_down"] is True
    services.ended("a", "s0", Cause.STOPPED, "", 5.0)
    store.take(services)
    again = restored(store.rows, now=100.0)
    assert again.absent("a") is Cause.RESTARTED
    again.handle_timer(604.0)
    assert again.absent("a") is Cause.RESTARTED
    again.handle_timer(605.0)
    assert again.absent("a") is Cause.LINE_LOST


def test_a_member_that_got_the_error_and_aborts_the_next_generation_leaves_no_row_of_the_first_failure() -> None:
    services, store = stored()
    terms = Terms(count=3, members=frozenset(("a", "b", "c")))
    for arrival, client, abort in (("1", B, "no power"), ("2", A, ""), ("3", A, "no power")):
        services.barriers.arrive(arrival, "default", "boot", terms, client, 0.0, abort=abort)
        store.take(services)
        assert store.rows == Store.dump(services)
    restored(store.rows)


def _groups(services: SyncServices) -> None:
    """A group with a running round, a message, a wait, and a member that was removed and was not notified yet."""
    groups, terms, client = services.groups, GroupTerms(quorum=1), Client("a", "2")
    first, _ = groups.join("run", "net", "a", A, terms, [Announced(1, "disk", "1.0", 5.0)], 0.0)
    second, _ = groups.join("run", "net", "b", B, terms, [Announced(1, "disk"), Announced(2, "web")], 0.0)
    groups.next("17", first.number, A, first.sent, 0.0)
    groups.next("16b", first.number, A, first.sent, 0.0)
    groups.next("18", second.number, B, second.sent, 0.0)
    groups.cast("19", first.number, A, 2, "tx", 1, 0.0, state=True)
    groups.next("20", second.number, B, second.sent, 0.0, number=second.steps[0].number)
    groups.wait("21", "run", "net", 3, A, 0.0)
    groups.join("run", "net", "a#x", client, terms, [], 0.0)
    groups.leave("run", "net", "a#x", client, 0.0)


def _test_bus(services: SyncServices) -> None:
    """A test with a host, a variable, a file, a command, a request that waits and one that is not confirmed."""
    bus = services.testbus
    bus.create_test("22", "nfs", A, 0.0, keep=True)
    (test,) = [one.handle for one in bus.show(0.0).objects if one.kind == "test"]
    bus.claim("23", test, [Want("server", "a")], A, 0.0)
    bus.claim("24", test, [Want("client", "c", ("nfs-client",), True)], A, 0.0, 9.0)
    bus.set_variables(test, {"X": "1"})
    bus.put_file("25", test, "conf", "0" * 64, 3, 0o644, A, 0.0)
    bus.create_command("26", test, ["cat", "%{file:conf}"], A, 0.0)
    bus.create_command("27", test, ["true"], A, 0.0)
    bus.claim("28", test, [Want("other", "b")], A, 0.0)
    services.commit("28", A, 0.0)
    objects = bus.show(0.0).objects
    (claim,) = [one.handle for one in objects if one.kind == "claim" and one.host == "b"]
    fetching, running = [one.handle for one in objects if one.kind == "command"]
    bus.run("29", fetching, claim, RunOptions(), {}, A, 0.0)
    bus.run("30", running, claim, RunOptions(parallel=True, background=True), {"Y": "2"}, A, 0.0)
    first, second = [one.handle for one in bus.show(0.0).objects if one.kind == "process"]
    bus.wait("31", first, A, 0.0)
    bus.delete("32", [second], A, 0.0)


def everything() -> dict[tuple[str, str], str]:
    """Return consistent rows of every kind."""
    services, store = stored()
    members, failing = frozenset(("a", "b", "c")), ("a", "b", "c")
    services.begin_namespace("run", Owner(A, 7, "100", "sleep"), 0.0)
    services.semaphores.change("1", "run", "slots", 2, A, 0.0, bound=4)
    services.semaphores.change("2", "run", "slots", -1, A, 0.0, hold=True)
    services.confirm("2", A)
    services.locks.take("3", "run", "flash", A, 0.0, keep=True)
    services.locks.take("4", "run", "flash", B, 0.0, 9.0, within="2")
    services.barriers.arrive("5", "run", "open", Terms(count=3, members=members), A, 0.0)
    services.barriers.arrive("6", "run", "lingers", Terms(count=1, reuse=Reuse(linger=5.0)), A, 0.0)
    for arrival, client, abort in (("7", A, "no power"), ("8", B, "")):
        services.barriers.arrive(arrival, "run", "aborted", Terms(count=3, members=members), client, 0.0, abort=abort)
    services.exchanges.open("9", "run", "open", ("a", "b"), "a", 1, A, 0.0)
    services.exchanges.given("9", A, 1, 0.0)
    services.exchanges.open("10", "run", "failed", failing, "a", 1, A, 0.0)
    services.exchanges.cannot_keep("10", A, "the disk is full", 0.0)
    services.exchanges.open("11", "run", "failed", failing, "b", 1, B, 0.0)
    services.events.set("12", "run", ("ready",), A, 0.0)
    services.events.wait("13", "run", ("ready", "other"), False, A, 0.0)
    services.mailbox.send("14", "run", "log", ("x", "y"), "a", A, 0.0)
    services.mailbox.receive("15", "run", "log", 2, 1, True, "a", A, 0.0)
    services.mailbox.receive_all("16", "run", "log", "a", "", A, 0.0)
    _groups(services)
    _test_bus(services)
    services.grant_no_holds_before(20.0)
    store.take(services)
    assert {kind for kind, _ in store.rows} == KINDS.keys() - {"exchange lingering"}  # an exchange does not linger
    assert Store.dump(services) == store.rows
    return store.rows


# -- contents ----------------------------------------------------------------------------------------------------------------


def test_the_remaining_time_of_a_wait_survives_a_restart_of_the_machine() -> None:
    services, store = stored()
    services.locks.take("1", "default", "flash", A, 5000.0)
    services.locks.take("2", "default", "flash", B, 5000.0, timeout=60.0)
    store.take(services)
    after = restored(store.rows, shift=10.0 - 5020.0, now=10.0)  # 20 s later, on a clock that began again
    assert after.next_timer() == 10.0 + 0.5  # the search for deadlocks
    assert [wait.waiting for wait in after.status(10.0).locks[0].queue] == [20.0]
    assert [type(outcome) for outcome in after._waits.handle_timer(49.75)] == []
    assert [outcome.arrival for outcome in after._waits.handle_timer(50.0) if isinstance(outcome, Failed)] == ["2"]


def test_a_retry_after_a_restart_gets_the_stored_grant_and_no_second_grant() -> None:
    services, store = stored()
    services.semaphores.change("1", "default", "slots", 2, A, 0.0)
    services.semaphores.change("2", "default", "slots", -1, B, 0.0)
    services.commit("2", B, 0.0)
    store.take(services)
    after = restored(store.rows)
    (again,) = after.semaphores.change("2", "default", "slots", -1, Client("b", "9"), 1.0)
    assert isinstance(again, Granted) and again.client == Client("b", "9") and not again.provisional
    assert after.status(1.0).semaphores[0].value == 1


def test_fencing_tokens_grow_over_a_restart_although_no_lock_is_left() -> None:
    services, store = stored()
    services.locks.take("1", "default", "flash", A, 0.0)
    services.withdraw("1", A, 0.0)
    store.take(services)
    after = restored(store.rows)
    assert after.status(0.0).locks == ()
    (taken,) = after.locks.take("2", "default", "flash", B, 0.0)
    assert isinstance(taken, Granted) and taken.value.token == 2  # type: ignore[union-attr]
    services.locks.reserved(5000, 9000)
    store.take(services)
    assert restored(store.rows).locks.next_token() == 5000
    assert restored(store.rows, first_token=7000).locks.next_token() == 7000


def test_a_live_host_gets_a_new_lease_and_must_be_heard_before_anyone_relies_on_it() -> None:
    services, store = stored()
    services.barriers.arrive("1", "default", "boot", Terms(count=2), A, 1.0)
    store.take(services)
    after = restored(store.rows, now=500.0)
    assert after.handle_timer(519.75) == [] and after.absent("a") is None
    assert after.barriers.arrive("2", "default", "boot", Terms(count=2), B, 519.75) == []
    assert after.take_asked() == ["a", "b"]
    assert after.heard("a", "s0", 519.75) == []
    assert {event.arrival for event in after.heard("b", "s1", 519.75)} == {"1", "2"}  # type: ignore[union-attr]


def test_a_complete_barrier_asks_its_hosts_again_after_a_restart() -> None:
    services, store = stored()
    for arrival, client in (("1", A), ("2", B)):
        services.barriers.arrive(arrival, "default", "boot", Terms(count=2), client, 10.0)
    assert services.take_asked() == ["a", "b"]
    store.take(services)
    after = restored(store.rows, now=11.0)
    assert after.take_asked() == ["a", "b"]
    after.heard("a", "s0", 12.0)
    assert {event.arrival for event in after.heard("b", "s1", 12.0)} == {"1", "2"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "error",
    [
        TimedOut("too late", details={"arrived": ("a", "b"), "missing": {"c": "lost"}, "count": None}),
        Aborted("stop"),
        UsageError("byte \udc80", details={"name": "\udc80"}),
    ],
)
def test_an_error_is_stored_with_its_class_its_sentence_and_its_details(error: LinesyncError) -> None:
    again = KeptError.from_json(json.loads(json.dumps(KeptError.keep(error).as_json()))).restore()
    assert (type(again), again.message) == (type(error), error.message)
    assert json.dumps(again.details) == json.dumps(error.details)


def test_every_kind_of_row_is_stored_and_restored() -> None:
    rows = everything()
    assert Store.dump(restored(rows)) == rows


def check(services: SyncServices, store: Store) -> None:
    """Check that the store has all changes, and that a restored model has the same rows."""
    store.take(services)
    assert Store.dump(services) == store.rows
    assert Store.dump(restored(store.rows)) == store.rows


def test_an_arrival_at_a_complete_barrier_is_stored_with_the_next_generation() -> None:
    services, store = stored()
    for arrival, client in (("1", A), ("2", B), ("3", B), ("4", A)):
        services.barriers.arrive(arrival, "default", "boot", Terms(count=2), client, 10.0)
    check(services, store)
    services.withdraw("1", A, 10.0)
    check(services, store)
    assert {event.arrival for event in services.heard("b", "s1", 11.0)} == {"2", "3"}  # type: ignore[union-attr]
    check(services, store)
    assert [(row.generation, len(row.arrived)) for row in services.status(11.0).barriers] == [(2, 1)]


def test_a_member_whose_restart_is_tolerated_is_stored_as_lost_until_it_returns() -> None:
    services, store = stored()
    terms = Terms(count=3, members=frozenset("abc"), tolerate=True)
    services.barriers.arrive("1", "default", "boot", terms, A, 0.0)
    services.barriers.arrive("2", "default", "boot", terms, B, 0.0)
    check(services, store)
    services.register("a", "s9", "boot9", "/dev/ttyS0", 1.0)
    check(services, store)
    assert "restarted" in services.status(1.0).barriers[0].missing["a"]  # type: ignore[index]
    services.barriers.arrive("3", "default", "boot", terms, Client("a", "2"), 2.0)
    check(services, store)


def test_a_stopped_host_that_had_sent_still_counts_for_a_gathering() -> None:
    services, store = stored()
    services.mailbox.receive_all("1", "default", "log", "hub", "", Client("hub", "1"), 0.0)
    services.mailbox.send("2", "default", "log", ("x",), "a", A, 0.0)
    services.ended("a", "s0", Cause.STOPPED, "", 1.0)
    check(services, store)
    after = restored(store.rows)
    events = after.mailbox.send("3", "default", "log", ("y",), "b", B, 2.0)
    assert [len(event.value.messages) for event in events if event.arrival == "1"] == [2]  # type: ignore[union-attr]
    services.register("c", "s5", "boot5", "/dev/ttyS5", 2.0)  # the group is checked again
    check(services, store)


# -- refusals --------------------------------------------------------------------------------------------------------------------


def test_an_inconsistent_row_is_refused_by_kind_and_key() -> None:
    services, store = stored()
    services.locks.take("1", "default", "flash", A, 0.0)
    store.take(services)
    del store.rows["lock", "default\tflash"]
    ((kind, key),) = [row for row in store.rows if row[0] == "wait"]
    with pytest.raises(BadRow, match=rf"the stored wait '{key}' is not valid: .*'flash'.* is not stored") as refused:
        restored(store.rows)
    assert refused.value.details == {"kind": kind, "key": key}


@pytest.mark.parametrize(
    ("kind", "key", "text", "why"),
    [
        ("cloud", "x", "{}", "does not know its kind"),
        ("host", "a", "{", "Expecting property name"),
        ("host", "a", "[]", "is an object"),
        ("event", "default", '{"number": 1}', "not enough values"),
        ("event", "default\tx", '{"number": NaN}', "NaN is not a number"),
        ("event", "default\tx", "{}", "needs the field number"),
        ("semaphore", "default\tx", '{"number": 1, "value": -1, "bound": 0}', "0 to"),
        ("message", "default\tx\t1", '{"sender": "a", "items": []}', "is not stored"),
    ],
)
def test_a_row_of_a_damaged_or_newer_store_is_refused(kind: str, key: str, text: str, why: str) -> None:
    with pytest.raises(BadRow, match=why):
        restored({(kind, key): text})


def spoiled(random: Random, value: Any) -> Any:
    """Return a JSON value with one part changed."""
    if isinstance(value, dict) and value:
        name = random.choice(list(value))
        if random.random() < 0.2:
            return {field: value[field] for field in value if field != name}
        return value | {name: spoiled(random, value[name])}
    if isinstance(value, list) and value and random.random() < 0.7:
        return [*value[:-1], spoiled(random, value[-1])]
    return random.choice(
        (None, True, -1, 0, 1, 2**70, 0.5, "", "a", "BY_HOST", "stopped", "{", [], ["a"], {}, {"a": 1})
    )


@pytest.mark.parametrize("seed", range(20))
def test_a_store_with_any_spoiled_rows_is_restored_or_refused(seed: int) -> None:
    random, good, refused = Random(seed), everything(), 0
    for _ in range(100):
        rows = dict(good)
        kind, key = random.choice(sorted(rows))
        text = rows.pop((kind, key))
        if random.random() < 0.9:
            key = key if random.random() < 0.9 else random.choice(("", "x", "a\tb", key + "\t1", "a\tb\tc\td"))
            rows[kind, key] = json.dumps(spoiled(random, json.loads(text)))
        try:
            restored(rows)
        except BadRow:
            refused += 1
    assert refused


# -- number of rows --------------------------------------------------------------------------------------------------------------


def cost(services: SyncServices, store: Store) -> int:
    store.take(services)
    return store.taken


@pytest.mark.parametrize("waiting", [10, 1000])
def test_the_rows_of_an_input_do_not_grow_with_the_number_of_waits(waiting: int) -> None:
    services, store = stored()
    for number in range(waiting):
        services.locks.take(f"l{number}", "default", "flash", A, 0.0)
        services.semaphores.change(f"s{number}", "default", "slots", -1, A, 0.0)
        services.events.wait(f"e{number}", "default", ("ready", "other"), False, A, 0.0)
        services.barriers.arrive(f"b{number}", "default", "boot", Terms(count=9999), A, 0.0)
        services.mailbox.receive(f"m{number}", "default", "log", waiting + 2, 1, False, "a", A, 0.0)
    cost(services, store)
    result, wait_and_result = ("result",), ("wait", "result")
    for call, kinds in (
        (
            lambda: services.semaphores.change("1", "default", "slots", 2, B, 0.0),
            ("semaphore", "wait", "wait", *result),
        ),
        (lambda: services.events.set("2", "default", ("ready",), B, 0.0), ("event", *result)),
        (lambda: services.barriers.arrive("3", "default", "boot", Terms(count=9999), B, 0.0), ("wait",)),
        (lambda: services.mailbox.send("4", "default", "log", ("x",), "b", B, 0.0), ("message", *result)),
        (lambda: services.withdraw("l5", A, 0.0), wait_and_result),
        (lambda: services.withdraw("l0", A, 0.0), ("lock", "counter", "wait", *wait_and_result)),
        (lambda: services.withdraw("b0", A, 0.0), ("barrier", *wait_and_result)),
        (lambda: services.heard("a", "s0", 1.0), ()),
        (lambda: services.handle_timer(1.0), ()),
    ):
        call()
        assert cost(services, store) == len(kinds)


def test_a_release_changes_the_rows_of_the_released_waits() -> None:
    services, store = stored()
    for number in range(29):
        services.barriers.arrive(f"b{number}", "default", "boot", Terms(count=30), A, 0.0)
    cost(services, store)
    assert len(services.barriers.arrive("b29", "default", "boot", Terms(count=30), B, 0.0)) == 30
    assert cost(services, store) == 29 * 2 + 1 + 3  # waits and results; a result; the barrier, its terms, and its past


def test_each_member_that_gets_the_error_of_a_failure_later_needs_one_small_row() -> None:
    members = frozenset(f"m{number}" for number in range(500))
    terms = Terms(count=500, members=members, reuse=Reuse())
    services, store = stored()
    services.barriers.arrive("0", "default", "boot", terms, A, 0.0, as_member="m0", abort="no power")
    store.take(services)
    for number in range(1, 400):
        services.barriers.arrive(str(number), "default", "boot", terms, A, 0.0, as_member=f"m{number}")
        services.confirm(str(number), A)
        before = dict(store.rows)
        assert cost(services, store) == 1
        assert sum(len(text) for key, text in store.rows.items() if before.get(key) != text) < 10


def test_an_object_that_begins_and_ends_in_one_input_needs_no_row() -> None:
    services, store = stored()
    services.events.clear("1", "default", ("ready",), A, 0.0)
    services.confirm("1", A)
    assert cost(services, store) == 0


def test_a_journal_that_is_off_keeps_no_marks() -> None:
    services = SyncServices()
    services.events.set("1", "default", ("ready",), A, 0.0)
    assert services.journal.take() == [] and len(services.journal.all()) > 1
