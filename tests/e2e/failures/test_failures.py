"""Processes are killed, cables unplugged, devices removed: every wait ends, and no request is lost or takes effect twice."""

from __future__ import annotations

import hashlib
import os
import random
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linesync.testing.nullmodem import NullModem
from tests.e2e.kit import LINESYNC, Daemon, Site, alive, children_of, commands_of, text_when_written
from tests.real import free_port, require, wait_for

COUNT = 4000
EXPECTED_OUTPUT = [f"{n * 2654435761 % 2**32:08x}" for n in range(COUNT)]  # compression does not make it much shorter
COUNTER = f"for n in range({COUNT}): print(f'{{n * 2654435761 % 2**32:08x}}', flush=n % 100 == 0)"


@pytest.fixture
def pair(site: Site) -> Site:
    """A hub and an agent on a unix socket, with a short lease."""
    site.hub("--listen", f"unix:{site.folder}/lines", "--lease", "2").says("listening on")
    site.agent("--port", f"unix:{site.folder}/lines")
    site.await_host()
    return site


@pytest.fixture
def cable() -> Iterator[NullModem]:
    with NullModem(baud=115200) as made:
        yield made


def hub_of(site: Site) -> str:
    return f"unix:{site.folder}/lines"


# -- clients -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["hub", "sut"])
def test_the_requests_of_a_killed_client_are_withdrawn(pair: Site, side: str) -> None:
    barrier = pair.start(side, "barrier", "gate", "2")
    taker = pair.start(side, "sem", "units", "-1")
    pair.await_waiting("barriers", "gate", 1)
    pair.await_waiting("semaphores", "units", 1)
    barrier.kill()
    taker.kill()
    pair.await_waiting("barriers", "gate", 0)
    pair.await_waiting("semaphores", "units", 0)
    assert pair.type("hub", "sem", "units", "+1").code == 0
    assert pair.type("hub", "sem", "units", "0").text == "1\n"
    done = pair.type("sut", "barrier", "gate", "2", "--timeout", "0.2")
    assert done.code == 124 and "1 of 2 arrived: sut" in done.err


@pytest.mark.parametrize(("side", "host"), [("hub", "sut"), ("sut", "hub"), ("sut", "sut"), ("hub", "hub")])
def test_the_command_of_a_killed_client_is_ended_with_all_its_children(pair: Site, side: str, host: str) -> None:
    table = pair.folder / "pids"
    ignore_term = "trap '' TERM; " if (side, host) == ("hub", "sut") else ""
    script = f"{ignore_term}sleep 300 & echo $$ $! > {table}; while :; do wait; done"
    command = pair.start(side, "run", host, "--", "sh", "-c", script)
    pids = [int(word) for word in text_when_written(table).split()]
    command.kill()
    wait_for(lambda: not any(map(alive, pids)), "the end of the command", 15)


def test_an_interrupted_client_withdraws_and_exits_with_130(pair: Site) -> None:
    command = pair.start("sut", "barrier", "gate", "2")
    pair.await_waiting("barriers", "gate", 1)
    command.process.send_signal(signal.SIGINT)
    assert command.wait().code == 130
    pair.await_waiting("barriers", "gate", 0)


def test_a_client_killed_between_grant_and_confirmation_gives_its_units_back(pair: Site) -> None:
    taker = pair.start("hub", "sem", "units", "-1")
    pair.await_waiting("semaphores", "units", 1)
    taker.process.send_signal(signal.SIGSTOP)
    assert pair.type("hub", "sem", "units", "+1").code == 0
    assert pair.type("hub", "sem", "units", "0").text == "0\n"
    taker.kill()
    wait_for(lambda: pair.type("hub", "sem", "units", "0").text == "1\n", "the unit back")


# -- agents and hubs ---------------------------------------------------------------------------------------------------


def test_the_restart_of_an_agent_ends_only_the_waits_of_its_host(pair: Site) -> None:
    of_host = pair.start("sut", "barrier", "gate", "3")
    of_hub = pair.start("hub", "barrier", "gate", "3")
    pair.await_waiting("barriers", "gate", 2)
    pair.daemons[-1].kill()
    agent = pair.agent("--port", hub_of(pair))
    agent.says("is registered")
    done = of_host.wait()
    assert done.code == 125 and "lost" in done.err, done
    pair.await_waiting("barriers", "gate", 1)
    row = next(row for row in pair.json("hub", "status")["barriers"] if row["name"] == "gate")
    assert row["gone"] == {"sut": "restarted"}, row
    waiting = [pair.start("sut", "barrier", "gate", "3") for _ in range(2)]
    assert [command.wait().code for command in (of_hub, *waiting)] == [0, 0, 0]
    assert len(pair.states()) == 1


