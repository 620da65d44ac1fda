"""Exchanges between real processes: members that give data, members that die, and the data that all members get."""

from __future__ import annotations

import asyncio
import base64
import random
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from linesync import connect, connect_blocking
from linesync.testing.nullmodem import NullModem
from tests.e2e import kit
from tests.e2e.kit import Site
from tests.e2e.sync.exchanging import MIB, NAMED, SLOW, Trio, answer, answers, clean_afterwards, make_trio
from tests.real import wait_for


@pytest.fixture(scope="module")
def shared() -> Iterator[Trio]:
    with kit.site() as place:
        yield make_trio(place)


@pytest.fixture
def trio(shared: Trio) -> Iterator[Trio]:
    """The shared hosts, for tests that do not end processes of the hosts."""
    with clean_afterwards(shared):
        yield shared


@pytest.fixture
def new_trio(site: Site) -> Trio:
    """New hosts, for one test."""
    return make_trio(site)


@pytest.fixture
def cables() -> Iterator[list[NullModem]]:
    with ExitStack() as stack:
        yield [stack.enter_context(NullModem(baud=115200)) for _ in range(3)]


# -- exchanges that succeed --------------------------------------------------------------------------------------------


def test_three_members_on_serial_lines_get_the_data_of_all(site: Site, cables: list[NullModem]) -> None:
    site.hub(*[word for cable in cables for word in ("--port", cable.a)])
    data = {name: random.Random(name).randbytes(8_000) for name in "abc"}
    for name, cable in zip("abc", cables, strict=True):
        site.agent("--port", cable.b, name=name)
        (site.folder / f"{name}.in").write_bytes(data[name])
    for name in "abc":
        site.await_host(name)
    commands = [site.start(n, "exchange", "keys", "--hosts", "a,b,c", "--file", f"{n}.in") for n in "abc"]
    expected = {name: {"base64": base64.b64encode(value).decode()} for name, value in data.items()}
    for command in commands:
        assert answer(command.wait()) == expected


def test_data_that_is_text_is_printed_as_text(trio: Trio) -> None:
    commands = [
        trio.start("a", "--", "-1 ünï\n"),
        trio.start("b", ""),
        trio.site.start("c", "exchange", "keys", "--hosts", "c,b,a"),
    ]
    assert answers(trio, *commands) == [{"a": "-1 ünï\n", "b": "", "c": ""}] * 3
    assert trio.site.json("hub", "status")["exchanges"] == []


def test_several_members_of_one_host_and_the_hub_can_take_part(trio: Trio) -> None:
    hosts = "a#[1-2],hub"
    commands = [
        trio.start("a", "one", "--as", "a#1", hosts=hosts),
        trio.start("a", "two", "--as", "a#2", hosts=hosts),
        trio.start("hub", "three", hosts=hosts),
    ]
    assert answers(trio, *commands) == [{"a#1": "one", "a#2": "two", "hub": "three"}] * 3


def test_several_exchanges_run_at_the_same_time(trio: Trio) -> None:
    first = [trio.start(name, f"first {name}", name="first") for name in "ab"]
    trio.await_given("a", "b", name="first")
    second = [trio.start(name, f"second {name}", name="second") for name in "abc"]
    elsewhere = trio.start("a", "--namespace", "other", "mine", hosts="a", name="first")
    assert answers(trio, *second) == [{name: f"second {name}" for name in "abc"}] * 3
    assert answers(trio, elsewhere) == [{"a": "mine"}]
    first.append(trio.start("c", "first c", name="first"))
    assert answers(trio, *first) == [{name: f"first {name}" for name in "abc"}] * 3


def test_a_name_can_be_used_again(trio: Trio) -> None:
    for round_ in range(3):
        assert (
            answers(trio, *[trio.start(n, f"{n}{round_}") for n in "abc"]) == [{n: f"{n}{round_}" for n in "abc"}] * 3
        )


def test_one_asyncio_client_gives_for_several_members(trio: Trio) -> None:
    async def work() -> list[dict[str, bytes]]:
        client = await connect(f"unix:{trio.site.socket('a')}")
        async with client:
            members = [f"a#{n}" for n in range(5)]
            data = [bytes([n]) * n * 30_000 for n in range(5)]
            return await asyncio.gather(
                *(client.exchange("keys", members, data[n], member=members[n], timeout=20) for n in range(5))
            )

    results = asyncio.run(work())
    assert results == [{f"a#{n}": bytes([n]) * n * 30_000 for n in range(5)}] * 5


