"""The lines that ``linesync status --watch`` prints, and the tables that it draws."""

from __future__ import annotations

import pytest

from linesync.cli.look import changes
from linesync.model.state.change import LOST, Change
from linesync.model.state.principal import Principal

CHANGE = Change(
    number=7,
    time="2026-11-29T09:30:00.123Z",
    kind="lock taken",
    namespace="default",
    name="flash",
    who="sut",
    value=17,
    why="",
    by=Principal(line="/dev/ttyS0", host="sut", script="3"),
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (CHANGE, "lock taken: flash, sut, token 17; by script 3 on sut, line /dev/ttyS0"),
        (
            CHANGE.but(kind="semaphore left", namespace="nightly", value=None, why="timed out", by=None),
            "semaphore left: nightly/flash, sut; timed out",
        ),
        (
            CHANGE.but(kind="host lost", namespace="", name="sut", value=None, why="no power", by=None),
            "host lost: sut; no power",
        ),
        (
            CHANGE.but(kind="namespace ended", namespace="nightly", name="", who="hub", value=None, by=None),
            "namespace ended: nightly, hub",
        ),
        (
            CHANGE.but(kind=LOST, namespace="", name="", who="", value=5, why="", by=None),
            "changes lost: 5",
        ),
        (
            CHANGE.but(kind="barrier released", who="", value=2, by=Principal(line="unix:/s#1", host="hub", uid=0)),
            "barrier released: flash, generation 2; by the agent of hub (uid 0), line unix:/s#1",
        ),
    ],
)
def test_a_change_is_one_line(change: Change, words: str) -> None:
    assert changes.in_words(change) == f"2026-11-29T09:30:00.123Z {words}"


def test_a_table_that_is_larger_than_the_terminal_is_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "5")
    changes._draw(["x" * 50, "two", "three"])
    assert capsys.readouterr().out == f"\x1b[H{'x' * 39}\x1b[K\ntwo\x1b[K\nthree\x1b[K\n\x1b[J"
    changes._draw([f"line {number}" for number in range(20)])
    drawn = capsys.readouterr().out.splitlines()
    assert len(drawn) == 5 and drawn[2] == "line 2\x1b[K" and drawn[3].startswith("... 17 more lines; enlarge")
    assert drawn[4] == "\x1b[J"