def test_the_restart_of_an_agent_on_a_serial_line_is_recognised(site: Site, cable: NullModem) -> None:
    hub = site.hub("--port", cable.a)
    site.agent("--port", cable.b).says("is registered")
    site.await_host()
    running = site.start("hub", "run", "sut", "--", "sleep", "100")
    wait_for(lambda: commands_of(site.daemons[-1].pid), "the command")
    site.daemons[-1].kill()
    site.agent("--port", cable.b).says("is registered")
    done = running.wait()
    assert done.code == 125 and "restarted" in done.err, done
    assert "restarted" in hub.log
    assert site.type("hub", "run", "sut", "--", "true").code == 0


def test_a_command_for_several_hosts_runs_on_all_of_them_or_on_none(pair: Site) -> None:
    done = pair.type("hub", "run", "hub,sut,no[1-2]", "--", "touch", str(pair.folder / "ran"))
    assert (done.code, done.out) == (125, b"") and not (pair.folder / "ran").exists()
    assert "host no1 has not registered, host no2 has not registered; hosts now: sut" in done.err


def test_each_of_several_hosts_on_which_a_command_fails_is_named_when_it_fails(pair: Site) -> None:
    go = pair.folder / "go"
    script = f"[ $LINESYNC_HOST = sut ] && kill -9 $$; until [ -e {go} ]; do sleep 0.05; done; echo here; exit 3"
    running = pair.start("hub", "run", "sut,hub", "--", "sh", "-c", script)
    assert running.process.stderr is not None
    assert running.process.stderr.readline() == b"linesync: sut: the command was killed by signal 9\n"
    assert running.running
    go.touch()
    done = running.wait()
    assert (done.code, done.text) == (137, "hub: here\n")
    assert done.err == "linesync: hub: the command exited with code 3\n"
    done = pair.type("hub", "run", "hub,sut", "--", "nosuch")
    assert sorted(line.split(":")[1] for line in done.err.splitlines()) == [" hub", " sut"] and done.code == 127


def test_the_host_of_a_stopped_agent_is_lost_immediately_with_the_cause_stopped(pair: Site) -> None:
    running = pair.start("hub", "run", "sut", "--", "sleep", "100")
    wait_for(lambda: commands_of(pair.daemons[-1].pid), "the command")
    child = commands_of(pair.daemons[-1].pid)[0]
    assert pair.daemons[-1].stop(seconds=5) == 0
    done = running.wait()
    assert done.code == 125 and "stopped" in done.err, done
    wait_for(lambda: not alive(child), "the command's end")
    row = pair.json("hub", "hosts")[0]
    assert row["state"] == "lost" and row["cause"] == "stopped", row
    late = pair.type("hub", "run", "sut", "--", "true")
    assert late.code == 125 and "sut" in late.err and "lost" in late.err, late


def test_a_barrier_waits_for_a_host_whose_agent_is_stopped_because_its_system_reboots(pair: Site) -> None:
    programs = pair.folder / "programs"
    programs.mkdir()
    for name, printed in (("systemctl", "stopping"), ("runlevel", "N 6")):
        (programs / name).write_text(f"#!/bin/sh\necho {printed}\n")
        (programs / name).chmod(0o755)
    pair.env["PATH"] = f"{programs}{os.pathsep}{pair.env['PATH']}"
    agent = pair.agent("--port", hub_of(pair), name="two")
    agent.says("is registered")
    barrier = ("barrier", "booted", "--members", "hub,two", "--timeout", "20")
    waiting = pair.start("hub", *barrier)
    pair.await_waiting("barriers", "booted", 1)
    assert agent.stop(seconds=5) == 0, agent.log
    pair.await_host("two", "lost")
    assert next(row["cause"] for row in pair.json("hub", "hosts") if row["name"] == "two") == "restarted", agent.log
    pair.agent("--port", hub_of(pair), name="two").says("is registered")
    assert [pair.type("two", *barrier).code, waiting.wait().code] == [0, 0]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_restart_of_a_hub_ends_every_wait_and_its_hosts_register_again(pair: Site, number: int) -> None:
    second = pair.agent("--port", hub_of(pair), name="two")
    second.says("is registered")
    commands = [
        pair.start("hub", "barrier", "gate", "9"),
        pair.start("sut", "barrier", "gate", "9"),
        pair.start("two", "sem", "units", "-1"),
        pair.start("sut", "run", "two", "--", "sleep", "100"),
        pair.start("hub", "run", "sut", "--", "sleep", "100"),
    ]
    pair.await_waiting("barriers", "gate", 2)
    pair.await_waiting("semaphores", "units", 1)
    wait_for(lambda: commands_of(second.pid) and commands_of(pair.daemons[1].pid), "the commands")
    children = [*commands_of(second.pid), *commands_of(pair.daemons[1].pid)]
    pair.daemons[0].process.send_signal(number)
    pair.daemons[0].ended()
    pair.hub("--listen", f"unix:{pair.folder}/lines", "--lease", "2").says("listening on")
    assert [command.wait().code for command in commands] == [125] * 5
    wait_for(lambda: pair.states() == {"sut": "up", "two": "up"}, "both hosts up again", 10)
    wait_for(lambda: not any(map(alive, children)), "the end of the commands")
    assert pair.json("hub", "status")["held"]["waits"] == 0
    hosts = [row["host"] for row in pair.json("hub", "links") if row["host"]]
    assert sorted(hosts) == ["sut", "two"], "registered twice"
    parties = [pair.start(side, "barrier", "gate", "2", "--timeout", "10") for side in ("sut", "two")]
    assert [command.wait().code for command in parties] == [0, 0]