def test_a_file_is_streamed_into_files_with_progress_reports(trio: Trio) -> None:
    path = trio.site.folder / "large"
    path.write_bytes(random.Random(3).randbytes(3 * MIB))
    reports: list[tuple[str, int, int]] = []

    def give(name: str, data: Any, **more: Any) -> dict[str, Any]:
        with connect_blocking(f"unix:{trio.site.socket(name)}") as client:
            return client.exchange("keys", ["a", "b"], data, timeout=20, **more)

    with ThreadPoolExecutor() as pool:
        into = pool.submit(
            give,
            "a",
            path,
            sink=lambda member: open(trio.site.folder / f"got-{member}", "wb"),  # noqa: SIM115
            progress=lambda *args: reports.append(args),
        )
        held = pool.submit(give, "b", b"small")
        assert into.result() == {"a": 3 * MIB, "b": 5}
        assert held.result() == {"a": path.read_bytes(), "b": b"small"}
    assert (trio.site.folder / "got-a").read_bytes() == path.read_bytes()
    assert (trio.site.folder / "got-b").read_bytes() == b"small"
    assert {phase for phase, _, _ in reports} == {"giving", "getting"}
    for phase, size in (("giving", 3 * MIB), ("getting", 3 * MIB + 5)):
        steps = [done for reported, done, total in reports if reported == phase and total == size]
        assert steps == sorted(steps) and steps[-1] <= size and len(steps) > 10
    assert ("getting", 3 * MIB + 5, 3 * MIB + 5) in reports


# -- processes that die ------------------------------------------------------------------------------------------------


def test_a_client_killed_after_giving_does_not_fail_the_exchange_and_is_logged(trio: Trio) -> None:
    killed = trio.start("a", "last words")
    trio.await_given("a")
    killed.kill()
    trio.hub.says("a gave its data to exchange 'keys' and is gone (client gone)")
    other_members = [trio.start("b", "two"), trio.start("c", "three")]
    assert answers(trio, *other_members) == [{"a": "last words", "b": "two", "c": "three"}] * 2


def test_a_host_killed_after_giving_does_not_fail_the_exchange_and_is_logged(new_trio: Trio) -> None:
    new_trio.start("a", "last words")
    waiting = new_trio.start("b", "two")
    new_trio.await_given("a", "b")
    new_trio.agents["a"].kill()
    new_trio.hub.says("host a is lost")
    new_trio.hub.says("a gave its data to exchange 'keys' and is gone (line lost)")
    assert (
        answers(new_trio, waiting, new_trio.start("c", "three")) == [{"a": "last words", "b": "two", "c": "three"}] * 2
    )


def test_a_client_killed_while_giving_fails_the_exchange_immediately(trio: Trio) -> None:
    waiting = trio.start("a", "one", "--timeout", "60")
    trio.await_given("a")
    giving = trio.script("b", SLOW)
    trio.await_arrived("a", "b")
    assert trio.row()["missing"] == {"b": "still giving", "c": "has not arrived"}
    giving.kill()
    done = waiting.wait(5)
    assert done.code == 4 and "b was lost before it gave its data (client gone)" in done.err, done
    late = trio.start("c", "three").wait(5)
    assert late.code == 4 and "b was lost" in late.err, "a later arrival gets the error too"


@pytest.mark.parametrize("gives", [False, True])
def test_a_host_killed_before_its_data_has_arrived_fails_the_exchange_immediately(new_trio: Trio, gives: bool) -> None:
    waiting = [
        new_trio.start("a", "one", "--timeout", "60"),
        new_trio.start("hub", "four", hosts="a,b,c,hub", name="other"),
    ]
    new_trio.await_given("a")
    if gives:
        new_trio.script("b", SLOW)
        new_trio.await_arrived("a", "b")
    new_trio.agents["b"].kill()
    for command in waiting:
        done = command.wait(10)
        assert done.code == 4 and "b was lost before it gave its data (line lost" in done.err, done


def test_the_error_says_that_an_agent_was_stopped(new_trio: Trio) -> None:
    waiting = new_trio.start("a", "one", "--timeout", "60")
    new_trio.await_given("a")
    new_trio.agents["b"].stop()
    done = waiting.wait(10)
    assert done.code == 4 and "stopped" in done.err, done


