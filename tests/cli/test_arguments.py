"""``--`` ends the options of every command."""

from __future__ import annotations

import json

import pytest

from linesync.cli.main import main
from tests.e2e.kit import Site

pytestmark = pytest.mark.live


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["barrier", "--", "-x", "1"], ""),
        (["sem", "--", "-x", "0"], "0\n"),
        (["sem", "s", "--", "0"], "0\n"),
        (["event", "--json", "--", "set", "-e", "--f"], '{"set": ["-e", "--f"]}\n'),
        (["send", "--json", "--", "-id", "--k=v"], '{"id": "-id", "number": 1}\n'),
        (["exchange", "--hosts", "hub", "--", "-x", "-data"], '{"hub": "-data"}\n'),
        (["lock", "--", "-l", "echo", "-n", "--", "--json"], "-- --json"),
        (["lock", "l", "--", "echo", "-n"], ""),
        (["run", "--", "hub", "echo", "--json", "--"], "--json --\n"),
        (["--", "reset", "-none"], "removed: 0; failed waits: 0\n"),
    ],
)
def test_words_after_two_hyphens_are_not_options(hub: Site, words: list[str], printed: str) -> None:
    done = hub.type("hub", *words)
    assert (done.code, done.text, done.err) == (0, printed, "")


def test_cp_takes_names_that_begin_with_a_hyphen_at_both_ends(hub: Site) -> None:
    (hub.folder / "-dash").write_text("data")
    assert hub.type("hub", "cp", "--", "-dash", f"hub:{hub.folder}/there").code == 0
    done = hub.type("hub", "cp", "--json", "--", f"hub:{hub.folder}/there", "-back")
    assert json.loads(done.out)["target"] == "-back" and (hub.folder / "-back").read_text() == "data"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["cp", "-dash", "hub:x"], "required"),
        (["barrier", "--", "x", "-two"], "invalid count '-two': not a whole number"),
        (["event", "--", "-set", "x"], "invalid choice: '-set'"),
        (["lock", "l", "echo"], "unrecognized arguments: echo; write -- before the command"),
        (["sem", "s", "-1", "--hold", "echo", "--", "x"], "unrecognized arguments: echo; write -- before the command"),
        (["barrier", "x", "--"], "there are no arguments after --"),
        (["barrier", "x", "1", "--timeout", "--", "5"], "argument --timeout: expected one argument"),
        (["lock", "l", "--namesp", "--", "echo", "x"], "argument --namesp: expected one argument"),
        (["run", "hub", "-e", "--", "true"], "argument -e: expected one argument"),
    ],
)
def test_a_wrong_command_line_is_refused(words: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert part in error and "\0" not in error and "\\x00" not in error
