"""The time in rows continues over restarts and reboots."""

from __future__ import annotations

from pathlib import Path

import pytest

from linesync.store import state_database
from linesync.store.state_clock import Clock, system_boot_id
from linesync.store.state_database import Database

OLD = Clock(monotonic=1000.0, wall=5000.0, boot="one", offset=-900.0)


def test_within_a_boot_a_restarted_hub_ignores_the_wall_clock() -> None:
    assert OLD.continued(Clock(1010.0, 99_999.0, "one")).offset == -900.0


@pytest.mark.parametrize(
    ("now", "time"),
    [
        (Clock(5.0, 5060.0, "two"), 160.0),
        (Clock(5000.0, 5060.0, "two"), 160.0),
        (Clock(5.0, 4000.0, "two"), 100.0),
        (Clock(1010.0, 5010.0, ""), 110.0),
    ],
    ids=["rebooted", "moved to a machine that is up for longer", "clock set back", "no boot id"],
)
def test_after_a_reboot_the_wall_clock_gives_the_time_that_has_passed(now: Clock, time: float) -> None:
    later = OLD.continued(now)
    assert later.monotonic + later.offset == pytest.approx(time)


def test_a_reading_is_replaced_when_it_is_old_or_the_wall_clock_was_set() -> None:
    assert not OLD.is_stale(OLD.but(monotonic=1000.5, wall=5000.5))
    assert OLD.is_stale(OLD.but(monotonic=1001.5, wall=5001.5))
    assert OLD.is_stale(OLD.but(monotonic=1000.1, wall=5900.0))
    assert OLD.is_stale(OLD.but(offset=1.0))


def test_the_boot_id_comes_from_the_kernel() -> None:
    assert len(system_boot_id()) == 36


def test_a_file_continues_its_time_after_a_reboot(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = Clock(1000.0, 5000.0, "one")
    monkeypatch.setattr(Clock, "now", lambda boot, offset=0.0: at.but(boot=boot, offset=offset))
    monkeypatch.setattr(state_database, "system_boot_id", lambda: at.boot)

    def use() -> float:
        database = Database(str(folder / "hub.db"))
        time = at.monotonic + database.offset
        database.apply({}, [])
        database.close()
        return time

    assert use() == 0.0
    at = Clock(1060.0, 5060.0, "one")
    assert use() == 60.0
    at = Clock(7.0, 5160.0, "two")
    assert use() == 160.0
    at = Clock(8.0, 5161.0, "two")
    assert use() == 161.0
    at = Clock(0.5, 5171.0, "three")
    assert use() == 171.0
