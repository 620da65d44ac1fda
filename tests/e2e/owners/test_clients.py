"""A remote command belongs to its client: after any end of the client, no process of the command is left. The same applies
after the supervisor of the command is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.e2e.kit import Scenes, Site, site
from tests.e2e.owners.jobs import OPERATIONS, SIGNALS, Job, resources
from tests.real import wait_for


@pytest.fixture(scope="module")
def trio() -> Iterator[Site]:
    """A hub and two agents. After all tests, they must have the same processes and open files as before."""
    with site() as place:
        place.hub("--listen", f"unix:{place.folder}/lines").says("listening on")
        for name in ("sut", "two"):
            place.agent("--port", f"unix:{place.folder}/lines", name=name)
            place.await_host(name)
        for host in ("hub", "sut", "two"):
            assert place.type("sut", "run", host, "--", "true").code == 0
        before = resources(place)
        _place.append(place)
        yield place
        wait_for(lambda: resources(place) == before, f"the resources of before: {before}")


_place: list[Site] = []
scenes = Scenes()


def _client_ends(operation: str, ending: str) -> None:
    job = Job(_place[-1], operation, ends=ending == "exit")
    job.await_tree()
    if ending == "exit":
        job.let_end()
        assert job.client.wait().code == 3
        assert job.left() == [], "a process of the command is left after the end of its client"
        return
    job.client.process.send_signal(SIGNALS[ending])
    job.await_end()
    job.client.wait(5)


def _supervisor_is_killed(operation: str) -> None:
    job = Job(_place[-1], operation)
    job.await_tree()
    supervisors = job.supervisors()
    assert len(supervisors) == len(job.hosts)
    for pid in supervisors:
        os.kill(pid, signal.SIGKILL)
    job.await_end()
    done = job.client.wait(5)
    assert done.code == 125 and "supervisor" in done.err and "was killed" in done.err, done


for _operation in OPERATIONS:
    for _ending in ("exit", *SIGNALS):
        scenes.names[f"{_operation}: client, {_ending}"] = lambda a=_operation, b=_ending: _client_ends(a, b)  # type: ignore[misc]
    scenes.names[f"{_operation}: supervisor, KILL"] = lambda a=_operation: _supervisor_is_killed(a)  # type: ignore[misc]


@pytest.mark.parametrize("name", scenes.names)
def test_no_process_of_a_command_is_left_after(trio: Site, name: str) -> None:
    scenes.play(name)


def test_signals_to_the_process_group_do_not_end_the_helper_processes(trio: Site) -> None:
    job = Job(trio, "run")
    job.await_tree()
    (supervisor,) = job.supervisors()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        os.killpg(os.getpgid(supervisor), number)
    assert trio.type("hub", "run", "sut", "--", "echo", "on").text == "on\n"
    assert job.client.running and len(job.left()) == 5
    job.client.kill()
    job.await_end()
