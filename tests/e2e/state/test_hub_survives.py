"""A hub whose disk fails, with real processes."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.kit import Command, Daemon, Site
from tests.e2e.kit import site as new_site

from . import failing_hub

pytestmark = [pytest.mark.live, pytest.mark.real]


@pytest.fixture
def site() -> Iterator[Site]:
    with new_site() as place:
        yield place


def start(site: Site, number: int, shim: Path) -> Daemon:
    """Start a hub whose disk fails with this error after SIGUSR2."""
    site.env["LD_PRELOAD"] = str(shim)
    program = [sys.executable, str(failing_hub.__file__), str(number)]
    words = ["hub", "--state", "hub.db", "--socket", str(site.socket("hub"))]
    hub = site.daemon("hub", words, program)
    del site.env["LD_PRELOAD"]
    hub.says("scripts on this machine")
    return hub


def holding(site: Site) -> Command:
    """A command that holds a lock until the file ``go`` exists."""
    held = site.start("hub", "lock", "l", "--", "sh", "-c", "touch held; until [ -e go ]; do sleep 0.01; done")
    site.until(lambda: (site.folder / "held").exists(), "the command under the lock")
    return held


def test_a_hub_exits_with_125_when_a_write_fails_and_the_next_one_continues(site: Site, shim: Path) -> None:
    hub = start(site, errno.EIO, shim)
    held = holding(site)
    hub.process.send_signal(signal.SIGUSR2)
    asked = site.start("hub", "sem", "units", "1")
    assert hub.ended() == 125
    assert "cannot write its state" in hub.log
    site.hub("--state", "hub.db").says("restored 1 session, 1 wait, 1 lock")
    assert asked.wait().code == 0
    (site.folder / "go").touch()
    assert held.wait().code == 0
    assert site.type("hub", "sem", "units", "0").text == "1\n"


def test_a_hub_refuses_requests_while_its_disk_is_full_and_then_continues(site: Site, shim: Path) -> None:
    hub = start(site, errno.ENOSPC, shim)
    held = holding(site)
    hub.process.send_signal(signal.SIGUSR2)
    first = site.start("hub", "sem", "units", "1")
    hub.says("is full; the hub refuses requests")
    stored = first.wait().code == 0  # otherwise the hub refused it, because another commit had failed before
    hub.says("the disk has free space again")
    assert site.type("hub", "sem", "units", "1").code == 0
    assert site.type("hub", "sem", "units", "0").text == f"{1 + stored}\n"
    (site.folder / "go").touch()
    assert held.wait().code == 0
    assert hub.stop() == 0
