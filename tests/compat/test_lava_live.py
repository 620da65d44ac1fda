"""A LAVA MultiNode test definition. Its steps run as in LAVA's runner, on hosts that have only a serial line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from linesync.testing.nullmodem import NullModem
from tests.compat.helpers import Hosts, hosts_on_cables
from tests.e2e import kit
from tests.e2e.kit import Command

pytestmark = pytest.mark.real

DEFINITIONS = Path(__file__).parent / "definitions"
GROUP = {
    "board1": {"group": "job7", "role": "client", "group_size": "2"},
    "board2": {"group": "job7", "role": "server", "group_size": "2"},
}


def steps(definition: Path) -> list[str]:
    """The run steps of a test definition: the items below ``steps:``, which are plain text in our definitions."""
    _, _, tail = definition.read_text().partition("  steps:\n")
    return [line.removeprefix("    - ") for line in tail.splitlines()]


def start(hosts: Hosts, host: str, definition: str) -> Command:
    """Run a definition's steps on a host, as one script in a directory with the definition's files."""
    folder = hosts.site.folder / f"lava-{host}"
    shutil.copytree(DEFINITIONS, folder)
    (folder / "run.sh").write_text("\n".join(["cd " + str(folder), *steps(DEFINITIONS / definition)]) + "\n")
    return hosts.start(host, "sh", str(folder / "run.sh"))


@pytest.fixture(scope="module")
def hosts(shims: Path) -> Iterator[Hosts]:
    with kit.site() as place, hosts_on_cables(place, shims, GROUP) as found:
        yield found


def test_a_multinode_definition_runs_unchanged(hosts: Hosts) -> None:
    client, server = (start(hosts, host, "multinode.yaml") for host in GROUP)
    running = [
        "role-in-group=client",
        "role-in-group=server",
        "server=board2 clients=board1 ",
        "no-observer=1",
    ]
    after = [
        "interfaces=board1:eth0=192.168.0.1",
        "interfaces=board1:eth1=0",
        "interfaces=board2:eth0=192.168.0.2",
        "interfaces=board2:eth1=0",
        *(f"round={number}" for number in (1, 2, 3)),
        "cache=cleared",
    ]
    results = client.wait(60), server.wait(60)
    assert [done.err for done in results] == ["", ""]
    assert results[0].text.splitlines() == [
        "self=board1 role=client",
        *running,
        "server-ip=10.0.0.1 cache=board2:server-ip=10.0.0.1 board2:port=5001 board2:note=two words ",
        *after,
    ]
    assert results[1].text.splitlines() == ["self=board2 role=server", *running, "client-said=pass", *after]


def test_a_wait_needs_a_message_of_another_device_and_can_be_repeated(hosts: Hosts) -> None:
    assert hosts.type("board1", "lava-send", "again", "n=1").code == 0
    early = hosts.type("board1", "lava-wait", "--timeout", "0.5", "again")
    assert early.code == 124
    assert early.err.startswith("lava-wait: ")
    for number in (1, 2):
        assert hosts.type("board2", "lava-send", "again", f"n={number}").code == 0
        assert hosts.type("board1", "lava-wait", "again").code == 0
        assert hosts.cache("board1").read_text().splitlines() == ["board1:n=1", f"board2:n={number}"]


def test_a_message_without_data_removes_the_cache(hosts: Hosts) -> None:
    hosts.cache("board1").write_text("old:k=v\n")
    assert hosts.type("board2", "lava-send", "bare", "word").err.startswith("lava-send: 'word' is not KEY=VALUE")
    assert hosts.type("board1", "lava-wait", "bare").code == 0
    assert not hosts.cache("board1").exists()


def test_a_host_that_is_ahead_waits_at_the_second_sync(hosts: Hosts) -> None:
    """The faster host arrives at the second sync of an id before the slower host has left the first sync."""
    ahead = hosts.start("board1", "sh", "-c", "lava-sync pace; echo one; lava-sync pace; echo two")
    assert hosts.type("board2", "lava-sync", "pace").code == 0
    hosts.site.await_waiting("barriers", "lava-sync:job7/pace", 1)
    assert ahead.running
    assert hosts.type("board2", "lava-sync", "pace").code == 0
    assert ahead.wait().text == "one\ntwo\n"


def test_a_role_without_hosts_is_an_error(hosts: Hosts) -> None:
    done = hosts.type("board1", "lava-wait-all", "ready", "database")
    assert done.code not in (0, 124)
    assert "database" in done.err


def test_a_failure_exits_with_0_only_with_bug_compatibility(hosts: Hosts) -> None:
    line = ("lava-wait-all", "--timeout", "0.3", "never")
    assert hosts.type("board1", *line).code == 124
    lenient = hosts.type("board1", *line, env={"LAVA_BUG_COMPAT": "1"})
    assert lenient.code == 0
    assert "never" in lenient.err


def test_the_controller_is_in_no_group(hosts: Hosts) -> None:
    done = hosts.type("hub", "lava-sync", "x")
    assert done.code == 2
    assert "--publish group=G" in done.err


def test_a_script_without_linesync_host_asks_for_its_host(hosts: Hosts) -> None:
    assert hosts.type("board2", "lava-self", env={"LINESYNC_HOST": ""}).text == "board2\n"
    assert hosts.type("hub", "lava-self", env={"LINESYNC_HOST": ""}).text == "hub\n"


def test_a_command_waits_until_its_group_is_complete(shims: Path) -> None:
    with kit.site() as place, NullModem(baud=115200) as early, NullModem(baud=115200) as late:
        place.hub("--port", early.a, "--port", late.a)
        place.agent("--port", early.b, *_publish("board1"), name="board1")
        place.await_host("board1")
        hosts = Hosts(place, shims)
        waiting = hosts.start("board1", "lava-group")
        sync = hosts.type("board1", "lava-sync", "--timeout", "0.5", "x")
        assert sync.code == 124
        assert "1 of 2 hosts of the group 'job7' are known: board1" in sync.err
        assert waiting.running
        place.agent("--port", late.b, *_publish("board2"), name="board2")
        done = waiting.wait()
        assert done.text == "board1\tclient\nboard2\tserver\n"
        assert "waiting for the group" in done.err


def _publish(host: str) -> list[str]:
    return [word for item in GROUP[host].items() for word in ("--publish", "=".join(item))]


def test_two_groups_on_one_hub_are_separate(shims: Path) -> None:
    published = {
        f"{group}{number}": {"group": group, "role": "peer", "group_size": "2"} for group in "gh" for number in (1, 2)
    }
    with kit.site() as place, hosts_on_cables(place, shims, published) as hosts:
        assert hosts.type("g1", "lava-send", "ready", "who=g1").code == 0
        assert hosts.type("h1", "lava-wait", "--timeout", "0.5", "ready").code == 124
        assert hosts.type("h2", "lava-send", "ready", "who=h2").code == 0
        assert hosts.type("h1", "lava-wait", "ready").code == 0
        assert hosts.cache("h1").read_text() == "h2:who=h2\n"
        synced = [hosts.start(host, "lava-sync", "--timeout", "20", "go") for host in published]
        assert [command.wait().code for command in synced] == [0, 0, 0, 0]


def test_a_sync_with_a_dead_host_fails_and_names_the_host(shims: Path) -> None:
    with kit.site() as place, hosts_on_cables(place, shims, GROUP, "--lease", "2") as hosts:
        waiting = hosts.start("board1", "lava-sync", "go")
        place.await_waiting("barriers", "lava-sync:job7/go", 1)
        next(daemon for daemon in place.daemons if "board2" in daemon.argv).kill()
        done = waiting.wait(15)
        assert done.code == 4
        assert "board2 is lost" in done.err
        assert hosts.type("board1", "lava-wait-all", "ready").code == 4
