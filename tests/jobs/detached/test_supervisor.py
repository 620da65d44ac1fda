"""The supervisor of a detached process, without processes. tests/e2e/owners/test_detached.py starts real ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from linesync.jobs.detached import supervisor
from linesync.jobs.detached.records import Ended
from linesync.jobs.detached.supervisor import _Process

END = Ended(status=3, ended=5.0)


def process(monkeypatch: pytest.MonkeyPatch, failures: list[OSError]) -> tuple[Any, list[str]]:
    """A process whose end cannot be written at first, and a list of what the supervisor does."""
    done: list[str] = []

    def write(path: str, name: str, record: Ended) -> None:
        if failures:
            raise failures.pop(0)
        done.append(f"{name}: {record.status}")

    monkeypatch.setattr(supervisor, "write", write)
    monkeypatch.setattr(supervisor.time, "sleep", lambda seconds: done.append("sleep"))
    one: Any = object.__new__(_Process)
    one._path = "/x"
    one._output = SimpleNamespace(make_room=lambda: done.append("drop output"))
    return one, done


def test_output_is_dropped_to_make_room_for_the_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(28, "No space left on device")
    one, done = process(monkeypatch, [full, full])
    one._store(END)
    assert done == ["drop output", "sleep", "drop output", "sleep", "end: 3"]


def test_a_supervisor_whose_directory_was_removed_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    one, done = process(monkeypatch, [FileNotFoundError(2, "No such file or directory")])
    one._store(END)
    assert done == []
