"""The division into quick and live tests, a guard for the quick tests, and a limit on the work after a failed search.

A test is *live* if it starts processes, opens sockets or waits for real time. A live test is in one of the folders ``LIVE``
or has the mark ``live``. Every other test is *quick*: it only computes, or it uses virtual time. ``make quick`` runs the
quick tests. A *long* test takes seconds. ``make quick`` and ``make test`` leave it out, and ``.ci/run`` runs it. The guard lets a
quick test fail if it does anything that only a live test may do.
"""

from __future__ import annotations

import itertools
import selectors
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LIVE = ("bench", "client", "e2e", "jobs", "transports")
"""Folders of this directory in which every test is live."""
QUICK = ("hub", "model", "protocol", "runtime", "store", "system", "wire")
"""Folders in which every test is quick."""
LONG = (
    *("bench", "testing/test_nullmodem_speed.py", "docs/pages/test_pages.py", "docs/sync"),
    *("compat/test_autotest_live.py", "compat/test_lava_live.py"),
    *(
        "e2e/attacks",
        "e2e/failures",
        "e2e/owners/test_clients.py",
        "e2e/owners/test_daemons.py",
        "e2e/owners/test_ends.py",
    ),
    *("e2e/files/test_copy_killed.py", "e2e/files/test_hanging_paths.py", "e2e/files/test_resume.py"),
    *("e2e/lines/test_autobaud.py", "e2e/lines/test_qemu.py", "e2e/lines/test_thousand.py"),
    *("system/restarts", "wire/autobaud/test_controller.py", "wire/test_fairness.py", "wire/test_goodput.py"),
    *("wire/test_latency_under_bulk.py", "wire/test_survives_line.py", "wire/test_survives_peer.py"),
)
"""Files and folders whose tests have the mark ``long``."""

_HERE = Path(__file__).parent
_WAIT = 0.5
"""The maximum time that a quick test may wait in total, in seconds of real time. Computing is not waiting."""
_SHRINKING = 20
"""The maximum time that Hypothesis searches for a shorter failing example, in seconds."""
_PROCESSES = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system"})
_SOCKETS = frozenset({"socket.bind", "socket.connect"})  # not socket.__new__: each asyncio loop has a pair of them


class _Guard:
    """Records the forbidden actions of the quick test that is running."""

    def __init__(self) -> None:
        self.on = False
        self.waited = 0.0
        self.broken: list[str] = []

    def start(self) -> None:
        self.on, self.waited = True, 0.0
        self.broken.clear()

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in _PROCESSES:
            self.broken.append(f"started a process ({event})")
        elif event in _SOCKETS:
            self.broken.append(f"opened a socket ({event})")


_GUARD = _Guard()
_NUMBERS = itertools.count()
_SELECT, _SLEEP = selectors.DefaultSelector.select, time.sleep


def pytest_configure() -> None:
    sys.addaudithook(_GUARD.audit)
    selectors.DefaultSelector.select = _select  # type: ignore[method-assign]
    time.sleep = _sleep


@pytest.fixture(autouse=True)
def _own_state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index of contents and the parts of earlier copies must not change a test."""
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path_factory.getbasetemp()}/state-{next(_NUMBERS)}")


def _sleep(seconds: float) -> None:
    _GUARD.waited += seconds
    _SLEEP(seconds)


def _select(selector: Any, timeout: float | None = None) -> Any:
    """Replace the ``select`` of a selector, in which an asyncio loop waits, and measure the wait."""
    began = time.monotonic()
    try:
        return _SELECT(selector, timeout)
    finally:
        took = time.monotonic() - began
        _GUARD.waited += took if timeout is None else min(took, max(timeout, 0.0))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import the tests of a folder if ``-m`` excludes all of them."""
    chosen = config.getoption("markexpr")
    without = LIVE if "not live" in chosen else QUICK if chosen.startswith("live") else ()
    return (collection_path.parent == _HERE and collection_path.name in without) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(_HERE).parts[0] if item.path.is_relative_to(_HERE) else ""
        if item.get_closest_marker("real") or folder in LIVE:
            item.add_marker(pytest.mark.live)
        if any(item.path.is_relative_to(_HERE / place) for place in LONG):
            item.add_marker(pytest.mark.long)
        if folder in QUICK and item.get_closest_marker("live"):
            raise pytest.UsageError(f"{item.nodeid} is live, but {folder} is a folder of quick tests; move the test")


def pytest_collection_finish() -> None:
    engine = sys.modules.get("hypothesis.internal.conjecture.engine")
    if engine is not None:
        engine.MAX_SHRINKING_SECONDS = _SHRINKING  # its documentation permits this


@pytest.fixture(autouse=True)
def _quick_unless_live(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a quick test after a forbidden action."""
    if request.node.get_closest_marker("live"):
        yield
        return
    _GUARD.start()
    try:
        yield
    finally:
        _GUARD.on = False
    if _GUARD.waited > _WAIT:
        _GUARD.broken.append(f"waited for {_GUARD.waited:.1f} s of real time")
    if _GUARD.broken:
        pytest.fail(
            f"a quick test {', '.join(dict.fromkeys(_GUARD.broken))};"
            f" use virtual time, or mark the test live (see {Path(__file__).name})"
        )
