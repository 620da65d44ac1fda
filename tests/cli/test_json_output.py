"""``--json``: every command prints one JSON document per line, and a point in time beside each age."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import tty
from typing import Any

import pytest

from linesync.cli.common import print_json
from linesync.cli.look.trace import frame_of
from linesync.cli.main import main
from linesync.timestamps import utc, with_times
from tests.e2e.kit import Site
from tests.real import wait_for

pytestmark = pytest.mark.live

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def documents(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_each_age_has_a_point_in_time_beside_it() -> None:
    assert utc(0) == "1970-01-01T00:00:00.000Z"
    document = [{"heard": 1.5, "owner": {"since": 60, "name": "a"}, "waiting": [{"waiting": 0.25}], "value": 3}]
    (found,) = with_times(document, 100.0)
    assert found["heard_at"] == utc(98.5) and found["owner"]["since_at"] == utc(40)
    assert found["waiting"] == [{"waiting": 0.25, "waiting_at": utc(99.75)}]
    assert "waiting_at" not in found and "value_at" not in found


def test_a_text_that_is_not_utf_8_is_base64(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"path": "f\udcff", "items": ["ü\U0001f400", "\udcff"], "odd": "\ud800"})
    (found,) = documents(capsys.readouterr().out)
    assert found == {
        "path": {"base64": "Zv8="},
        "items": ["ü\U0001f400", {"base64": "/w=="}],
        "odd": {"base64": "7aCA"},
    }


def test_an_error_shows_a_byte_that_is_not_utf_8_as_an_escape(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonsense\udcff"]) == 2
    assert r"there is no command 'nonsense\xff'" in capsys.readouterr().err
    assert main(["--json", "cp", "a\udc80", "b"]) == 2
    assert r"both a\x80 and b" in documents(capsys.readouterr().err)[0]["message"]


def test_operations_without_a_result_print_what_they_changed(hub: Site) -> None:
    assert documents(hub.type("hub", "event", "set", "a", "b", "--json").text) == [{"set": ["a", "b"]}]
    assert documents(hub.type("hub", "event", "clear", "a", "--json").text) == [{"cleared": ["a"]}]
    token = hub.type("hub", "lock", "l").text.strip()
    released = hub.type("hub", "lock", "l", "--release", token, "--json")
    assert documents(released.text) == [{"name": "l", "token": int(token)}]
    installed = hub.type("hub", "--json", "compat", "install", "fresh/bin")
    assert {"installed": "fresh/bin/dissem"} in documents(installed.text)


def test_console_trace_and_logs_print_one_object_per_line(site: Site) -> None:
    line, end = pty.openpty()
    tty.setraw(end)
    port = os.ttyname(end)
    hub = site.hub("--port", port, "--json")
    site.await_line("hub", "waiting")
    assert all(TIME.fullmatch(entry["time"]) and entry["log"] for entry in documents(hub.log))

    os.write(line, "first ä\r\nlogin: ".encode())
    wait_for(lambda: site.type("hub", "console", port).text.endswith("login: "), "the text in the console log")
    pieces = documents(site.type("hub", "console", port, "--json").text)
    assert [piece["text"] for piece in pieces] == ["first ä\r\n", "login: "]
    assert all(piece["host"] == port and TIME.fullmatch(piece["time"]) for piece in pieces)
    os.close(line)
    os.close(end)

    site.hub("--listen", f"unix:{site.folder}/lines", "--socket", str(site.socket("two"))).says("listening on")
    site.agent("--port", f"unix:{site.folder}/lines").says("is registered")
    trace = site.start("two", "trace", "sut", "--json")
    assert trace.process.stdout is not None

    def frame() -> bool:
        assert site.type("sut", "sem", "x", "+1").code == 0
        return bool(select.select([trace.process.stdout], [], [], 0)[0])

    wait_for(frame, "a frame")
    (seen, *_) = documents(trace.process.stdout.readline().decode())
    assert set(seen) == {"time", "direction", "length", "text"}
    assert TIME.fullmatch(seen["time"]) and seen["direction"] in ("in", "out") and seen["length"] > 0


def test_a_gap_in_a_trace_is_an_object_too() -> None:
    gap = frame_of("... 5 frames not shown")
    assert gap["direction"] is None and gap["text"] == "... 5 frames not shown"
