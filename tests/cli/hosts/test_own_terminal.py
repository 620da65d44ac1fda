"""Escapes that the person types, and the prefixes of several hosts."""

from __future__ import annotations

import os

import pytest

from linesync.cli.hosts.prefixes import host_prefixes
from linesync.cli.own_terminal import Escapes


@pytest.mark.parametrize(
    ("typed", "sent", "left"),
    [
        ("ls ~.\r", "ls ~.\r", 0),
        ("~.", "", 1),
        ("ls\r~.", "ls\r", 1),
        ("ls\n~.", "ls\n", 1),
        ("~~.", "~.", 0),
        ("~x~.", "~x~.", 0),
        ("\r~\r~.", "\r~\r", 1),
        ("~?\r~.", "\r", 1),
    ],
)
def test_an_escape_is_handled_only_at_the_start_of_a_line(
    typed: str, sent: str, left: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for size in (1, 100):  # the bytes of a line arrive one by one, or together
        done: list[str] = []
        escapes = Escapes({".": ("leave", lambda done=done: done.append("."))})  # type: ignore[misc]
        data = typed.encode()
        taken = b"".join(escapes.take(data[at : at + size]) for at in range(0, len(data), size))
        assert (taken.decode(), len(done)) == (sent, left)
        assert ("~.  leave\r\n" in capsys.readouterr().err) == ("~?" in typed)


def test_a_prefix_has_a_colour_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda descriptor: descriptor == 1)
    first, second = host_prefixes(["a", "b"], {})
    assert first == {1: b"\x1b[36ma:\x1b[0m ", 2: b"a: "}
    assert second[1] != first[1].replace(b"a", b"b") and second[2] == b"b: "
    assert host_prefixes(["a"], {"NO_COLOR": "1"}) == [{1: b"a: ", 2: b"a: "}]
