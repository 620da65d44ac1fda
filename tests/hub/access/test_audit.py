"""The audit log of a hub."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from linesync.hub.access.audit import Audit
from linesync.model.state.principal import Principal

SCRIPT = Principal(line="unix:/run/x", host="hub", script="7", uid=1000)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_record_is_one_line_of_json_with_its_principal(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    async def work() -> None:
        audit = Audit(str(path), lambda sentence: None)
        audit.record(SCRIPT, "run", "sut", "refused", argv=["reboot"], why="no rule")
        audit.record(None, "policy", "hub", "2 rules")
        await audit.close()

    asyncio.run(work())
    first, second = lines(path)
    assert first.pop("time").endswith("Z")
    assert first == {
        "principal": {"line": "unix:/run/x", "host": "hub", "script": "7", "uid": 1000},
        "operation": "run",
        "target": "sut",
        "result": "refused",
        "argv": ["reboot"],
        "why": "no rule",
    }
    assert second["principal"] is None
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_renamed_is_created_again(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    async def work() -> None:
        audit = Audit(str(path), lambda sentence: None)
        audit.record(SCRIPT, "run", "sut", "allowed")
        while not path.exists() or not path.read_text():
            await asyncio.sleep(0.01)
        path.rename(tmp_path / "old")
        audit.record(SCRIPT, "get", "sut", "allowed")
        await audit.close()

    asyncio.run(work())
    assert [line["operation"] for line in lines(tmp_path / "old")] == ["run"]
    assert [line["operation"] for line in lines(path)] == ["get"]


def test_a_file_that_cannot_be_written_is_reported_once(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "audit.jsonl"
    log: list[str] = []

    async def work() -> None:
        audit = Audit(str(path), log.append)
        for _ in range(3):
            audit.record(SCRIPT, "run", "sut", "allowed")
            await asyncio.sleep(0.05)
        assert log == [
            f"cannot write the audit log {path}: No such file or directory;"
            " operations are not recorded until the file can be written"
        ]
        path.parent.mkdir()
        audit.record(SCRIPT, "run", "sut", "allowed")
        await audit.close()
        await asyncio.sleep(0)

    asyncio.run(work())
    assert log[1:] == [f"the audit log {path} can be written again"]
    assert len(lines(path)) == 1
