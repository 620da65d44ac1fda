"""Locks with commands on serial lines: for a command, for a host, after failures and restarts; and deadlocks."""

from __future__ import annotations

import json
import os
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.kit import LINESYNC, Command, Done, Scenes, SerialSite, alive, serial_site, text_when_written
from tests.real import wait_for

DEADLOCK = 2.0  # seconds for which a cycle must exist before the hub asks its hosts and reports the deadlock


scene = Scenes()


@pytest.fixture(scope="module")
def duo() -> Iterator[SerialSite]:
    with serial_site() as site:
        yield site


def locked(site: SerialSite, side: str, name: str, script: str, *options: str) -> Command:
    """``lock NAME -- sh -c SCRIPT``."""
    return site.start(side, "lock", name, *options, "--", "sh", "-c", script)


def inner(site: SerialSite, side: str, *words: str) -> str:
    """A linesync command line for a script."""
    return shlex.join([LINESYNC, "--hub", f"unix:{site.socket(side)}", *words])


def wait_for_file(place: Path) -> str:
    return f"while [ ! -e {place} ]; do sleep 0.02; done;"


def owner(site: SerialSite, name: str) -> str | None:
    row = site.row("locks", name)
    return None if row is None or row["owner"] is None else str(row["owner"]["name"])


# -- for a command -----------------------------------------------------------------------------------------------------


def test_the_token_of_the_command_grows_with_each_holder_on_any_host(duo: SerialSite) -> None:
    tokens = []
    for side in ("c1", "c2", "hub", "c1"):
        done = locked(duo, side, "tokens", "echo $LINESYNC_FENCING_TOKEN").wait()
        assert done.code == 0 and done.err == "", done
        tokens.append(int(done.text))
    assert sorted(set(tokens)) == tokens, tokens
    assert duo.row("locks", "tokens") is None


def test_the_next_holder_waits_for_the_end_of_the_command(duo: SerialSite) -> None:
    go = duo.folder / "go"
    first = locked(duo, "c1", "next", f"{wait_for_file(go)} echo $LINESYNC_FENCING_TOKEN")
    duo.until(lambda: owner(duo, "next") == "c1", "the owner")
    second = locked(duo, "c2", "next", "echo $LINESYNC_FENCING_TOKEN")
    duo.await_waiting("locks", "next", 1)
    poll = duo.type("hub", "lock", "next", "--timeout", "0", "--", "true")
    assert poll.code == 124 and "c1 has it (token" in poll.err and "waiting: c2" in poll.err, poll
    late = duo.type("hub", "lock", "next", "--timeout", "0.2", "--json", "--", "true")
    error = json.loads(late.err)
    assert late.code == 124 and (error["owner"], error["queue"]) == ("c1", ["c2"]), late
    assert second.running
    go.touch()
    assert int(first.wait().text) < int(second.wait().text)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("sh", "-c", "exit 4"), 4),
        (("sh", "-c", "kill -KILL $$"), 137),
        (("/no/such/program",), 127),
        (("/etc/passwd",), 126),
        (("sh", "-c", "exit 126"), 126),
    ],
)
def test_the_exit_code_of_the_command_is_passed_on(duo: SerialSite, command: tuple[str, ...], code: int) -> None:
    done = duo.type("c1", "lock", "codes", "--", *command)
    assert done.code == code, done
    assert len(done.err.splitlines()) == (code in (126, 127) and command[0].startswith("/")), done
    assert duo.row("locks", "codes") is None


def test_the_command_has_our_stdin_and_stdout(duo: SerialSite) -> None:
    done = duo.type("c1", "lock", "pipe", "--", "tr", "a-z", "A-Z", stdin=b"typed\n")
    assert (done.code, done.out) == (0, b"TYPED\n")


def test_the_command_reaches_the_same_hub_from_any_directory(duo: SerialSite) -> None:
    done = duo.type("c1", "lock", "there", "--hub", "unix:c2.sock", "--", "sh", "-c", "echo $LINESYNC_HUB")
    assert done.text == f"unix:{duo.socket('c2')}\n", done


