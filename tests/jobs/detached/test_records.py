"""The records of detached processes: numbers, the end of a system, killed supervisors, and the limits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from linesync.jobs.detached import records
from linesync.jobs.detached.records import Ended, Started, allocate, known, numbers, path_of, prune, read_known, write
from linesync.jobs.handover import begin_of

BOOT = "the boot id"
DAY = 86400.0


def start(folder: str, *, runs: bool = True, boot: str = BOOT, ended: float | None = None) -> int:
    """Write the record of a process, whose supervisor is this process."""
    number = allocate(folder)
    pid = os.getpid()
    started = Started(
        number=number,
        argv=("sleep", "caf\udce9"),
        user="",
        cwd="",
        stdin=False,
        pid=1,
        began=0.0,
        boot=boot,
        supervisor=pid,
        supervisor_began=begin_of(pid) if runs else "0",
        mark="m",
        limit=1,
    )
    write(path_of(folder, number), "record", started)
    if ended is not None:
        write(path_of(folder, number), "end", Ended(status=3, ended=ended))
    return number


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    number = start(str(tmp_path), ended=5.0)
    found = read_known(str(tmp_path), number, BOOT)
    assert found is not None and found.started.argv == ("sleep", "caf\udce9")
    assert found.end == Ended(status=3, cause="", ended=5.0)


@pytest.mark.parametrize(
    ("boot", "runs", "cause"),
    [(BOOT, True, None), (BOOT, False, records.KILLED), ("an earlier boot", True, records.RESTARTED)],
)
def test_a_process_without_an_end_runs_only_while_its_system_and_its_supervisor_run(
    tmp_path: Path, boot: str, runs: bool, cause: str | None
) -> None:
    number = start(str(tmp_path), boot=boot, runs=runs)
    found = read_known(str(tmp_path), number, BOOT)
    assert found is not None
    assert (found.end and found.end.cause) == cause


def test_a_process_that_ended_before_a_restart_of_the_host_keeps_its_exit_status(tmp_path: Path) -> None:
    number = start(str(tmp_path), boot="an earlier boot", runs=False, ended=5.0)
    found = read_known(str(tmp_path), number, BOOT)
    assert found is not None and found.end is not None and found.end.status == 3


def test_a_damaged_record_is_not_a_process(tmp_path: Path) -> None:
    for text in ("", "{", "[]", '{"number": 1}'):
        path = path_of(str(tmp_path), allocate(str(tmp_path)))
        Path(path, "record").write_text(text)
    assert known(str(tmp_path), BOOT) == []
    assert known(str(tmp_path / "none"), BOOT) == []


def test_numbers_increase_although_ended_processes_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "KEPT", 3)
    for expected in range(1, 9):
        prune(str(tmp_path), BOOT, now=10.0)
        assert start(str(tmp_path), ended=5.0) == expected
        assert len(numbers(str(tmp_path))) <= 3 + 1
    prune(str(tmp_path), BOOT, now=30 * DAY)
    assert numbers(str(tmp_path)) == [8], "the highest number stays, so that no handle is used twice"


def test_a_directory_that_other_users_can_write_to_is_refused(tmp_path: Path) -> None:
    folder = str(tmp_path / "processes")
    start(folder)
    os.chmod(folder, 0o777)
    for use in (lambda: known(folder, BOOT), lambda: allocate(folder), lambda: prune(folder, BOOT)):
        with pytest.raises(PermissionError, match="other users can write to it"):
            use()


def test_running_processes_and_new_directories_are_not_removed(tmp_path: Path) -> None:
    folder = str(tmp_path)
    running, old, new = start(folder), start(folder, ended=0.0), allocate(folder)
    last = allocate(folder)
    changed = os.stat(path_of(folder, new)).st_mtime
    prune(folder, BOOT, now=changed + 1.0)
    assert numbers(folder) == [running, new, last], f"{old} ended more than seven days ago"
    prune(folder, BOOT, now=changed + DAY)
    assert numbers(folder) == [running, last], "the process of the other directory was not started"
