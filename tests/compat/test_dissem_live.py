"""The examples of dissem's README, run unchanged on hosts that have only a serial line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.helpers import Hosts, hosts_on_cables
from tests.e2e import kit
from tests.real import free_port

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def hosts(shims: Path) -> Iterator[Hosts]:
    """The hosts server1 and server2 on cables. Examples with more servers run several scripts on these two hosts."""
    with kit.site() as place, hosts_on_cables(place, shims, {"server1": {}, "server2": {}}) as found:
        yield found


def test_example_1_a_simple_transaction(hosts: Hosts) -> None:
    waiting = hosts.start("server1", "dissem", "SEM001", "-1")
    hosts.site.await_waiting("semaphores", "SEM001", 1)
    assert waiting.running
    given = hosts.type("server2", "dissem", "SEM001", "1")
    taken = waiting.wait()
    assert (given.code, given.text, given.err) == (0, "0\n", "")
    assert (taken.code, taken.text, taken.err) == (0, "0\n", "")


def test_example_2_many_servers(hosts: Hosts) -> None:
    waiting = [hosts.start(f"server{1 + n % 2}", "dissem", "SEM002", "-1") for n in range(4)]
    hosts.site.await_waiting("semaphores", "SEM002", 4)
    assert hosts.type("server2", "dissem", "SEM002", "4").text == "0\n"
    assert [command.wait().code for command in waiting] == [0, 0, 0, 0]
    assert hosts.type("server1", "dissem", "SEM002", "0").text == "0\n"


def test_example_3_the_current_count(hosts: Hosts) -> None:
    assert hosts.type("server1", "dissem", "sem", "SEM003", "3").text == "3\n"
    assert hosts.type("server2", "dissem", "SEM003", "0").text == "3\n"
    assert hosts.type("server2", "dissem", "semaphore", "SEM003", "-2").text == "1\n"


def test_example_4_a_barrier_of_two_servers(hosts: Hosts) -> None:
    first = hosts.start("server1", "dissem", "BR001", "2")
    hosts.site.await_waiting("barriers", "BR001", 1)
    second = hosts.type("server2", "dissem", "BR001", "2")
    assert [(done.code, done.text, done.err) for done in (first.wait(), second)] == [(0, "", "")] * 2


def test_example_5_the_object_is_named(hosts: Hosts) -> None:
    """The two forms of the command line in the README, and the form in the usage text."""
    first = hosts.start("server1", "dissem", "barrier", "meeting", "2")
    second = hosts.start("server2", "dissem", "br", "meeting", "2")
    assert (first.wait().code, second.wait().code) == (0, 0)
    assert hosts.type("server1", "dissem", "--object", "sem", "--name", "test1", "--count=2").text == "2\n"


def test_the_typo_of_the_readme_names_another_barrier(hosts: Hosts) -> None:
    pair = [hosts.start(host, "dissem", "BE001", "2") for host in ("server1", "server2")]
    assert [command.wait().code for command in pair] == [0, 0]


def test_a_different_count_is_an_error_immediately(hosts: Hosts) -> None:
    first = hosts.start("server1", "dissem", "BR002", "2")
    hosts.site.await_waiting("barriers", "BR002", 1)
    second = hosts.type("server2", "dissem", "BR002", "3")
    assert second.code == 1
    assert "a count of 2" in second.err
    assert "a count of 3" in second.err
    assert hosts.type("server2", "dissem", "BR002", "2").code == 0
    assert first.wait().code == 0


def test_options_come_from_the_variable_and_from_the_home_directory(hosts: Hosts) -> None:
    (hosts.site.folder / ".dissem.conf").write_text("# for all\n--object=sem\n")
    done = hosts.type("server1", "dissem", "--count", "7", env={"DISSEM_FLAGS": "--name SEM007"})
    (hosts.site.folder / ".dissem.conf").unlink()
    assert (done.code, done.text) == (0, "7\n")


def test_two_namespaces_have_separate_semaphores(hosts: Hosts) -> None:
    assert hosts.type("server1", "dissem", "SEM009", "1", env={"LINESYNC_NAMESPACE": "run1"}).text == "1\n"
    assert hosts.type("server1", "dissem", "SEM009", "0", env={"LINESYNC_NAMESPACE": "run2"}).text == "0\n"


def test_an_address_and_a_port_name_a_hub_that_listens_there(shims: Path) -> None:
    with kit.site() as place:
        port = free_port()
        place.hub("--listen", f"tcp://127.0.0.1:{port}").says("listening on")
        hosts = Hosts(place, shims)
        no_variable = {"LINESYNC_HUB": ""}  # otherwise the variable would override -A and -p
        done = hosts.type("nowhere", "dissem", "-A", "127.0.0.1", "-p", str(port), "sem", "x", "1", env=no_variable)
        assert (done.code, done.text) == (0, "1\n")
        lost = hosts.type(
            "nowhere", "dissem", "-A", "127.0.0.1", "-p", str(free_port()), "sem", "x", "1", env=no_variable
        )
        assert lost.code == 3
        assert lost.err.startswith("dissem: ")
        hosts.close()
