"""``linesync.toml`` and the variables: an error names the wrong setting, and the file or variable to correct."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from linesync.cli import common
from linesync.cli.main import COMMANDS, build_parser, command_parser, main
from linesync.client.settings import places
from linesync.client.settings.file import KEYS
from linesync.client.settings.places import find_hub, setting
from linesync.errors import UsageError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory, which is the current directory and the home directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HUB", "TIMEOUT", "NAMESPACE", "INSECURE"):
        monkeypatch.delenv(f"LINESYNC_{name}", raising=False)
    places._settings.cache_clear()
    yield tmp_path
    places._settings.cache_clear()


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("linesync: ")
    return line


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("timout = 5", ["unknown key 'timout'", "did you mean timeout?"]),
        ("Socket_Group = 'x'", ["unknown key 'Socket_Group'", "did you mean socket-group?"]),
        ("zzz = 5", ["unknown key 'zzz'", "the keys are allow-users, as, audit, bound,"]),
        ("[agent]\nprot = '/dev/ttyS0'", ["unknown key 'prot' in the table [agent] of ", "did you mean port?"]),
        ("[sem]\nreuse = 'once'", ["unknown key 'reuse' in the table [sem]", "its keys are bound, namespace, timeout"]),
        ("[barier]\ntimeout = 5", ["unknown table [barier]", "did you mean barrier?"]),
        ("[run]\ntimeout = 5", ["unknown table [run]", "the tables are agent,"]),
        ("timeout = 'soon'", ["invalid value of the key 'timeout'", "expected a number, as in timeout = 60"]),
        ("timeout = true", ["expected a number"]),
        ("namespace = 17", ["expected a text, as in namespace = "]),
        ("hub = 1", ["invalid value of the key 'hub'", "expected a text"]),
        ("port = 9600", ["invalid value of the key 'port'"]),
        ("[hub]\ninsecure = 'yes'", ["expected true or false"]),
        ("[hub]\nlisten = [1]", ["expected a text or a list of texts"]),
        ("[agent]\nport = ['/dev/ttyS0']", ["invalid value of the key 'port'", "expected a text, as in"]),
        ("[agent]\nname = 2026-01-01", ["expected a text"]),
        ("timeout = -1", ["invalid time '-1': out of range", "correct it in "]),
        ("timeout = nan", ["invalid time 'nan': not a number", "correct it in "]),
    ],
)
def test_a_wrong_key_or_value_names_the_file(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, parts: list[str]
) -> None:
    (folder / "linesync.toml").write_text(text)
    error = refused(capsys, "barrier", "x", "2")
    assert "./linesync.toml" in error and all(part in error for part in parts), error


def test_the_file_of_the_user_is_named_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / ".config" / "linesync" / "linesync.toml"
    path.parent.mkdir(parents=True)
    path.write_text("nmespace = 'x'")
    assert f"unknown key 'nmespace' in {path}; did you mean namespace?" in refused(capsys, "status")
    with pytest.raises(UsageError, match="nmespace"):
        find_hub()  # also a Python program


def test_a_file_that_is_not_utf_8_is_reported_as_such(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "linesync.toml").write_bytes(b'namespace = "\xff"')
    assert "linesync.toml cannot be read: it is not UTF-8" in refused(capsys, "status")


def test_a_list_of_ports_at_the_top_level_is_for_the_hub_only(folder: Path) -> None:
    (folder / "linesync.toml").write_text("port = ['/dev/ttyS0', '/dev/ttyS1']\n[hub]\nlease = 30\n")
    hub = command_parser("hub").parse_args([])
    assert (common.option_values(hub, "port"), hub.lease) == (["/dev/ttyS0", "/dev/ttyS1"], 30)
    with pytest.raises(UsageError, match="expected a text, as in port"):
        command_parser("agent")


@pytest.mark.parametrize(
    ("variable", "value", "words", "part"),
    [
        ("TIMEOUT", "1e9", ["lock", "x"], "the setting timeout is wrong: invalid time '1e9': out of range"),
        ("TIMEOUT", "", ["lock", "x"], "invalid time '': not a number"),
        ("BOUND", "1.5", ["sem", "x", "1"], "invalid bound '1.5': not a whole number"),
        ("INSECURE", "maybe", ["hub"], "invalid value 'maybe': expected 1, yes, true, on, 0, no, false, off"),
        ("LEASE", "0.5", ["hub"], "invalid lease '0.5': out of range; expected 1 to 315360000 seconds"),
    ],
)
def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    words: list[str],
    part: str,
) -> None:
    monkeypatch.setenv(f"LINESYNC_{variable}", value)
    error = refused(capsys, *words)
    assert part in error and error.endswith(f"; correct it in LINESYNC_{variable}")


@pytest.mark.parametrize("value", ["1", "Yes", "0", "off", ""])
def test_a_switch_is_on_or_off(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LINESYNC_INSECURE", value)
    assert command_parser("hub").parse_args([]).insecure is (value in ("1", "Yes"))


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["run", "sut", "--timeout", "1e9", "--", "true"], "argument --timeout: invalid time '1e9': out of range"),
        (["exchange", "x", "--hosts", "a", "--timeout", "inf", "d"], "invalid time 'inf': out of range"),
        (["hub", "--lease", "inf"], "invalid lease 'inf': out of range; expected 1 to 315360000 seconds"),
        (["hub", "--lease", ""], "invalid lease '': not a number"),
        (["hub", "--exchange-limit", "-1"], "invalid size '-1': out of range; expected 0.001 to 1024 MiB"),
        (["hub", "--exchange-limit", "nan"], "invalid size 'nan': not a number"),
    ],
)
def test_a_number_is_out_of_range_or_not_a_number(
    capsys: pytest.CaptureFixture[str], words: list[str], part: str
) -> None:
    assert part in refused(capsys, *words)


def test_the_keys_of_the_file_are_those_of_the_parsers(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, set[str]] = {}
    monkeypatch.setattr(common, "setting", lambda name, command="": found.setdefault(command, set()).add(name))
    build_parser()
    assert found == {command: set(keys) for command, keys in KEYS.items() if command in COMMANDS}


def test_a_table_has_priority_over_the_top_level(folder: Path) -> None:
    (folder / "linesync.toml").write_text("namespace = 'top'\n[lava]\nnamespace = 'table'\ntimeout = 1\n")
    assert (setting("namespace", "lava"), setting("namespace", "sem"), setting("timeout")) == ("table", "top", None)
