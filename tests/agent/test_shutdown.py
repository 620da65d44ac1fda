"""How an agent finds out that its system is going down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from linesync.agent.shutdown import system_goes_down


def only(name: str, printed: str) -> Callable[[Sequence[str]], str]:
    """Runs only the command with this name."""

    def output(command: Sequence[str]) -> str:
        assert command[0] == name
        return printed

    return output


@pytest.mark.parametrize(
    ("state", "nologin", "goes_down"),
    [
        ("stopping", False, True),
        ("running", False, False),
        ("starting", True, False),
        ("offline", True, True),
        ("", True, True),
        ("", False, False),
    ],
)
def test_systemd_is_asked_and_nologin_counts_only_without_its_answer(
    tmp_path: Path, state: str, nologin: bool, goes_down: bool
) -> None:
    (tmp_path / "systemd/system").mkdir(parents=True)
    if nologin:
        (tmp_path / "nologin").touch()
    assert system_goes_down(str(tmp_path), only("systemctl", state)) is goes_down


@pytest.mark.parametrize(
    ("printed", "goes_down"), [("N 6", True), ("2 0", True), ("N 5", False), ("unknown", False), ("", False)]
)
def test_without_systemd_the_runlevel_decides(tmp_path: Path, printed: str, goes_down: bool) -> None:
    assert system_goes_down(str(tmp_path), only("runlevel", printed)) is goes_down


@pytest.mark.live
def test_a_command_that_hangs_or_does_not_exist_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not system_goes_down(str(tmp_path))
    program = tmp_path / "runlevel"
    program.write_text("#!/bin/sh\necho N 6\n")
    program.chmod(0o755)
    assert system_goes_down(str(tmp_path))
    program.write_text("#!/bin/sh\necho N 6\nexec /bin/sleep 60\n")
    assert not system_goes_down(str(tmp_path))
