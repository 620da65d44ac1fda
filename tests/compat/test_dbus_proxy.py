"""The places of ``dbus-proxy``."""

from __future__ import annotations

import os

import pytest

from linesync.compat.dbus_proxy import main, nearest_rate, read_place
from linesync.errors import UsageError


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("stdio", ("line", "stdio:")),
        ("unix:/run/bus", ("unix", "/run/bus")),
        ("unix:path=/run/bus", ("unix", "/run/bus")),
        ("unix:bus", ("unix", f"{os.getcwd()}/bus")),
        ("unix-mux:/run/guest", ("unix-mux", "/run/guest")),
        ("exec:ssh host dbus-proxy", ("line", "exec:ssh host dbus-proxy")),
        ("serial:ttyS0", ("line", "/dev/ttyS0")),
        ("serial:ttyS0,38400N1", ("line", "/dev/ttyS0,38400,8N1")),
        ("serial:/dev/ttyUSB0,1152007E2", ("line", "/dev/ttyUSB0,115200,7E2")),
        ("serial:ttyS0,9600,8N1", ("line", "/dev/ttyS0,9600,8N1")),
    ],
)
def test_a_place_becomes_an_endpoint(text: str, place: tuple[str, str]) -> None:
    def warn(sentence: str) -> None:
        raise AssertionError(sentence)

    assert read_place(text, warn) == place


@pytest.mark.parametrize("text", ["", "x", "stdio:x", "unix:", "exec: ", "serial:", "serial:ttyS0,fast", "tcp://h:1"])
def test_every_other_place_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid (place|settings)"):
        read_place(text, lambda sentence: None)


def test_a_rate_that_no_port_supports_becomes_the_nearest_one_with_a_warning() -> None:
    warnings: list[str] = []
    assert read_place("serial:ttyS0,38000N1", warnings.append) == ("line", "/dev/ttyS0,38400,8N1")
    assert warnings == [
        "no serial port supports 38000 baud; using 38400 baud, which must be the rate of the other end, too"
    ]
    assert [nearest_rate(rate) for rate in (1, 9600, 10_000, 100_000, 10**9)] == [50, 9600, 9600, 115200, 4_000_000]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "dbus-proxy needs --downstream"),
        (["--downstream", "stdio", "--", "ssh", "host"], "starts no session command"),
        (["--upstream", "stdio", "--downstream", "stdio"], "are the same place"),
        (["--upstreem", "stdio"], "not recognized"),
    ],
)
def test_a_wrong_command_line_is_an_error(words: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("dbus-proxy", words) == 2
    assert error in capsys.readouterr().err
