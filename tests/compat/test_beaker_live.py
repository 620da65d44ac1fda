"""rhts-sync-set with rhts-sync-block, and restraint's, between hosts behind serial lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.helpers import Hosts, hosts_on_cables
from tests.e2e import kit

pytestmark = pytest.mark.real

PAIRS = ["rhts", "rstrnt"]


@pytest.fixture(scope="module")
def hosts(shims: Path) -> Iterator[Hosts]:
    with kit.site() as place, hosts_on_cables(place, shims, {"server": {}, "client": {}}) as found:
        yield found


@pytest.fixture
def task(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment of a task, with a recipe set that only this test uses."""
    return {"RECIPESETID": request.node.name, "TASKORDER": "1"}


@pytest.mark.parametrize("name", PAIRS)
def test_a_block_ends_when_the_machine_sets_its_state(hosts: Hosts, task: dict[str, str], name: str) -> None:
    waiting = hosts.start("client", f"{name}-sync-block", "-s", "SERVER_READY", "server", env=task)
    wrong = hosts.type("client", f"{name}-sync-set", "-s", "SERVER_READY", env=task)
    other = hosts.type("server", f"{name}-sync-set", "-s", "SERVER_STARTS", env=task)
    assert (wrong.code, other.code) == (0, 0)
    assert waiting.running
    assert hosts.type("server", f"{name}-sync-set", "-s", "SERVER_READY", env=task).code == 0
    done = waiting.wait()
    assert (done.code, done.text) == (0, "SERVER_READY\n")


@pytest.mark.parametrize("name", PAIRS)
def test_a_state_stays_set(hosts: Hosts, task: dict[str, str], name: str) -> None:
    for state in ("ONE", "TWO"):
        assert hosts.type("server", f"{name}-sync-set", "-s", state, env=task).code == 0
    for _ in range(2):
        line = (f"{name}-sync-block", "--timeout", "10", "-s", "ONE", "server")
        assert hosts.type("client", *line, env=task).code == 0


def test_rhts_and_restraint_commands_share_their_states(hosts: Hosts, task: dict[str, str]) -> None:
    assert hosts.type("server", "rhts-sync-set", "-s", "UP", env=task).code == 0
    rstrnt_task = {"RSTRNT_RECIPESETID": task["RECIPESETID"], "RSTRNT_TASKORDER": task["TASKORDER"]}
    assert hosts.type("client", "rstrnt-sync-block", "--timeout", "10", "-s", "UP", "server", env=rstrnt_task).code == 0


def test_each_task_and_recipe_set_has_separate_states(hosts: Hosts, task: dict[str, str]) -> None:
    assert hosts.type("server", "rhts-sync-set", "-s", "UP", env=task).code == 0
    line = ("rhts-sync-block", "--timeout", "0.3", "-s", "UP", "server")
    for other in ({"TASKORDER": "2"}, {"RECIPESETID": "another"}):
        late = hosts.type("client", *line, env=task | other)
        assert late.code == 124
        assert late.err.splitlines()[-1].startswith("rhts-sync-block: ")
    assert hosts.type("client", *line, "-t", "1", env=task | {"TASKORDER": "2"}).code == 0


def test_a_block_waits_for_all_machines_or_with_any_for_one(hosts: Hosts, task: dict[str, str]) -> None:
    assert hosts.type("server", "rhts-sync-set", "-s", "DONE", env=task).code == 0
    line = ("rhts-sync-block", "--timeout", "0.5", "-s", "DONE", "server", "client")
    assert hosts.type("client", *line, env=task).code == 124
    assert hosts.type("client", *line, "--any", env=task).text == "DONE\n"
    assert hosts.type("client", "rhts-sync-set", "-s", "DONE", env=task).code == 0
    assert hosts.type("client", *line, env=task).text == "DONE:DONE\n"


def test_one_of_several_states_of_each_machine_is_enough(hosts: Hosts, task: dict[str, str]) -> None:
    assert hosts.type("server", "rhts-sync-set", "-s", "PASS", env=task).code == 0
    waiting = hosts.start("client", "rhts-sync-block", "-s", "PASS", "-s", "FAIL", "server", "client", env=task)
    assert hosts.type("client", "rhts-sync-set", "-s", "FAIL", env=task).code == 0
    assert waiting.wait().text == "PASS:FAIL\n"


def test_a_machine_also_sets_states_under_its_hostname(hosts: Hosts, task: dict[str, str]) -> None:
    named = task | {"HOSTNAME": "server.lab.example.com"}
    assert hosts.type("server", "rhts-sync-set", "-s", "UP", env=named).code == 0
    for machine in ("server", "server.lab.example.com"):
        line = ("rhts-sync-block", "--timeout", "10", "-s", "UP", machine)
        assert hosts.type("client", *line, env=task).code == 0


def test_an_option_names_the_machine(hosts: Hosts, task: dict[str, str]) -> None:
    assert hosts.type("hub", "rhts-sync-set", "-s", "UP", "-m", "fe80::1", env=task).code == 0
    assert hosts.type("client", "rhts-sync-block", "--timeout", "10", "-s", "UP", "fe80::1", env=task).code == 0
    assert hosts.type("client", "rhts-sync-block", "--timeout", "0.3", "-s", "UP", "hub", env=task).code == 124