def test_an_agent_can_start_before_its_hub(site: Site) -> None:
    agent = site.agent("--port", f"unix:{site.folder}/lines")
    agent.says("trying again")
    early = site.start("sut", "sem", "units", "-1", "--timeout", "20")
    site.hub("--listen", f"unix:{site.folder}/lines")
    site.await_host()
    assert site.type("hub", "sem", "units", "+1").code == 0
    done = early.wait()
    assert done.code == 0 and "waiting for the hub" in done.err, done


def test_a_request_times_out_without_a_hub_and_reports_that_it_was_not_sent(site: Site) -> None:
    site.agent("--port", f"unix:{site.folder}/lines").says("trying again")
    done = site.type("sut", "sem", "units", "-1", "--timeout", "0.3")
    assert done.code == 124 and "was not sent: no answer from the hub" in done.err, done
    run = site.type("sut", "run", "hub", "--", "true")
    assert run.code == 125 and "no connection to a hub" in run.err, run
    assert site.type("sut", "run", "sut", "--", "true").code == 0
    assert site.json("sut", "links")[0]["state"] == "down"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_hub_and_agent_stop_cleanly_within_seconds_and_leave_nothing(pair: Site, number: int) -> None:
    table = pair.folder / "pids"
    ignore_term = f"trap '' TERM; echo $$ >> {table}; while :; do sleep 1; done"
    commands = [
        pair.start("hub", "run", "sut", "--", "sh", "-c", ignore_term),
        pair.start("sut", "run", "hub", "--", "sh", "-c", ignore_term),
    ]
    wait_for(lambda: table.exists() and len(table.read_text().split()) == 2, "both commands")
    pids = [int(word) for word in table.read_text().split()]
    hub, agent = pair.daemons
    assert agent.stop(number, 4.5) == 0, agent.log
    assert hub.stop(number, 4.5) == 0, hub.log
    assert [command.wait().code for command in commands] == [125, 125]
    wait_for(lambda: not any(map(alive, pids)), "the end of the commands")
    assert [path.name for path in pair.folder.iterdir() if path.is_socket()] == []
    for daemon in pair.daemons:
        assert "Traceback" not in daemon.log and "Exception" not in daemon.log, daemon.log


def test_the_second_agent_with_one_name_is_refused_and_exits(pair: Site) -> None:
    second = pair.agent("--port", hub_of(pair), socket="twin", impatient=True)
    line = second.says("--name")
    assert "the name 'sut' is taken by the agent on unix:" in line, line
    assert second.ended() == 7
    assert "is registered" not in second.log and "Traceback" not in second.log
    assert pair.type("hub", "run", "sut", "--", "true").code == 0


def test_an_agent_replaces_a_dead_one_with_the_same_name(pair: Site) -> None:
    pair.daemons[1].process.send_signal(signal.SIGSTOP)  # it sends nothing, but its line is still open
    second = pair.agent("--port", hub_of(pair), socket="twin", impatient=True)
    second.says("is registered", 10)
    assert pair.type("hub", "run", "sut", "--", "true").code == 0
    pair.daemons[1].process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("victim", [0, 1])
