"""Semaphores with commands on serial lines: dissem's rules, and units that are held while a command runs."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.kit import Command, SerialSite, alive, serial_site, text_when_written
from tests.real import wait_for


@pytest.fixture(scope="module")
def duo() -> Iterator[SerialSite]:
    with serial_site("--lease", "3") as site:
        yield site


def value(site: SerialSite, name: str, side: str = "hub") -> int:
    done = site.type(side, "sem", name, "0")
    assert done.code == 0, done
    return int(done.text)


def hold(site: SerialSite, side: str, name: str, script: str, *options: str) -> Command:
    return site.start(side, "sem", name, "-1", "--hold", *options, "--", "sh", "-c", script)


def endless_script(place: Path, last_line: str = "") -> str:
    """A shell script that writes its process id to a file and runs until it is ended."""
    return f"echo $$ > {shlex.quote(str(place))}; {last_line} while :; do sleep 0.05; done"


# -- dissem's five rules -----------------------------------------------------------------------------------------------


def test_a_taker_waits_until_a_unit_is_given(duo: SerialSite) -> None:
    taker = duo.start("c1", "sem", "one", "-1")
    duo.await_waiting("semaphores", "one", 1)
    assert taker.running and value(duo, "one", "c2") == 0
    assert duo.type("c2", "sem", "one", "+1").code == 0
    done = taker.wait()
    assert (done.code, done.out, done.err) == (0, b"", "")
    assert value(duo, "one") == 0


def test_four_units_wake_four_takers(duo: SerialSite) -> None:
    takers = [duo.start(side, "sem", "four", "-1") for side in ("c1", "c2", "hub", "c1", "c2")]
    duo.await_waiting("semaphores", "four", 5)
    assert duo.type("c1", "sem", "four", "+4").code == 0
    wait_for(lambda: sum(not taker.running for taker in takers) == 4, "four of five takers")
    duo.await_waiting("semaphores", "four", 1)
    assert duo.type("hub", "sem", "four", "+1").code == 0
    assert [taker.wait().code for taker in takers] == [0] * 5
    assert value(duo, "four") == 0


def test_zero_prints_the_value_and_changes_nothing(duo: SerialSite) -> None:
    assert duo.type("c1", "sem", "zero", "0").text == "0\n"
    assert duo.type("hub", "sem", "zero", "+7").text == ""
    assert [duo.type(side, "sem", "zero", "0").text for side in ("c1", "c2", "hub")] == ["7\n"] * 3
    assert json.loads(duo.type("c1", "sem", "zero", "-2", "--json").out) == {"name": "zero", "value": 5}


def test_takers_are_served_in_the_order_of_arrival(duo: SerialSite) -> None:
    takers = []
    for count, (side, units) in enumerate((("c1", 3), ("hub", 1), ("c2", 1)), start=1):
        takers.append(duo.start(side, "sem", "queue", f"-{units}"))
        duo.await_waiting("semaphores", "queue", count)
    assert duo.type("hub", "sem", "queue", "+2").code == 0
    assert all(taker.running for taker in takers) and value(duo, "queue") == 2, "the first one wants three"
    poll = duo.type("c2", "sem", "queue", "-1", "--timeout", "0")
    assert poll.code == 124 and "served first: c1 for 3, hub for 1, c2 for 1" in poll.err, poll
    assert duo.type("c2", "sem", "queue", "+2").code == 0
    assert [taker.wait().code for taker in takers[:2]] == [0, 0]
    assert takers[2].running and duo.waiting("semaphores", "queue") == 1
    takers[0] = duo.start("hub", "sem", "queue", "+1")
    assert takers[2].wait().code == 0


# -- held units --------------------------------------------------------------------------------------------------------


def test_held_units_are_returned_when_the_command_ends_and_its_code_is_passed_on(duo: SerialSite) -> None:
    assert duo.type("hub", "sem", "held", "+1").code == 0
    for side, script, code in (("c1", "exit 0", 0), ("c2", "exit 3", 3), ("hub", "kill -TERM $$", 143)):
        assert hold(duo, side, "held", script).wait().code == code
        assert value(duo, "held") == 1
    missing = duo.type("c1", "sem", "held", "-1", "--hold", "--", "/no/such/program")
    assert missing.code == 127 and "there is no command /no/such/program" in missing.err, missing
    assert value(duo, "held") == 1


def test_held_units_cannot_be_taken_while_the_command_runs(duo: SerialSite) -> None:
    assert duo.type("hub", "sem", "busy", "+1").code == 0
    go = duo.folder / "busy-go"
    first = hold(duo, "c1", "busy", f"while [ ! -e {go} ]; do sleep 0.02; done; echo first")
    duo.until(lambda: holders(duo, "busy") == ["c1"], "the holder")
    second = hold(duo, "c2", "busy", "echo second")
    duo.await_waiting("semaphores", "busy", 1)
    poll = duo.type("hub", "sem", "busy", "-1", "--timeout", "0")
    assert poll.code == 124 and "its value is 0; served first: c2 for 1" in poll.err, poll
    assert second.running
    go.touch()
    assert [first.wait().text, second.wait().text] == ["first\n", "second\n"]
    assert value(duo, "busy") == 1


def holders(site: SerialSite, name: str) -> list[str]:
    row = site.row("semaphores", name)
    return [holder["name"] for holder in row["holders"]] if row is not None else []


@pytest.mark.parametrize("side", ["hub", "c1"])
def test_the_units_of_a_killed_holder_are_returned_and_its_command_is_ended(duo: SerialSite, side: str) -> None:
    name, written = f"killed-{side}", duo.folder / f"killed-{side}"
    assert duo.type("hub", "sem", name, "+1").code == 0
    holder = hold(duo, side, name, endless_script(written))
    pid = int(text_when_written(written))
    assert holders(duo, name) == [side] and value(duo, name) == 0
    holder.kill()
    wait_for(lambda: not alive(pid), "the end of the command")
    duo.until(lambda: value(duo, name) == 1, "the unit back")


def test_a_holder_that_gets_sigterm_ends_its_command_and_returns_the_units(duo: SerialSite) -> None:
    written = duo.folder / "stopped"
    assert duo.type("hub", "sem", "stopped", "+1").code == 0
    holder = hold(duo, "c1", "stopped", endless_script(written, "trap 'exit 9' TERM;"))
    text_when_written(written)
    holder.process.send_signal(signal.SIGTERM)
    assert holder.wait().code == 9, "the command chooses its exit code"
    assert value(duo, "stopped") == 1


def test_ctrl_c_while_waiting_for_units_leaves_nothing(duo: SerialSite) -> None:
    waiting = hold(duo, "c1", "interrupted", "echo never")
    duo.await_waiting("semaphores", "interrupted", 1)
    waiting.process.send_signal(signal.SIGINT)
    done = waiting.wait()
    assert (done.code, done.out, done.err) == (130, b"", ""), done
    duo.await_waiting("semaphores", "interrupted", 0)


def test_the_units_of_a_lost_host_are_returned_and_its_command_is_ended(
    duo: SerialSite,
) -> None:
    pids, holders, takers = {}, {}, {}
    for side in ("c1", "c2"):
        name, written = f"dying-{side}", duo.folder / f"dying-{side}"
        assert duo.type("hub", "sem", name, "+1").code == 0
        holders[side] = hold(duo, side, name, endless_script(written))
        pids[side] = int(text_when_written(written))
        takers[side] = duo.start("hub", "sem", name, "-1")
        duo.await_waiting("semaphores", name, 1)
    duo.agents["c2"].kill()
    duo.cables["c1"].pull()
    done = holders["c2"].wait()
    assert done.code == 125 and "the hold was lost" in done.err and not alive(pids["c2"]), done
    assert [taker.wait().code for taker in takers.values()] == [0, 0], "served at the end of the lease"
    assert set(duo.states().values()) == {"lost"}
    done = holders["c1"].wait()
    assert (
        done.code == 125 and "nothing shows that the hub still hears this host" in done.err and not alive(pids["c1"])
    ), done
    duo.cables["c1"].plug()
    duo.start_agent("c2")
    for side in ("c1", "c2"):
        duo.await_host(side)
        assert value(duo, f"dying-{side}", side) == 0


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_a_bounded_semaphore_never_has_more_units(duo: SerialSite) -> None:
    assert duo.type("hub", "sem", "bound", "+2", "--bound", "2").code == 0
    over = duo.type("c1", "sem", "bound", "+1")
    assert over.code == 5 and "exceed its bound of 2" in over.err, over
    other = duo.type("c2", "sem", "bound", "+1", "--bound", "3")
    assert other.code == 5 and "has a bound of 2 units" in other.err, other
    too_many = duo.type("c1", "sem", "bound", "-3")
    assert too_many.code == 5 and "never has more than 2 units" in too_many.err, too_many
    go = duo.folder / "bound-go"
    holder = hold(duo, "c1", "bound", f"while [ ! -e {go} ]; do sleep 0.02; done", "--bound", "2")
    duo.until(lambda: holders(duo, "bound") == ["c1"], "the holder")
    lent = duo.type("c2", "sem", "bound", "+1")
    assert lent.code == 5 and "has lent 1" in lent.err, lent
    go.touch()
    assert holder.wait().code == 0 and value(duo, "bound") == 2
