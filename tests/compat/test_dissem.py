from __future__ import annotations

from pathlib import Path

import pytest

from linesync.compat import dissem
from linesync.compat.dissem import Request, arguments, parse
from linesync.errors import UsageError


@pytest.mark.parametrize("word", ["sem", "sema", "semaphore"])
def test_three_arguments_name_a_semaphore(word: str) -> None:
    assert parse([word, "flash", "-1"]) == Request(object="semaphore", name="flash", count=-1)


@pytest.mark.parametrize("word", ["barrier", "br"])
def test_three_arguments_name_a_barrier(word: str) -> None:
    assert parse([word, "booted", "2"]) == Request(object="barrier", name="booted", count=2)


@pytest.mark.parametrize(
    ("name", "count", "kind"),
    [
        ("SEM001", "-1", "semaphore"),
        ("SEM001", "0", "semaphore"),
        ("sem_x", "+4", "semaphore"),
        ("BR001", "2", "barrier"),
        ("BE001", "2", "barrier"),
        ("barrier7", "3", "barrier"),
    ],
)
def test_with_two_arguments_the_name_says_what_the_object_is(name: str, count: str, kind: str) -> None:
    assert parse([name, count]) == Request(object=kind, name=name, count=int(count))


def test_the_error_about_an_unclear_name_says_what_to_write() -> None:
    with pytest.raises(UsageError, match="dissem sem X001 1"):
        parse(["X001", "1"])


@pytest.mark.parametrize("word", ["--object", "--command", "--comm", "--obj"])
def test_options_can_replace_all_arguments(word: str) -> None:
    asked = parse([word, "sem", "--name", "test1", "--count=-1"])
    assert asked == Request(object="semaphore", name="test1", count=-1)


@pytest.mark.parametrize(
    ("words", "endpoint"),
    [
        ([], ""),
        (["-A", "ctl"], "tcp://ctl:11399"),
        (["--addr=10.0.0.1", "-p", "7"], "tcp://10.0.0.1:7"),
        (["--address", "::1"], "tcp://[::1]:11399"),
        (["--port=99"], "tcp://localhost:99"),
        (["--port=99", "-p", "98"], "tcp://localhost:98"),
    ],
)
def test_an_address_or_a_port_names_the_hub(words: list[str], endpoint: str) -> None:
    assert parse([*words, "sem", "a", "1"]).endpoint == endpoint


def test_linesync_hub_overrides_the_address_of_dissems_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINESYNC_HUB", "unix:/run/linesync/linesync.sock")
    assert parse(["-A", "server", "-p", "7", "sem", "a", "1"]).endpoint == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "needs an object"),
        (["sem"], "needs an object"),
        (["lock", "a", "1"], "bad object: lock"),
        (["sem", "a", "one"], "invalid count 'one': not a whole number"),
        (["barrier", "a", "0"], "invalid count 0 of the barrier a"),
        (["-p", "none", "sem", "a", "1"], "invalid port 'none': not a whole number; expected 1 to 65535"),
        (["-p", "70000", "sem", "a", "1"], "invalid port '70000': out of range; expected 1 to 65535"),
        (["--server"], "linesync hub"),
        (["--what", "sem", "a", "1"], "not recognized"),
    ],
)
def test_a_wrong_command_line_is_an_error_of_one_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parse(words)


def test_arguments_come_from_files_then_the_variable_then_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "dissem.conf"
    file.write_text("# where\n\n--port=1\n  --address=a\n")
    found = arguments(["sem", "x", "1"], {"DISSEM_FLAGS": "--port=2  -v"}, [str(file), str(tmp_path / "none")])
    assert found == ["--port=1", "--address=a", "--port=2", "-v", "sem", "x", "1"]
    assert parse(found).endpoint == "tcp://a:2"


def test_the_variable_can_name_another_file(tmp_path: Path) -> None:
    file = tmp_path / "flags"
    file.write_text("--verbose\n")
    assert arguments(["sem", "x", "1"], {"DISSEM_FLAGS": f"@{file}"}, []) == ["--verbose", "sem", "x", "1"]


def test_a_file_in_the_home_directory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dissem.conf").write_text("-p\n5\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert arguments([], {}, ["~/.dissem.conf"]) == ["-p", "5"]


def test_quiet_cancels_one_verbose() -> None:
    assert parse(["-v", "-v", "-q", "sem", "a", "1"]).verbose == 1


def test_a_wrong_command_line_exits_with_1_as_in_dissem(capsys: pytest.CaptureFixture[str]) -> None:
    assert dissem.main("dissem", ["sem"]) == 1
    assert capsys.readouterr().err.startswith("dissem: ")


@pytest.mark.live
def test_block_on_error_prints_the_error_and_does_not_exit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINESYNC_HUB", f"unix:{tmp_path}/none.sock")
    waits = 0

    def wait() -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            raise KeyboardInterrupt

    assert dissem.main("dissem", ["-H", "sem", "a", "1"], wait) == 130
    assert waits == 3