def test_ctrl_c_ends_a_waiting_lock_but_a_running_command_decides_itself(duo: SerialSite) -> None:
    written = duo.folder / "running"
    holder = duo.start(
        "c1",
        "lock",
        "keys",
        "--",
        "sh",
        "-c",
        f"trap 'exit 130' INT; echo $$ > {written}; while :; do sleep 0.02; done",
    )
    pid = int(text_when_written(written))
    waiting = locked(duo, "c2", "keys", "echo never")
    duo.await_waiting("locks", "keys", 1)
    waiting.process.send_signal(signal.SIGINT)
    done = waiting.wait()
    assert (done.code, done.out, done.err) == (130, b"", "")
    for process in (holder.process.pid, pid):  # like a terminal
        os.kill(process, signal.SIGINT)
    done = holder.wait()
    assert (done.code, done.err) == (130, "")
    assert duo.row("locks", "keys") is None


# -- for a host --------------------------------------------------------------------------------------------------------


def test_a_host_keeps_a_lock_after_the_script_that_took_it_has_ended(duo: SerialSite) -> None:
    taken = duo.type("c1", "lock", "kept")
    token = int(taken.text)
    waiting = duo.start("c2", "lock", "kept", "--json")
    duo.await_waiting("locks", "kept", 1)
    assert owner(duo, "kept") == "c1"
    for side, wrong in (("c1", token + 1), ("c2", token), ("hub", token)):
        refused = duo.type(side, "lock", "kept", "--release", str(wrong))
        assert refused.code == 7 and f"c1 has it (token {token})" in refused.err, refused
    assert waiting.running
    assert duo.type("c1", "lock", "kept", "--release", str(token)).code == 0
    granted = json.loads(waiting.wait().out)
    assert granted == {"name": "kept", "token": granted["token"]} and granted["token"] > token
    late = duo.type("c1", "lock", "kept", "--release", str(token))
    assert late.code == 7 and "c2 has it" in late.err, late
    assert duo.type("c2", "lock", "kept", "--release", str(granted["token"])).code == 0
    gone = duo.type("c2", "lock", "kept", "--release", str(granted["token"]))
    assert gone.code == 7 and "it has no owner" in gone.err, gone


@scene
def the_locks_of_a_dead_host_and_its_scripts_are_released_at_the_end_of_its_lease() -> None:
    with serial_site("--lease", "3") as duo:
        written = duo.folder / "pid"
        assert duo.type("c1", "lock", "dead-kept").code == 0
        holder = locked(duo, "c1", "dead-held", f"echo $$ > {written}; while :; do sleep 0.02; done")
        pid = int(text_when_written(written))
        waiting = [locked(duo, side, f"dead-{name}", "true") for side, name in (("c2", "kept"), ("hub", "held"))]
        for name in ("kept", "held"):
            duo.await_waiting("locks", f"dead-{name}", 1)
        duo.agents["c1"].kill()
        done = holder.wait()
        assert done.code == 125 and "the command sh was ended" in done.err and not alive(pid), done
        assert [command.wait().code for command in waiting] == [0, 0]
        assert duo.states()["c1"] == "lost"
        duo.start_agent("c1")
        duo.await_host("c1")


@scene
def a_restarted_hub_ends_the_command_of_a_holder_and_its_tokens_continue_to_grow() -> None:
    with serial_site("--lease", "3", hosts=("c1",)) as site:
        holders, pids, tokens = [], [], [int(site.type("c1", "lock", "kept").text)]
        for side in ("hub", "c1"):
            written = site.folder / f"written-{side}"
            script = f"echo $$ $LINESYNC_FENCING_TOKEN > {written}; while :; do sleep 0.02; done"
            holders.append(locked(site, side, f"of-{side}", script))
            pid, token = text_when_written(written).split()
            pids.append(int(pid))
            tokens.append(int(token))
        site.daemons[0].kill()
        site.start_hub("--lease", "3")
        for holder in holders:
            done = holder.wait()
            assert done.code == 125 and "the hold was lost" in done.err, done
        assert not any(map(alive, pids))
        site.await_host("c1")
        assert site.json("hub", "status")["locks"] == []
        assert int(site.type("c1", "lock", "kept").text) > max(tokens)


def test_a_command_and_its_processes_are_ended_when_the_lock_is_lost(duo: SerialSite) -> None:
    written = duo.folder / "family"
    orphan = f'sh -c "sleep 300 & echo \\$! > {written}.orphan"'
    script = f"{orphan}; sleep 300 & echo $! $$ > {written}; wait"
    holder = locked(duo, "c1", "family", script)
    pids = [int(word) for word in (text_when_written(written) + Path(f"{written}.orphan").read_text()).split()]
    assert len(pids) == 3 and all(map(alive, pids)), pids
    assert duo.type("hub", "reset", "family").code == 0
    done = holder.wait()
    assert done.code == 125 and "was reset by hub" in done.err, done
    assert not any(map(alive, pids))


