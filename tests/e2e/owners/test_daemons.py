"""A command ends when the agent or hub of its client ends, or when their line is lost for longer than the lease."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from linesync.jobs.commands.tree import below
from linesync.testing.nullmodem import NullModem
from tests.e2e.kit import Daemon, Scenes, Site, serial_site, site
from tests.e2e.owners.jobs import OPERATIONS, PATIENCE, SIGNALS, Job, resources
from tests.real import wait_for

LEASE = 2.0
scenes = Scenes()


class _Trio:
    """A hub and two agents on a socket. Tests end and restart their processes."""

    def __init__(self, place: Site) -> None:
        self.site = place
        self.start: dict[str, Callable[[], Daemon]] = {
            "hub": lambda: place.hub("--listen", f"unix:{place.folder}/lines", "--lease", f"{LEASE:g}"),
            "sut": lambda: place.agent("--port", f"unix:{place.folder}/lines", name="sut"),
            "two": lambda: place.agent("--port", f"unix:{place.folder}/lines", name="two"),
        }
        self.daemons = {name: start() for name, start in self.start.items()}
        self.await_all()

    def await_all(self) -> None:
        """Wait until every host is up and runs commands."""
        for name in ("sut", "two"):
            self.site.await_host(name)
        for host in ("hub", "sut", "two"):
            wait_for(lambda host=host: self.site.type("sut", "run", host, "--", "true").code == 0, host)  # type: ignore[misc]


def _all_jobs(place: Site) -> dict[str, Job]:
    jobs = {operation: Job(place, operation) for operation in OPERATIONS}
    for job in jobs.values():
        job.await_tree()
    return jobs


def _end_all(jobs: dict[str, Job], *, without: tuple[str, ...] = (), seconds: float = PATIENCE) -> None:
    """Wait until all jobs have ended, except on the hosts ``without``, where they end with their client."""
    for job in jobs.values():
        if not set(job.hosts) & set(without) or len(job.hosts) == 1:
            job.await_end(seconds=seconds)
        else:
            job.await_end(*(set(job.hosts) - set(without)), seconds=seconds)
            assert len(job.left(*without)) == 5, "the command on the other host still runs, because its client does"
            job.client.kill()
            job.await_end()


def _agent_ends(ending: str) -> None:
    with site() as place:
        trio = _Trio(place)
        before = resources(place)
        jobs = _all_jobs(place)
        pid = jobs["run"].left()[0]
        agent = trio.daemons["sut"]
        agent.process.send_signal(SIGNALS[ending])
        if ending == "KILL":
            agent.ended()
            trio.start["sut"]()  # starts while the commands of the old agent are being ended
        _end_all(jobs, without=("two",))
        done = jobs["run"].client.wait()
        assert done.code == 125
        assert f"may still be running on sut (pid {pid})" in done.err, done
        if ending != "KILL":
            assert agent.ended() == 0
            assert "the agent on sut was stopped" in done.err, done
            assert not place.socket("sut").exists(), "the socket's file is removed"
            trio.start["sut"]()
        trio.await_all()
        wait_for(lambda: resources(place) == before, f"the resources of before ({ending}): {before}")


def _hub_ends(ending: str) -> None:
    with site() as place:
        trio = _Trio(place)
        before = resources(place)
        jobs = _all_jobs(place)
        hub = trio.daemons["hub"]
        hub.process.send_signal(SIGNALS[ending])
        _end_all(jobs, seconds=PATIENCE + (LEASE if ending == "KILL" else 0))
        assert all(job.client.wait().code == 125 for job in jobs.values())
        if ending != "KILL":
            assert hub.ended() == 0
            assert place.socket("hub").exists(), "it shows the next hub that something was held"
        else:
            hub.ended()
            assert place.socket("hub").exists(), "a killed hub cannot remove its socket; the next hub replaces it"
        trio.start["hub"]()
        trio.await_all()
        wait_for(lambda: resources(place) == before, f"the resources of before ({ending}): {before}")


@scenes
def line_is_cut() -> None:
    with serial_site("--lease", f"{LEASE:g}", hosts=("sut", "two")) as place:
        for host in ("hub", "sut", "two"):
            assert place.type("sut", "run", host, "--", "true").code == 0
        before = resources(place)
        jobs = _all_jobs(place)
        pid = jobs["run"].left()[0]
        place.cables["sut"].pull()
        _end_all(jobs, without=("two",), seconds=PATIENCE + LEASE)
        done = jobs["run"].client.wait()
        assert done.code == 125 and f"may still be running on sut (pid {pid})" in done.err, done
        assert all(job.client.wait().code == 125 for name, job in jobs.items() if name != "run on several")
        place.cables["sut"].plug()
        place.await_host("sut")
        wait_for(lambda: resources(place) == before, f"the resources of before: {before}")


@scenes
def line_is_down_for_less_than_the_lease() -> None:
    with ExitStack() as stack:
        cable = stack.enter_context(NullModem())
        place = stack.enter_context(site())
        place.hub("--port", cable.a, "--lease", "6")
        place.agent("--port", cable.b)
        place.await_host()
        job = place.start("hub", "run", "sut", "--", "sh", "-c", "sleep 3; echo done")
        wait_for(lambda: "sut" in place.states(), "the host")
        place.await_host()
        cable.pull()
        with pytest.raises(AssertionError):
            wait_for(lambda: not job.running, "the end that must not come", 2.5)
        cable.plug()
        assert job.wait(20).text == "done\n", "the command continued"


for _ending in SIGNALS:
    scenes.names[f"agent, {_ending}"] = lambda ending=_ending: _agent_ends(ending)  # type: ignore[misc]
    scenes.names[f"hub, {_ending}"] = lambda ending=_ending: _hub_ends(ending)  # type: ignore[misc]


@pytest.mark.parametrize("name", scenes.names)
def test_no_process_of_a_command_is_left_after(name: str) -> None:
    scenes.play(name)


def test_a_new_agent_ends_and_reports_the_commands_of_a_dead_one(site: Site) -> None:
    trio = _Trio(site)
    job = Job(site, "run")
    job.await_tree()
    left = job.left()
    owners = [trio.daemons["sut"].pid, *(below(trio.daemons["sut"].pid) - set(left))]
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that none of them sees the end of another
        for pid in owners:
            os.kill(pid, number)
    trio.daemons["sut"].ended()
    assert job.left() == left
    report = trio.start["sut"]().says("without an owner")
    assert all(str(pid) in report for pid in left), report
    assert job.left() == []