def test_processes_continue_after_another_is_killed_during_many_requests(pair: Site, victim: int) -> None:
    requests = [pair.start(side, "barrier", f"storm{n}", "2") for n in range(4) for side in ("hub", "sut")]
    pair.daemons[victim].kill()
    if victim == 0:
        pair.hub("--listen", f"unix:{pair.folder}/lines", "--lease", "2")
    else:
        pair.agent("--port", hub_of(pair))
    for command in requests[1::2]:
        command.wait(20)
    pair.await_host()
    assert pair.type("sut", "barrier", "after", "1").code == 0


# -- lines -------------------------------------------------------------------------------------------------------------


def join(site: Site, cable: NullModem, *options: str) -> None:
    site.hub("--port", cable.a, *options)
    site.agent("--port", cable.b)
    site.await_host()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("side", ["sut", "hub"])
def test_a_cable_unplugged_during_a_copy_only_delays_it(site: Site, cable: NullModem, side: str) -> None:
    join(site, cable)
    source = site.folder / "source"
    source.write_bytes(random.Random(7).randbytes(25_000))
    target = site.folder / "target"
    args = (str(source), f"sut:{target}") if side == "sut" else (f"sut:{source}", str(target))
    copying = site.start("hub", "cp", *args)
    before = cable.counters()["ab" if side == "sut" else "ba"]["bytes_in"]
    wait_for(
        lambda: cable.counters()["ab" if side == "sut" else "ba"]["bytes_in"] > before + 8000, "a third of the file"
    )
    assert copying.running and not target.exists()
    cable.pull()
    with pytest.raises(AssertionError):
        wait_for(lambda: not copying.running, "the copy while the cable is out", 3)
    cable.plug()
    assert copying.wait(40).code == 0
    assert digest(target) == digest(source)


def test_no_output_is_lost_or_repeated_when_the_cable_is_unplugged(site: Site, cable: NullModem) -> None:
    join(site, cable)
    running = site.start("hub", "run", "sut", "--", sys.executable, "-c", COUNTER)
    before = cable.counters()["ba"]["bytes_in"]
    wait_for(lambda: cable.counters()["ba"]["bytes_in"] > before + 9000, "a third of the file")
    cable.pull()
    with pytest.raises(AssertionError):
        wait_for(lambda: not running.running, "the run while the cable is out", 3)
    cable.plug()
    done = running.wait(40)
    assert done.code == 0
    assert done.text.split() == EXPECTED_OUTPUT


def test_waits_fail_with_the_cause_when_the_cable_is_out_for_longer_than_the_lease(
    site: Site, cable: NullModem
) -> None:
    join(site, cable, "--lease", "2")
    waiting = site.start("sut", "barrier", "gate", "2")
    running = site.start("hub", "run", "sut", "--", "sleep", "100")
    wait_for(lambda: commands_of(site.daemons[-1].pid), "the command")
    child = commands_of(site.daemons[-1].pid)[0]
    site.await_waiting("barriers", "gate", 1)
    cable.pull()
    site.await_host(state="lost", seconds=15)
    done = running.wait(5)
    assert done.code == 125 and "sut" in done.err, done
    assert site.waiting("barriers", "gate") == 0
    refused = site.type("hub", "run", "sut", "--", "true")
    assert refused.code == 125 and "lost" in refused.err
    assert waiting.running, "the script on the other side cannot know yet"
    cable.plug()
    site.await_host(state="up", seconds=15)
    late = waiting.wait()
    assert late.code in (4, 125) and "line lost" in late.err, late
    wait_for(lambda: not alive(child), "the end of the lost command")
    assert site.type("hub", "run", "sut", "--", "true").code == 0


def test_a_wait_times_out_while_the_cable_is_out_and_is_withdrawn_later(site: Site, cable: NullModem) -> None:
    join(site, cable)
    waiting = site.start("sut", "sem", "units", "-1", "--timeout", "3")
    site.await_waiting("semaphores", "units", 1)
    cable.pull()
    running = site.start("hub", "run", "sut", "--timeout", "1", "--", "true")
    copying = site.start("hub", "cp", "--timeout", "1", "sut:/etc/passwd", "passwd")
    done = waiting.wait()
    assert done.code == 124 and "no answer from the hub" in done.err, done
    done = running.wait(15)
    assert done.code == 125 and "may still be running on sut" in done.err, done
    done = copying.wait(1)
    assert done.code == 124 and "nothing was changed" in done.err, done
    cable.plug()
    site.await_waiting("semaphores", "units", 0)
    assert site.type("hub", "sem", "units", "+1").code == 0
    assert site.type("sut", "sem", "units", "0").text == "1\n"


def test_a_short_lease_does_not_lose_an_idle_host(pair: Site) -> None:
    hub = pair.daemons[0]
    with pytest.raises(AssertionError):
        hub.says("is lost", 5)