# -- deadlocks ---------------------------------------------------------------------------------------------------------


def ends(commands: list[Command], started: float) -> list[Done]:
    """The results of commands in a deadlock."""
    found = [command.wait(15) for command in commands]
    lasted = time.monotonic() - started
    assert lasted >= DEADLOCK - 0.5, "a cycle must exist for two seconds"
    return found


@scene
def two_hosts_that_wait_for_each_others_locks_get_an_error_with_the_cycle() -> None:
    with serial_site() as duo:
        go = duo.folder / "cross-go"
        commands = []
        for side, own, other in (("c1", "A", "B"), ("c2", "B", "A")):
            script = f"{wait_for_file(go)} exec {inner(duo, side, 'lock', other, '--', 'echo', 'never')}"
            commands.append(locked(duo, side, own, script))
        duo.until(lambda: (owner(duo, "A"), owner(duo, "B")) == ("c1", "c2"), "both holders")
        begin = time.monotonic()
        go.touch()
        for done in ends(commands, begin):
            assert done.code == 6 and done.out == b"", done
            assert "deadlock: " in done.err, done
            assert "c1 waits for lock 'B', which c2 has" in done.err, done
            assert "c2 waits for lock 'A', which c1 has" in done.err, done
        assert duo.json("hub", "status")["locks"] == []


@scene
def a_cycle_through_a_lock_and_a_barrier_is_reported() -> None:
    with serial_site() as duo:
        begin = time.monotonic()
        commands = []
        for count, side in enumerate(("c1", "c2")):
            barrier = inner(duo, side, "--json", "barrier", "both", "--members", "c1,c2")
            commands.append(locked(duo, side, "L", f"exec {barrier}"))
            duo.await_waiting("barriers", "both", 1)
            duo.await_waiting("locks", "L", count)
        first, second = ends(commands, begin)
        assert first.code == second.code == 6, (first, second)
        cycle = json.loads(first.err)["cycle"]
        assert sorted((row["host"], row["waits_for"]) for row in cycle) == [
            ("c1", "barrier 'both', where c2 has not arrived"),
            ("c2", "lock 'L', which c1 has"),
        ]
        assert "c2 waits for lock 'L', which c1 has" in second.err


@scene
def there_is_no_deadlock_while_another_script_of_a_host_may_still_act() -> None:
    """Two hosts each keep a lock and wait for the lock of the other. Another script on one host is still running, so it could
    release a lock. Later the locks are released."""
    with serial_site() as duo:
        tokens = {name: duo.type(side, "lock", name).text.strip() for side, name in (("c1", "K1"), ("c2", "K2"))}
        bystander = duo.start("c1", "event", "wait", "never")
        duo.await_waiting("events", "never", 1)
        commands = [duo.start("c1", "lock", "K2"), duo.start("c2", "lock", "K1")]
        for name in tokens:
            duo.await_waiting("locks", name, 1)
        with pytest.raises(AssertionError):
            wait_for(lambda: not all(command.running for command in commands), "a false alarm", 2 * DEADLOCK)
        assert duo.type("c1", "lock", "K1", "--release", tokens["K1"]).code == 0
        again = commands[1].wait()
        assert again.code == 0 and commands[0].running
        assert duo.type("c2", "lock", "K2", "--release", tokens["K2"]).code == 0
        assert commands[0].wait().code == 0 and bystander.running


@scene
def a_deadlock_is_reported_when_the_last_script_that_could_act_has_ended() -> None:
    with serial_site() as duo:
        for side, name in (("c1", "G1"), ("c2", "G2")):
            assert duo.type(side, "lock", name).code == 0
        bystander = duo.start("c1", "event", "wait", "never")
        duo.await_waiting("events", "never", 1)
        begin = time.monotonic()
        commands = [duo.start("c1", "lock", "G2"), duo.start("c2", "lock", "G1")]
        for name in ("G1", "G2"):
            duo.await_waiting("locks", name, 1)
        with pytest.raises(AssertionError):
            wait_for(lambda: not all(command.running for command in commands), "a false alarm", DEADLOCK + 1)
        bystander.kill()
        for done in ends(commands, begin):
            assert done.code == 6 and "c1 waits for lock 'G2', which c2 has" in done.err, done


@pytest.mark.parametrize("name", scene.names)
def test_scene(name: str) -> None:
    scene.play(name)