def test_a_host_that_restarts_before_it_gives_can_still_take_part(new_trio: Trio) -> None:
    waiting = [new_trio.start("a", "one"), new_trio.start("b", "two")]
    new_trio.await_given("a", "b")
    new_trio.agents["c"].kill()
    new_trio.site.agent("--port", f"unix:{new_trio.site.folder}/lines", name="c", socket="again").says("is registered")
    command = new_trio.site.start("again", "exchange", "keys", "--hosts", "a,b,c", "three")
    assert answers(new_trio, *waiting, command) == [{"a": "one", "b": "two", "c": "three"}] * 3


def test_the_data_of_an_interrupted_member_is_withdrawn(trio: Trio) -> None:
    leaving = trio.start("a", "one")
    staying = trio.start("b", "two", "--timeout", "3")
    trio.await_given("a", "b")
    leaving.process.send_signal(signal.SIGINT)
    assert leaving.wait().code == 130
    trio.await_given("b")
    done = staying.wait()
    assert done.code == 124 and "a (left: gave up)" in done.err and "c (has not arrived)" in done.err, done


def test_the_data_of_a_cancelled_coroutine_is_withdrawn(trio: Trio) -> None:
    async def work() -> None:
        async with await connect(f"unix:{trio.site.socket('a')}") as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.exchange("keys", "a,b", b"one"), 0.5)
            assert await client.semaphore("x", 0) == 0
            assert (await client.status()).exchanges == (), "the exchange must be gone"

    asyncio.run(work())


def test_a_timeout_names_the_missing_members_and_exits_with_124(trio: Trio) -> None:
    done = trio.start("a", "one", "--timeout", "0.3", hosts="a,b,nobody").wait()
    assert done.code == 124
    assert "1 of 3 members gave their data: a; missing: b (has not arrived), nobody (never seen)" in done.err
    done = trio.start("a", "one", "--timeout", "0").wait()
    assert done.code == 124 and "is not complete" in done.err
    assert trio.site.json("hub", "status")["exchanges"] == []


def test_a_mismatch_fails_only_the_new_arrival(trio: Trio) -> None:
    waiting = trio.start("a", "one")
    trio.await_given("a")
    for args, hosts, words in [
        ((), "a,b", "is for a,b,c"),
        (("--as", "d"), "a,b,c", "d is not a member"),
        (("--as", "a"), "a,b,c", "is already waiting at"),
    ]:
        done = trio.start("b", "two", *args, hosts=hosts).wait()
        assert done.code == 5 and words in done.err, done
    assert answers(trio, waiting, trio.start("b", "2"), trio.start("c", "3")) == [{"a": "one", "b": "2", "c": "3"}] * 3


def test_a_reset_fails_the_waiting_members(trio: Trio) -> None:
    waiting = trio.start("a", "one")
    trio.await_given("a")
    with connect_blocking(f"unix:{trio.site.socket('b')}") as client:
        assert client.reset("keys") == (1, 1)
    done = waiting.wait()
    assert done.code == 3 and "was reset by b" in done.err, done


# -- repeated arrivals -------------------------------------------------------------------------------------------------


def test_a_retried_arrival_joins_once(new_trio: Trio) -> None:
    first = new_trio.script("a", NAMED)
    new_trio.await_given("a")
    second = new_trio.script("a", NAMED)
    done = first.wait()
    assert done.code == 1 and "sent this arrival again" in done.err
    new_trio.await_given("a")
    assert (
        answers(new_trio, new_trio.start("b", "2"), new_trio.start("c", "3"))
        == [{"a": "named", "b": "2", "c": "3"}] * 2
    )
    assert second.wait().code == 0


def test_a_repeated_arrival_gets_a_lost_reply_again(new_trio: Trio) -> None:
    lost = new_trio.script("a", NAMED)
    new_trio.await_given("a")
    lost.process.send_signal(signal.SIGSTOP)
    expected = {"a": "named", "b": "2", "c": "3"}
    assert answers(new_trio, new_trio.start("b", "2"), new_trio.start("c", "3")) == [expected] * 2
    lost.kill()
    with connect_blocking(f"unix:{new_trio.site.socket('a')}") as client:
        repeated = client.exchange("keys", "a,b,c", b"whatever", arrival="mine", timeout=5)
        assert repeated == {name: value.encode() for name, value in expected.items()}
        wait_for(lambda: new_trio.site.json("hub", "status")["held"]["results"] == 0, "the confirmation")
