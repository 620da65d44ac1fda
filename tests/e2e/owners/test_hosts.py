"""``linesync host`` and ``run --wait`` with a host that is restarted."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.kit import Site, site, wait_for


@pytest.fixture
def place() -> Iterator[Site]:
    with site() as place:
        place.hub("--listen", f"unix:{place.folder}/line.sock")
        wait_for(lambda: (place.folder / "line.sock").exists(), "the hub")
        yield place


def test_commands_wait_for_a_host_and_for_its_next_life(place: Site) -> None:
    line = f"unix:{place.folder}/line.sock"
    waiting = place.start("hub", "host", "wait", "sut", "--json")
    running = place.start("hub", "run", "sut", "--wait", "20", "--", "echo", "hello")
    late = place.type("hub", "run", "sut", "--wait", "0.2", "--", "true")
    assert late.code == 124 and "waiting for host sut: no agent with this name has registered" in late.err
    unknown = place.type("hub", "host", "show", "sut")
    assert unknown.code == 125 and "there is no host sut" in unknown.err
    agent = place.agent("--port", line, "--publish", "role=server")
    state = json.loads(waiting.wait().out)
    assert (state["name"], state["state"]) == ("sut", "up")
    assert running.wait().text == "hello\n"
    shown = place.type("hub", "host", "show", "sut")
    assert shown.code == 0 and state["boot"] in shown.text and "role=server" in shown.text
    again = place.start("hub", "host", "wait", "sut", "--boot-after", state["boot"], "--json")
    assert place.type("hub", "host", "wait", "sut", "--boot-after", state["boot"], "--timeout", "0").code == 124
    assert again.running
    agent.kill()
    place.agent("--port", line, impatient=True)
    assert json.loads(again.wait().out)["boot"] != state["boot"]


def test_a_reboot_reports_a_command_that_fails_and_waits_for_another_boot_of_the_system(place: Site) -> None:
    place.agent("--port", f"unix:{place.folder}/line.sock")
    place.await_host()
    for wait in ([], ["--wait"]):
        failed = place.type("hub", "host", "reboot", "sut", "--cmd", "echo no >&2; exit 3", *wait)
        assert failed.code == 3 and "ended with exit status 3" in failed.err, failed
    late = place.type("hub", "host", "reboot", "sut", "--cmd", "true", "--wait", "--timeout", "0.5")
    assert late.code == 124 and "it has not been started again since" in late.err
    for words in (["wait", "sut", "--cmd", "x"], ["show", "sut", "--wait"], ["reboot", "sut", "--boot-after", "x"]):
        assert place.type("hub", "host", *words).code == 2
