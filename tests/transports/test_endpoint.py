"""Parsing endpoints, and the errors for invalid endpoints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from linesync.errors import UsageError
from linesync.transports import (
    Endpoint,
    ExecEndpoint,
    SerialEndpoint,
    StdioEndpoint,
    TcpEndpoint,
    UnixEndpoint,
    absolute,
    is_loopback,
    parse_endpoint,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp://sut:4000", TcpEndpoint(text="", host="sut", port=4000)),
        ("tcp://[fe80::1%eth0]:1", TcpEndpoint(text="", host="fe80::1%eth0", port=1)),
        ("tcp://0.0.0.0:0", TcpEndpoint(text="", host="0.0.0.0", port=0)),
        ("unix:/run/linesync/linesync.sock", UnixEndpoint(text="", path="/run/linesync/linesync.sock")),
        ("unix:///tmp/s", UnixEndpoint(text="", path="/tmp/s")),
        ("unix:./s", UnixEndpoint(text="", path="./s")),
        ("exec:ssh sut 'a b'", ExecEndpoint(text="", argv=("ssh", "sut", "a b"))),
        ("stdio:", StdioEndpoint(text="")),
        ("/dev/ttyS0", SerialEndpoint(text="", url="/dev/ttyS0")),
        ("./pty", SerialEndpoint(text="", url="./pty")),
        ("/dev/ttyS0,921600", SerialEndpoint(text="", url="/dev/ttyS0", baud=921600)),
        (
            "/dev/ttyS0,rtscts,7e2,xonxoff,9600",
            SerialEndpoint(
                text="",
                url="/dev/ttyS0",
                baud=9600,
                data_bits=7,
                parity="E",
                stop_bits=2,
                rtscts=True,
                xonxoff=True,
            ),
        ),
        (
            "/dev/ttyS0,parity=e,baud=300,data=7,stop=1.5",
            SerialEndpoint(text="", url="/dev/ttyS0", baud=300, data_bits=7, parity="E", stop_bits=1.5),
        ),
        ("loop://", SerialEndpoint(text="", url="loop://")),
        ("rfc2217://h:2217,9600", SerialEndpoint(text="", url="rfc2217://h:2217", baud=9600)),
        ("rfc2217://h:1?ign_set_control", SerialEndpoint(text="", url="rfc2217://h:1?ign_set_control")),
        (
            "socket://h:1?logging=debug,300",
            SerialEndpoint(text="", url="socket://h:1?logging=debug", baud=300),
        ),
        ("spy:///dev/ttyS0?file=a,b", SerialEndpoint(text="", url="spy:///dev/ttyS0?file=a,b")),
        (
            "spy:///dev/ttyS0?file=a,b,300,8N1",
            SerialEndpoint(text="", url="spy:///dev/ttyS0?file=a,b", baud=300),
        ),
    ],
)
def test_an_endpoint_is_parsed(text: str, expected: Endpoint) -> None:
    found = parse_endpoint(text)
    assert type(found) is type(expected)
    assert found.text == text == str(found)
    names = [name for name in expected.FIELDS if name != "text"]
    assert [getattr(found, name) for name in names] == [getattr(expected, name) for name in names]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the endpoint is empty; write /dev/ttyS0, tcp://host:port"),
        ("  ", "the endpoint is empty"),
        ("ttyS0", "'ttyS0' is not an endpoint; a device is written with its path, /dev/ttyS0"),
        ("sut", "'sut' is not an endpoint; write /dev/ttyS0, tcp://host:port, unix:/path"),
        ("http://sut:80", "has the unknown scheme 'http'; write"),
        ("tcp://sut", "has no port; write tcp://host:port"),
        ("tcp://[::1]", "has no port"),
        ("tcp://", "names no host"),
        ("tcp:sut:1", "names no host; write tcp://host:port"),
        ("tcp://:4000", "names no host; write 0.0.0.0 or [::]"),
        ("tcp://::1:4000", "IPv6 address without brackets"),
        ("tcp://sut:http", "has the port 'http', which is not a number from 0 to 65535"),
        ("tcp://sut:65536", "has the port '65536', which is not a number"),
        ("unix:", "names no path; write unix:/path/to/socket"),
        ("unix:a\0b", "has a NUL byte in its path"),
        ("exec:", "names no command; write for example exec:ssh"),
        ("exec:sh -c 'x", "cannot be split into words (No closing quotation); check its quotes"),
        ("stdio:x", "write stdio: with nothing after the colon"),
        ("/dev/ttyS0,fast", "has the unknown option 'fast'; expected a baud rate, auto, 8N1, rtscts"),
        ("/dev/ttyS0,parity=X", "has the unknown option 'parity=X'"),
        ("/dev/ttyS0,", "has the unknown option ''"),
        ("/dev/ttyS0,9k6", "has the baud rate '9k6', which is not a number; write one such as 115200"),
        ("/dev/ttyS0,baud=x", "has the baud rate 'x', which is not a number"),
        ("/dev/ttyS0,0", "has the baud rate '0', which is out of range"),
        ("/dev/ttyS0," + "9" * 5000, "which is out of range"),
        ("tcp://sut:" + "9" * 5000, "which is not a number from 0 to 65535"),
        ("rfc2217://sut:65536", "has the port '65536', which is not a number from 0 to 65535"),
        ("/dev/ttyS0,9600,baud=300", "sets baud twice; leave one of them out"),
        ("/dev/ttyS0,8N1,parity=E", "sets parity twice"),
        ("rfc2217://sut", "has no host and port; write rfc2217://host:port"),
        ("socket://sut:1,fast", "has the unknown option 'fast'"),
    ],
)
def test_a_bad_endpoint_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_endpoint(text)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unix:/s", True),
        ("tcp://localhost:1", True),
        ("tcp://127.8.9.1:1", True),
        ("tcp://[::1]:1", True),
        ("tcp://[::ffff:127.0.0.1]:1", True),
        ("loop://", True),
        ("tcp://0.0.0.0:1", False),
        ("tcp://[::]:1", False),
        ("tcp://sut:1", False),
        ("tcp://localhost.example.org:1", False),
        ("tcp://[fe80::1%eth0]:1", False),
        ("/dev/ttyS0", False),
        ("socket://127.0.0.1:1", False),
        ("stdio:", False),
    ],
)
def test_is_loopback_is_true_only_where_no_other_machine_can_connect(text: str, expected: bool) -> None:
    assert is_loopback(text) is expected


def test_the_byte_rate_counts_start_parity_and_stop_bits() -> None:
    rates = [
        endpoint.byte_rate
        for endpoint in map(parse_endpoint, ("/dev/ttyS0", "/dev/ttyS0,9600,7E2", "/dev/ttyS0,9600,8E1"))
        if isinstance(endpoint, SerialEndpoint)
    ]
    assert rates == [11520, 9600 / 11, 9600 / 11]


def test_importing_the_package_loads_no_transport() -> None:
    script = (
        "import sys, linesync.transports as t; t.parse_endpoint('/dev/ttyS0,9600'); "
        "others = ('serial', 'serial_asyncio', 'subprocess', 'asyncio'); "
        "print([n for n in sys.modules if n.partition('.')[0] in others]"
        " + [n for n in sys.modules if n.startswith('linesync.transports.')])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "['linesync.transports.endpoint', 'linesync.transports.interface']"


def test_sockets_do_not_import_pyserial() -> None:
    script = (
        "import sys, linesync.transports.sockets, linesync.transports.listeners; "
        "print([n for n in sys.modules if n.partition('.')[0] in ('serial', 'serial_asyncio', 'termios')])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def test_auto_may_be_combined_with_a_first_rate() -> None:
    for text in ("/dev/ttyS0,auto,38400", "/dev/ttyS0,baud=38400,baud=auto"):
        found = parse_endpoint(text)
        assert isinstance(found, SerialEndpoint) and found.climbs and found.baud == 38400
    plain = parse_endpoint("/dev/ttyS0,AUTO")
    assert isinstance(plain, SerialEndpoint) and plain.climbs and plain.baud == 115200
    url = parse_endpoint("spy:///dev/ttyS0?file=a,auto")
    assert isinstance(url, SerialEndpoint) and url.climbs and url.url == "spy:///dev/ttyS0?file=a"


@pytest.mark.parametrize("text", ["socket://h:1,auto", "loop://,auto"])
def test_auto_on_a_line_without_a_rate_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="has no rate"):
        parse_endpoint(text)


def test_auto_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="baud=auto twice"):
        parse_endpoint("/dev/ttyS0,auto,baud=auto")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unix:sut.sock", "unix:{}/sut.sock"),
        ("unix://run/../sut.sock", "unix:{}/sut.sock"),
        ("unix:///run/x.sock", "unix:/run/x.sock"),
        ("unix:/run/x.sock", "unix:/run/x.sock"),
        ("./tty,115200,8N1", "{}/tty,115200,8N1"),
        ("./in/../tty", "{}/tty"),
        ("/dev/ttyS0,115200", "/dev/ttyS0,115200"),
        ("tcp://sut:7788", "tcp://sut:7788"),
        ("rfc2217://sut:7788,115200", "rfc2217://sut:7788,115200"),
        ("exec:./agent sut", "exec:./agent sut"),
        ("stdio:", "stdio:"),
    ],
)
def test_an_absolute_endpoint_is_the_same_in_any_directory(
    text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute(text) == expected.format(tmp_path)