def test_a_session_resumes_after_its_tcp_connection_drops_during_a_command(site: Site) -> None:
    require("socat")
    hub = site.hub("--listen", "tcp://127.0.0.1:0")
    target = hub.says("listening on").rpartition("//")[2]
    port = free_port()
    proxy = Daemon(
        ["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork", f"TCP:{target}"],
        site.folder / "socat.log",
        site.env,
        site.folder,
    )
    try:
        site.agent("--port", f"tcp://127.0.0.1:{port}").says("is registered")
        running = site.start("hub", "run", "sut", "--", sys.executable, "-c", "import time\n" + _slow_counter())
        waiting = site.start("sut", "barrier", "gate", "2")
        site.await_waiting("barriers", "gate", 1)
        for _ in range(3):
            connections = wait_until(lambda: children_of(proxy.pid))
            os.kill(connections[0], signal.SIGKILL)
            wait_for(lambda old=connections: children_of(proxy.pid) not in ([], old), "a new connection")  # type: ignore[misc]
        done = running.wait(40)
        assert done.code == 0
        assert done.text.split() == [f"{n:06d}" for n in range(COUNT)]
        assert site.type("hub", "barrier", "gate", "2").code == 0
        assert waiting.wait().code == 0, "the wait outlived the connections"
        assert "lost" not in hub.log
    finally:
        proxy.kill()


def test_a_device_that_is_removed_and_returns_is_opened_again(site: Site) -> None:
    require("socat")
    ends = [f"{site.folder}/end{n}" for n in (0, 1)]

    def plug_in() -> Daemon:
        argv = ["socat", *(f"pty,raw,echo=0,link={end}" for end in ends)]
        return Daemon(argv, site.folder / "socat.log", site.env, site.folder)

    adapter = plug_in()
    try:
        wait_for(lambda: all(map(os.path.exists, ends)), "the devices")
        hub = site.hub("--port", f"{ends[0]},921600")
        agent = site.agent("--port", f"{ends[1]},921600")
        agent.says("is registered")
        running = site.start("hub", "run", "sut", "--", sys.executable, "-c", "import time\n" + _slow_counter())
        wait_for(lambda: commands_of(agent.pid), "the command")
        adapter.kill()
        for end in ends:
            os.unlink(end)  # socat does not remove the link, and another process may get the pty with this number
        hub.says("trying again")
        agent.says("trying again")
        adapter = plug_in()
        done = running.wait(40)
        assert done.code == 0
        assert done.text.split() == [f"{n:06d}" for n in range(COUNT)]
        assert "is open again" in hub.log and "is lost: the device" in hub.log, hub.log
    finally:
        adapter.kill()


def _line_of(hub: Daemon) -> int:
    """The process of a hub's exec: line (not its fork server), or 0 if there is none."""
    names = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in children_of(hub.pid)}
    return next((pid for pid, name in names.items() if name == "linesync"), 0)


def test_the_command_of_an_exec_line_is_started_again_after_it_was_killed(site: Site) -> None:
    words = [LINESYNC, "agent", "--stdio", "--name", "sut", *site.socket_option("sut")]
    hub = site.hub("--port", "exec:" + shlex.join(words))
    site.await_host()
    agent = _line_of(hub)
    waiting = site.start("sut", "barrier", "gate", "2")
    site.await_waiting("barriers", "gate", 1)
    os.kill(agent, signal.SIGKILL)
    assert waiting.wait().code == 125
    wait_for(lambda: _line_of(hub) not in (0, agent), "another one")
    site.await_host()
    assert site.type("sut", "barrier", "gate", "1").code == 0
    assert hub.stop() == 0
    wait_for(lambda: not site.socket("sut").exists(), "the end of the agent at the end of its line")


def test_repeated_failures_of_a_line_do_not_fill_the_log(site: Site) -> None:
    hub = site.hub("--port", "exec:false")
    hub.says("status 1")
    with pytest.raises(AssertionError):
        wait_for(lambda: hub.log.count("status 1") > 2, "one more line", 3)


def _slow_counter() -> str:
    return f"for i in range({COUNT}):\n print(f'{{i:06d}}', flush=True)\n i % 200 or time.sleep(0.1)"


def wait_until(condition: Callable[[], list[int]]) -> list[int]:
    """Wait until the condition returns a list that is not empty. Returns the list."""
    found: list[int] = []

    def check() -> bool:
        found[:] = condition() or []
        return bool(found)

    wait_for(check, "a connection")
    return found
