"""Help in terminals of different widths."""

from __future__ import annotations

import pytest

from linesync.cli.arguments import Formatter
from linesync.cli.main import COMMANDS, main


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_into_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert main([command, "--help"] if command else ["--help"]) == 0
    text, _, examples = capsys.readouterr().out.partition("examples:")
    commands = [line for line in examples.splitlines() if line.startswith("  ") and line[2] != " "]
    other = set(text.splitlines()) | (set(examples.splitlines()) - set(commands))
    long = [line for line in other if len(line) > width and " " in line.strip()]
    assert not long, "only a command or a single word may be longer"
    assert width < 80 or all(len(line) <= width for line in commands)


@pytest.mark.parametrize("width", ["1", "7", "0", "-5", "many", ""])
def test_help_is_complete_in_a_terminal_of_any_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    assert main(["links", "--help"]) == 0
    words = capsys.readouterr().out.split()
    assert "--json" in words and words[-2:] == ["line", "returned."]


def test_the_form_of_a_text_decides_where_it_is_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "32")
    text = """\
examples:
  linesync run sut -- a command that is long
      one sentence that is long
      enough to be broken
  linesync status    the second column moves below
  -x  a second column stays where it is

A paragraph keeps its words
together."""
    assert (
        Formatter("linesync")._fill_text(text, 30, "")
        == """\
examples:
  linesync run sut -- a command that is long
      one sentence that is
      long enough to be broken
  linesync status
      the second column moves
      below
  -x  a second column stays
      where it is

A paragraph keeps its words
together."""
    )


def test_a_usage_is_wrapped_between_its_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["lock", "--help"]) == 0
    assert capsys.readouterr().out.splitlines()[:7] == [
        "usage: linesync lock NAME",
        "            [--timeout S]",
        "            [--namespace NS]",
        "            [-- CMD [ARG ...]]",
        "       linesync lock NAME --release",
        "            TOKEN [--timeout S]",
        "            [--namespace NS]",
    ]
