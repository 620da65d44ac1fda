from __future__ import annotations

import os
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from linesync.cli.compat import MODULES
from linesync.cli.main import main

pytestmark = pytest.mark.live


def test_each_command_has_a_module_that_runs_it() -> None:
    for command, module in MODULES.items():
        assert callable(import_module(f"linesync.compat.{module}").main), command


def test_install_writes_all_commands_and_prints_their_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compat", "install", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(MODULES)
    assert capsys.readouterr().out.split() == [str(tmp_path / name) for name in MODULES]
    assert all(os.access(path, os.X_OK) for path in tmp_path.iterdir())


def test_install_replaces_its_own_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compat", "install", str(tmp_path)]) == 0
    (tmp_path / "dissem").chmod(0o600)
    assert main(["compat", "install", str(tmp_path)]) == 0
    assert os.access(tmp_path / "dissem", os.X_OK)


def test_install_replaces_other_files_only_with_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lava-send").write_text("#!/bin/sh\necho LAVA's\n")
    assert main(["compat", "install", str(tmp_path)]) == 2
    assert str(tmp_path / "lava-send") in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["lava-send"]
    assert main(["compat", "install", "--force", str(tmp_path)]) == 0
    assert "LAVA's" not in (tmp_path / "lava-send").read_text()


def test_install_does_not_write_through_a_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "precious"
    target.write_text("precious\n")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "dissem").symlink_to(target)
    assert main(["compat", "install", str(folder)]) == 2
    assert main(["compat", "install", "--force", str(folder)]) == 0
    assert target.read_text() == "precious\n"


@pytest.mark.parametrize("words", [[], ["a", "b"], ["--what"], [f"{__file__}/bin"]])
def test_a_wrong_directory_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compat", "install", *words]) == 2
    assert capsys.readouterr().err.startswith("linesync: ")


def test_install_creates_the_directory_and_honours_the_end_of_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compat", "install", "--", "--new/bin"]) == 0
    assert os.access(tmp_path / "--new" / "bin" / "dissem", os.X_OK)


def test_the_error_about_an_unknown_command_lists_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compat", "lava-sned"]) == 2
    assert "lava-send" in capsys.readouterr().err


@pytest.mark.parametrize("command", MODULES)
def test_an_installed_command_ignores_the_callers_environment_and_directory(
    command: str, shims: Path, tmp_path: Path
) -> None:
    (tmp_path / "linesync.py").write_text("raise SystemExit('the wrong linesync')")
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    environ = {"PATH": "/none", "PYTHONPATH": str(tmp_path), "PYTHONHOME": "/none", "HOME": "/none"}
    done = subprocess.run([shims / command, "--help"], cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {command}")


def test_arguments_pass_through_unchanged(shims: Path) -> None:
    """The arguments are empty, or contain blanks, quotes and a dollar sign. dissem's errors show each of them unchanged."""
    done = subprocess.run([shims / "dissem", "", "a b '\"$HOME", "1"], capture_output=True, text=True, env={})
    assert done.returncode == 1
    assert "bad object: ;" in done.stderr
    done = subprocess.run([shims / "dissem", "sem", "x", "a b '\"$HOME"], capture_output=True, text=True, env={})
    assert repr("a b '\"$HOME") in done.stderr


def test_an_installed_command_reports_that_linesync_was_removed(shims: Path, tmp_path: Path) -> None:
    text = (shims / "lava-self").read_text()
    program = text.split("'")[3]
    orphan = tmp_path / "lava-self"
    orphan.write_text(text.replace(program, "/gone/python"))
    orphan.chmod(0o755)
    done = subprocess.run([orphan], capture_output=True, text=True)
    assert done.returncode == 125
    assert "install it again" in done.stderr
