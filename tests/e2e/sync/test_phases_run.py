"""``linesync phases run`` ends all that it has started, on this machine and on hosts with only an agent."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from linesync.client.blocking import connect_blocking
from linesync.errors import LinesyncFailed
from linesync.model.state.group import GroupState
from tests.e2e import kit
from tests.e2e.kit import Site, alive, text_when_written

SIGNALS = {"SIGHUP": -1, "SIGINT": 130, "SIGTERM": -15, "SIGUSR1": -10, "SIGKILL": -9}
"""The exit code of a run that each of these signals ends."""
FILE = """
group = "{name}"
[service.first]
process = "true"
stop = "echo stopped"
[service.second]
after = ["first"]
process = "echo $$ > {name}.pid; setsid sleep 60 & echo $! >> {name}.pid; echo >> {name}.pid; wait"
abort = "echo aborted"
"""


def group_state(place: Site, name: str) -> GroupState | None:
    """The state of a group, or None if it does not exist or has no members."""
    with connect_blocking(f"unix:{place.socket('hub')}") as client:
        try:
            found = client.group_state(name)
        except LinesyncFailed:
            return None
    return found if found.members else None


def pids(path: Path) -> list[int]:
    return list(map(int, text_when_written(path).split()))


def start_agent(place: Site, name: str) -> None:
    place.agent("--port", f"unix:{place.folder}/lines", name=name)


def restart_agent(place: Site, name: str) -> None:
    """Kill the agent of a host, and start another one."""
    next(daemon for daemon in reversed(place.daemons) if name in daemon.argv).kill()
    start_agent(place, name)


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """A hub, and two hosts."""
    with kit.site() as made:
        made.hub("--listen", f"unix:{made.folder}/lines").says("listening on")
        for name in ("a", "b"):
            start_agent(made, name)
        for name in ("a", "b"):
            made.await_host(name)
        yield made


def test_every_signal_ends_the_commands_and_leaves_the_group(place: Site) -> None:
    for name in SIGNALS:
        (place.folder / f"{name}.toml").write_text(FILE.format(name=name))
    runs = {name: place.start("a", "phases", "run", f"{name}.toml") for name in SIGNALS}
    for name, code in SIGNALS.items():
        processes = pids(place.folder / f"{name}.pid")
        runs[name].process.send_signal(getattr(signal, name))
        done = runs[name].wait()
        expected = "" if name == "SIGKILL" else "second: aborted\nfirst: stopped\n"
        assert (name, done.code, done.text) == (name, code, expected)
        place.until(lambda: not any(map(alive, processes)), f"the end of the processes after {name}")  # noqa: B023
        place.until(lambda: group_state(place, name) is None, f"the end of the group after {name}")  # noqa: B023


def test_a_wrong_file_a_missing_hub_and_a_timeout_are_one_sentence(place: Site) -> None:
    (place.folder / "wrong.toml").write_text("[service.a]\nzzz = 1\n")
    (place.folder / "good.toml").write_text("")
    wrong = place.type("a", "phases", "run", "wrong.toml")
    assert wrong.code == 2 and wrong.err.count("\n") == 1 and "unknown key 'service.a.zzz' in wrong.toml" in wrong.err
    late = place.type("a", "phases", "run", "good.toml", "--timeout", "0.5")
    assert late.code == 124 and "the group services was not stopped within 0.5 s" in late.err
    absent = place.type("nobody", "phases", "run", "good.toml")
    assert absent.code == 125 and absent.err.count("\n") == 1 and "there is no socket" in absent.err


HOSTS = """
group = "{name}"
[service.net]
process = "echo up; echo $LINESYNC_MEMBERS > {name}.members"
stop = "echo down"
[service.job]
hosts = ["a"]
after = ["net"]
process = "echo $$ > {name}.pid; until test -e {name}.go; do sleep 0.05; done; exit $(cat {name}.go)"
"""


def write_file(place: Site, name: str, *more: str) -> str:
    """Write the declarations of a group. Returns the name of the file."""
    (place.folder / f"{name}.toml").write_text("\n".join([*more, HOSTS.format(name=name)]))
    return f"{name}.toml"


def round_state(place: Site, name: str) -> str:
    found = group_state(place, name)
    return found.round.state if found is not None else ""


def until_completed(place: Site, name: str) -> None:
    place.until(lambda: round_state(place, name) == "completed", "the end of the round")


def test_the_controller_runs_the_services_of_hosts_with_only_an_agent_while_they_are_up(place: Site) -> None:
    run = place.start("hub", "phases", "run", write_file(place, "far"), "--hosts", "a,b")
    (first,) = pids(place.folder / "far.pid")
    assert set(text_when_written(place.folder / "far.members").split()) <= {"a", "b"}
    restart_agent(place, "b")
    place.until(lambda: not alive(first), "the end of the command of the earlier round")
    (place.folder / "far.go").write_text("0\n")
    place.until(lambda: len(members(place, "far")) == 2, "a new member for b")
    until_completed(place, "far")
    assert place.type("hub", "phases", "stop", "far").code == 0
    done = run.wait()
    assert done.code == 0
    lines = done.text.splitlines()
    assert lines.count("b net: up") >= 2 and sorted(lines[-2:]) == ["a net: down", "b net: down"]


def members(place: Site, name: str) -> tuple[object, ...]:
    found = group_state(place, name)
    return found.members if found is not None else ()


def test_the_state_and_the_rounds_are_printed(place: Site) -> None:
    (place.folder / "seen.go").write_text("3\n")
    place.start("a", "phases", "run", write_file(place, "seen", 'on-failure = "stop"'))
    place.until(lambda: round_state(place, "seen") == "failed", "a failed round")
    head, _, *table = place.type("hub", "phases", "status", "seen").text.splitlines()
    assert head.startswith("seen: 1 member, failed for ") and "exited with code 3" in head
    assert [line.split() for line in table] == [["MEMBER", "net", "job"], ["a", "aborted", "failed"]]
    (place.folder / "seen.go").write_text("0\n")
    assert place.type("hub", "phases", "rerun", "seen").code == 0
    until_completed(place, "seen")
    log = place.type("hub", "phases", "log", "seen").text.splitlines()
    assert "failed: a: process of service" in log[1] and log[2].endswith("completed")
    refused = place.type("hub", "phases", "rerun", "seen", "web")
    assert refused.code == 2 and "the group seen has no service web; its services are net, job" in refused.err
    absent = place.type("hub", "phases", "status", "other")
    assert absent.code == 125 and "there is no group 'other'" in absent.err
    watch(place)


def watch(place: Site) -> None:
    """Follow the group ``seen`` in a pipe and on a terminal, while it and another group run rounds."""
    watching = place.start("hub", "phases", "status", "seen", "--watch")
    assert watching.process.stdout is not None
    output = watching.process.stdout.fileno()
    master, slave = pty.openpty()
    argv = [kit.LINESYNC, "--hub", f"unix:{place.socket('hub')}", "phases", "status", "seen", "--watch"]
    screen = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=place.env | {"COLUMNS": "200"})
    os.close(slave)
    shown = {output: "", master: ""}
    assert place.type("b", "group", "join", "elsewhere").code == 0

    def show(*expected: str) -> bool:
        for group in ("elsewhere", "seen"):
            assert place.type("hub", "phases", "rerun", group).code == 0
        while ready := select.select(list(shown), [], [], 0.1)[0]:
            for descriptor in ready:
                shown[descriptor] += os.read(descriptor, 1 << 16).decode()
        return all(text in shown[descriptor] for descriptor, text in zip(shown, expected, strict=True))

    try:
        place.until(lambda: show("round completed: seen", "round completed: seen"), "the changes of the group")
        assert all(" seen" in line for line in shown[output].splitlines())
        assert "seen: 1 member, " in shown[master] and "elsewhere" not in shown[master]
    finally:
        os.close(master)
        watching.kill()
        screen.kill()
        screen.wait()


def test_a_host_whose_agent_is_restarted_joins_again_and_its_services_stay(place: Site) -> None:
    (place.folder / "back.go").write_text("0\n")
    run = place.start("a", "phases", "run", write_file(place, "back"))
    until_completed(place, "back")
    first = group_state(place, "back")
    assert first is not None
    restart_agent(place, "a")

    def again() -> bool:
        found = group_state(place, "back")
        return found is not None and found.ring != first.ring and found.round.state == "completed"

    place.until(again, "another round with a")
    assert place.type("hub", "phases", "stop", "back").code == 0
    done = run.wait()
    assert (done.code, done.text.splitlines()) == (0, ["net: up", "net: up", "net: down"])
    assert "the membership was lost: " in done.err
