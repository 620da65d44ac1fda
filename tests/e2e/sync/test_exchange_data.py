"""Exchanges between real processes: much data, no hub, clients that violate the protocol, wrong usage."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from linesync import connect_blocking, protocol
from linesync.errors import LinesyncFailed, MemberLost, UsageError
from linesync.testing.nullmodem import NullModem
from tests.e2e import kit
from tests.e2e.kit import Site
from tests.e2e.sync.exchanging import MIB, Trio, answer, answers, clean_afterwards, make_trio
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


# -- much data ---------------------------------------------------------------------------------------------------------


def resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def test_members_exchange_a_mebibyte_each_through_directories(trio: Trio) -> None:
    data = {name: random.Random(name).randbytes(MIB) for name in "abc"}
    commands = []
    for name, value in data.items():
        (trio.site.folder / f"{name}.in").write_bytes(value)
        commands.append(trio.start(name, "--file", f"{name}.in", "--dir", f"out/{name}", "--json"))
    for name, command in zip(data, commands, strict=True):
        assert answer(command.wait(60)) == {"dir": f"out/{name}", "bytes": dict.fromkeys("abc", MIB)}
        folder = trio.site.folder / "out" / name
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == data


def test_the_hub_keeps_little_of_the_data_in_memory(new_trio: Trio) -> None:
    """Four members give 16 MiB each. The hub receives and sends 320 MiB, and grows by less than the data of one member."""
    data = {name: random.Random(name).randbytes(16 * MIB) for name in ("a", "b", "c", "hub")}
    sums = {name: hashlib.sha256(value).hexdigest() for name, value in data.items()}
    for name, value in data.items():
        (new_trio.site.folder / f"{name}.in").write_bytes(value)
    del data
    before = most = resident(new_trio.hub.pid)
    commands = [
        new_trio.start(name, "--file", f"{name}.in", "--dir", f"out/{name}", "--timeout", "120", hosts="a,b,c,hub")
        for name in sums
    ]
    deadline = time.monotonic() + 120
    while any(command.running for command in commands) and time.monotonic() < deadline:
        most = max(most, resident(new_trio.hub.pid))
        time.sleep(0.01)
    assert [command.wait().code for command in commands] == [0] * 4
    for name in sums:
        folder = new_trio.site.folder / "out" / name
        assert {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()} == sums
    assert most - before < 16 * MIB, f"{before / MIB:.1f} MiB, at most {most / MIB:.1f} MiB"
    assert not any(
        "deleted" in os.readlink(f"/proc/{new_trio.hub.pid}/fd/{n}") for n in os.listdir(f"/proc/{new_trio.hub.pid}/fd")
    )


def test_a_stopped_receiver_does_not_delay_the_others(trio: Trio) -> None:
    (trio.site.folder / "large").write_bytes(random.Random(5).randbytes(8 * MIB))
    commands = [trio.start("a", "--file", "large", "--dir", "out/a"), trio.start("b", "--dir", "out/b")]
    trio.await_given("a", "b")
    commands[1].process.send_signal(signal.SIGSTOP)
    assert trio.start("c", "--dir", "out/c").wait(30).code == 0
    assert commands[0].wait(30).code == 0
    assert commands[1].running
    commands[1].process.send_signal(signal.SIGCONT)
    assert commands[1].wait(30).code == 0
    large = (trio.site.folder / "large").read_bytes()
    assert all((trio.site.folder / "out" / name / "a").read_bytes() == large for name in "abc")


def test_too_much_data_is_refused_before_any_is_sent(trio: Trio) -> None:
    with open(trio.site.folder / "huge", "wb") as file:
        file.truncate(16 * MIB + 1)
    start = sum(row["bytes_in"] for row in trio.site.json("hub", "links"))
    done = trio.start("a", "--file", "huge").wait()
    assert done.code == 2 and "16,777,217 bytes" in done.err and "at most 16,777,216" in done.err, done
    assert sum(row["bytes_in"] for row in trio.site.json("hub", "links")) - start < 5000


def test_an_option_of_the_hub_limits_the_data_of_a_member(site: Site) -> None:
    site.hub("--exchange-limit", "0.001").says("scripts on this machine")
    done = site.type("hub", "exchange", "keys", "--hosts", "hub", "x" * 1049)
    assert done.code == 2 and "at most 1,048 bytes;" in done.err, done
    assert answer(site.type("hub", "exchange", "keys", "--hosts", "hub", "x" * 1048)) == {"hub": "x" * 1048}
    done = site.type("hub", "hub", "--exchange-limit", "much")
    assert done.code == 2 and "invalid size 'much': not a number; expected 0.001 to 1024 MiB" in done.err


def test_all_members_get_the_error_about_the_hubs_full_disk(new_trio: Trio) -> None:
    waiting = new_trio.start("a", "one", "--timeout", "60")
    new_trio.await_given("a")
    resource.prlimit(new_trio.hub.pid, resource.RLIMIT_FSIZE, (200_000, 200_000))  # instead of a full disk
    (new_trio.site.folder / "large").write_bytes(bytes(300_000))
    for command in (new_trio.start("b", "--file", "large"), waiting):
        done = command.wait()
        assert done.code == 125 and "the hub cannot store exchanged data in /tmp" in done.err, done


# -- clients that violate the protocol ---------------------------------------------------------------------------------


def raw(client: Any, *, size: int, member: str = "a") -> Any:
    """Open a channel for an exchange without the operation of the client, to violate the protocol."""
    text = protocol.encode(protocol.ExchangeOpen(name="keys", members="a,b", size=size, member=member))
    return client.peer.open(text)


@pytest.mark.parametrize("violation", ["too much", "ends early", "on another stream", "messages", "reset"])
def test_a_client_that_violates_the_protocol_fails_the_exchange_but_not_the_hub(trio: Trio, violation: str) -> None:
    waiting = trio.start("b", "two", "--timeout", "20", hosts="a,b")
    trio.await_given("b")
    with connect_blocking(f"unix:{trio.site.socket('a')}") as client:
        stream = raw(client, size=1000)
        assert client.run_coroutine(stream.receive_message()) == "ok give"
        stream.send_nowait(
            3 if violation == "on another stream" else 0, bytes(999 if violation != "too much" else 1001)
        )
        if violation == "messages":
            stream.send_message("done 0")
        if violation == "reset":
            stream.reset("out of coffee")
        elif violation != "too much":
            stream.end()
        assert client.semaphore("x", 0) == 0  # a request on the same connection
        done = waiting.wait()
        if violation == "too much":
            assert done.code == 125 and "the hub received more than the 1,000 bytes" in done.err, done
        else:
            assert done.code == 4 and "a was lost before it gave its data" in done.err, done
    assert (
        answers(trio, trio.start("a", "1", hosts="a,b"), trio.start("b", "2", hosts="a,b"))
        == [{"a": "1", "b": "2"}] * 2
    )


def test_bytes_after_the_end_of_the_data_are_ignored(trio: Trio) -> None:
    with connect_blocking(f"unix:{trio.site.socket('a')}") as client:
        stream = raw(client, size=4)
        assert client.run_coroutine(stream.receive_message()) == "ok give"
        stream.send_nowait(0, b"four")
        trio.await_given_by(client, "a")
        stream.send_nowait(0, b"and more")
        waiting = trio.start("b", "two", hosts="a,b")
        assert protocol.decode(client.run_coroutine(stream.receive_message()), protocol.ExchangePart).size == 4  # type: ignore[attr-defined]
        stream.end()
        assert answer(waiting.wait()) == {"a": "four", "b": "two"}


@pytest.mark.parametrize(
    "words", ["exchange", "exchange keys a,b", "exchange keys a,b x", "exchange keys a[ 1", "exchange keys a -1"]
)
def test_a_malformed_opening_is_refused(trio: Trio, words: str) -> None:
    with connect_blocking(f"unix:{trio.site.socket('a')}") as client:
        stream = client.peer.open(words)
        error = protocol.read_error(client.run_coroutine(stream.receive_message()))
        assert isinstance(error, UsageError)


# -- without a hub -----------------------------------------------------------------------------------------------------


def test_an_exchange_without_a_hub_waits_and_says_so(site: Site) -> None:
    site.agent("--port", f"unix:{site.folder}/lines", name="a")
    wait_for(site.socket("a").exists, "the agent's socket")
    done = site.type("a", "exchange", "keys", "--hosts", "a", "one", "--timeout", "0")
    assert done.code == 125 and "no connection to a hub" in done.err, done
    done = site.type("a", "exchange", "keys", "--hosts", "a", "one", "--timeout", "0.5")
    assert done.code == 124 and "waiting for the hub" in done.err and "no answer from the hub in 0.5 s" in done.err
    waiting = site.start("a", "exchange", "keys", "--hosts", "a", "one", "--timeout", "30")
    site.hub("--listen", f"unix:{site.folder}/lines")
    assert answer(waiting.wait()) == {"a": "one"}


def test_an_exchange_ends_at_its_deadline_on_a_silent_line(site: Site) -> None:
    with NullModem(baud=115200) as cable:
        site.hub("--port", cable.a)
        site.agent("--port", cable.b, name="a")
        site.await_host("a")
        waiting = site.start("a", "exchange", "keys", "--hosts", "a,b", "one", "--timeout", "2")
        wait_for(lambda: (row := site.row("exchanges", "keys")) and row["given"], "the data of a")
        cable.pull()
        done = waiting.wait(15)
        assert done.code == 125 and "no answer from the hub" in done.err, done


def test_an_exchange_ends_with_the_hub(new_trio: Trio) -> None:
    waiting = new_trio.start("a", "one")
    new_trio.await_given("a")
    new_trio.hub.stop()
    done = waiting.wait()
    assert done.code == 125 and "exchange 'keys' was interrupted" in done.err, done


# -- wrong usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["keys", "one"], 2, "--hosts"),
        (["keys", "--hosts", "a,b c", "one"], 2, "invalid host name 'b c'"),
        (["keys", "--hosts", "a[1-", "one"], 2, "brackets"),
        (["keys", "--hosts", "", "one"], 2, "invalid host name"),
        (["keys", "--hosts", "a", "one", "--file", "x"], 2, "both DATA and --file are present"),
        (["keys", "--hosts", "a", "--file", "nothing.there"], 125, "No such file or directory"),
        (["keys", "--hosts", "a", "--file", "."], 125, "cannot read .: it is a directory"),
        (["bad\nname", "--hosts", "a", "one"], 2, "control characters"),
        (["keys", "--hosts", "a,..", "one", "--dir", "out"], 2, "cannot be a file name"),
        (["keys", "--hosts", "a", "one", "--dir", "a.log"], 125, "cannot create the directory a.log"),
        (["keys", "--hosts", "a,b", "one", "--dir", "taken"], 125, "cannot write taken/b: it is a directory"),
    ],
)
def test_wrong_usage_is_an_error_of_one_sentence(trio: Trio, args: list[str], code: int, words: str) -> None:
    (trio.site.folder / "taken" / "b").mkdir(parents=True)
    done = trio.site.type("a", "exchange", *args)
    assert done.code == code and words in done.err, done
    assert done.err.startswith("linesync: ") and done.err.count("\n") == 1, done.err
    assert trio.site.json("hub", "status")["exchanges"] == []


def test_a_failed_exchange_does_not_change_the_directory(trio: Trio) -> None:
    folder = trio.site.folder / "out"
    folder.mkdir()
    (folder / "a").write_text("from before")
    (folder / "b").symlink_to(trio.site.folder / "elsewhere")
    done = trio.start("a", "one", "--dir", "out", "--timeout", "0.2").wait()
    assert done.code == 124 and sorted(path.name for path in folder.iterdir()) == ["a", "b"]
    assert (folder / "a").read_text() == "from before"
    commands = [trio.start("a", "one", "--dir", "out", hosts="a,b"), trio.start("b", "two", hosts="a,b")]
    assert [command.wait().code for command in commands] == [0, 0]
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a": "one", "b": "two"}
    assert (folder / "b").is_symlink() and (trio.site.folder / "elsewhere").read_text() == "two", "a link is followed"


def test_the_connection_is_usable_after_an_error_of_the_program(trio: Trio) -> None:
    waiting = trio.start("b", "two", "--timeout", "60", hosts="a,b")
    trio.await_given("b")
    with connect_blocking(f"unix:{trio.site.socket('a')}") as client:

        def sink(member: str) -> Any:
            raise PermissionError(13, f"no place for {member}")

        with pytest.raises(LinesyncFailed, match=r"given up: no place for a"):
            client.exchange("keys", "a,b", b"one", sink=sink)
        assert answer(waiting.wait()) == {"a": "one", "b": "two"}, "b has all data already"
        with pytest.raises(LinesyncFailed, match="ended 5 bytes early"):
            client.exchange("keys", "a,b", Shrinking())
        assert client.semaphore("x", 0) == 0


class Shrinking:
    """A file that was truncated after its size was read."""

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return 5 if whence else 0

    def read(self, count: int) -> bytes:
        return b""


def test_programs_get_an_exception_with_details_about_a_lost_member(new_trio: Trio) -> None:
    with connect_blocking(f"unix:{new_trio.site.socket('a')}") as client, ThreadPoolExecutor() as pool:
        future = pool.submit(client.exchange, "keys", "a,b,c", b"one", timeout=60)
        new_trio.await_given("a")
        new_trio.agents["c"].kill()
        with pytest.raises(MemberLost) as caught:
            future.result(20)
    assert list(caught.value.details["lost"]) == ["c"] and caught.value.details["given"] == ["a"]  # type: ignore[call-overload]
