"""The null modem as users run it: as a process, with real ptys, in real time."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from linesync.errors import ClosedError, UsageError
from linesync.testing.faults import Faults
from linesync.testing.nullmodem import NullModem

pytestmark = pytest.mark.live

PROGRAM = Path(__file__).parents[2] / "tools" / "nullmodem"


@contextmanager
def opened(*paths: str) -> Iterator[list[int]]:
    descriptors = [os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK) for path in paths]
    try:
        yield descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def read_for(descriptor: int, seconds: float, count: int = 1 << 30) -> bytes:
    """Return the bytes that arrive within ``seconds``, or earlier the first ``count`` bytes."""
    deadline, data = time.monotonic() + seconds, b""
    while len(data) < count and (left := deadline - time.monotonic()) > 0:
        if select.select([descriptor], [], [], left)[0]:
            data += os.read(descriptor, 65536)
    return data


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)


# -- the cable -----------------------------------------------------------------------------------------------


def test_bytes_pass_unchanged_in_both_directions_through_raw_ptys() -> None:
    with NullModem() as cable, opened(cable.a, cable.b) as (a, b):
        for end in (a, b):
            local = termios.tcgetattr(end)[3]
            assert not local & (termios.ICANON | termios.ECHO | termios.ISIG)
        every_byte = bytes(range(256))
        os.write(a, every_byte)
        os.write(b, every_byte[::-1])
        assert read_for(b, 2, 256) == every_byte
        assert read_for(a, 2, 256) == every_byte[::-1]
        counters = cable.counters()
        assert counters["ab"]["bytes_in"] == counters["ab"]["bytes_out"] == 256
        assert counters["ba"]["overrun"] == counters["ba"]["waiting"] == 0


def test_a_writer_is_stopped_when_the_kernel_buffer_is_full() -> None:
    with NullModem(baud=9600) as cable, opened(cable.a) as (a,):
        written = 0
        while select.select([], [a], [], 0.05)[1]:
            written += os.write(a, bytes(1024))
        assert written < 40_000


def test_the_cable_continues_after_both_ends_were_closed() -> None:
    with NullModem() as cable:
        for text in (b"one", b"two"):
            with opened(cable.a, cable.b) as (a, b):
                os.write(a, text)
                assert read_for(b, 2, 3) == text


def test_bytes_are_lost_while_the_cable_is_pulled() -> None:
    with NullModem() as cable, opened(cable.a, cable.b) as (a, b):
        cable.pull()
        os.write(a, b"lost")
        assert read_for(b, 0.1) == b""
        cable.plug()
        os.write(a, b"through")
        assert read_for(b, 2, 7) == b"through"
        assert cable.counters()["ab"]["cut"] == 4


def test_each_direction_has_its_own_faults() -> None:
    faults_ab = Faults(
        ber=1e-3, drop=0.002, dup=0.001, eat_xonxoff=True, delay=0.02, cuts=((60.0, 1.0),), line_limit=512
    )
    faults_ba = Faults(seven_bit=True, lf_to_crlf=True, add_blanks=1, printk=20.0, burst=1e-9, burst_max=7)
    with (
        NullModem(baud=921600, faults=faults_ab, faults_ba=faults_ba, seed=5) as cable,
        opened(cable.a, cable.b) as (a, b),
    ):
        os.write(a, b"\x11" + bytes(3000))
        os.write(b, b"\xc1\n" * 100)
        at_b, at_a = read_for(b, 1.0), read_for(a, 0.2)
        counters = cable.counters()
    ab, ba = counters["ab"], counters["ba"]
    assert ab["bytes_out"] == len(at_b) and ab["flipped_bits"] > 5 and ab["dropped"] > 0 and ab["eaten"] > 2000
    assert b"A \r\n" in at_a and max(at_a) < 0x80 and ba["printk"] > 0 and ba["added"] > 200
    for c in (ab, ba):
        received = c["bytes_in"] + c["printk"] + c["doubled"] + c["added"]
        assert received == c["bytes_out"] + c["dropped"] + c["eaten"] + c["cut"] + c["waiting"]


def test_the_same_seed_gives_the_same_faults() -> None:
    seen = []
    for _ in range(2):
        with (
            NullModem(baud=921600, faults=Faults(ber=1e-3), seed=8) as cable,
            opened(cable.a, cable.b) as (a, b),
        ):
            os.write(a, bytes(2000))
            seen.append(read_for(b, 2, 2000))
    assert seen[0] == seen[1] != bytes(2000)


def test_with_echo_the_sender_also_receives_its_own_bytes() -> None:
    with NullModem(echo=True) as cable, opened(cable.a, cable.b) as (a, b):
        os.write(a, b"hello")
        assert read_for(b, 2, 5) == b"hello"
        assert read_for(a, 2, 5) == b"hello"


def test_a_closed_null_modem_and_an_invalid_rate_are_errors() -> None:
    cable = NullModem()
    cable.close()
    cable.close()
    with pytest.raises(ClosedError):
        cable.counters()
    with pytest.raises(UsageError, match="bytes per second"):
        NullModem(baud=0)


# -- the program ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--ber", "x"],
        ["--ber", "2"],
        ["--cut", "5"],
        ["--nonsense"],
        ["--baud", "0"],
        ["--baud-rate", "9600"],
        ["--link-a", "/nowhere/at/all"],
        ["--link-b", __file__],
    ],
)
def test_a_wrong_option_gives_one_sentence_and_exit_code_2(arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nullmodem: ") and done.stderr.count("\n") == 1
    as_json = run("--json", *arguments)
    assert as_json.returncode == 2 and json.loads(as_json.stderr)["error"] == "usage"


def test_help_lists_every_fault() -> None:
    text = run("--help").stdout
    for word in (
        "--ber",
        "--drop",
        "--dup",
        "--cut",
        "--echo",
        "--seven-bit",
        "--printk",
        "--delay",
        "--stuck-xoff",
    ):
        assert word in text


def test_symbolic_links_are_made_replaced_and_removed(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.symlink_to("/no/such/device")
    with running("--link-a", str(a), "--link-b", str(b)) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in "ab"] == [f"a: {a}\n", f"b: {b}\n"]
        assert os.readlink(a).startswith("/dev/pts/")
        with opened(str(a), str(b)) as (end_a, end_b):
            os.write(end_a, b"x")
            assert read_for(end_b, 2, 1) == b"x"
        process.send_signal(signal.SIGTERM)
        table = process.communicate(timeout=5)[0]
    assert process.returncode == 0
    assert re.search(r"bytes out +1 +0\n", table)
    assert not a.is_symlink() and not b.is_symlink()


def test_signals_print_counters_and_pull_the_cable() -> None:
    with running("--json") as process:
        assert process.stdout is not None and process.stderr is not None
        names = json.loads(process.stdout.readline())
        with opened(names["a"], names["b"]) as (a, b):
            process.send_signal(signal.SIGUSR2)
            time.sleep(0.1)
            os.write(a, b"lost")
            assert read_for(b, 0.1) == b""
            process.send_signal(signal.SIGUSR1)
            assert json.loads(process.stderr.readline())["ab"]["cut"] == 4
            process.send_signal(signal.SIGUSR2)
            time.sleep(0.1)
            os.write(a, b"ok")
            assert read_for(b, 2, 2) == b"ok"
        process.send_signal(signal.SIGINT)
        assert json.loads(process.communicate(timeout=5)[0])["ab"]["bytes_out"] == 2
    assert process.returncode == 0


def test_exec_runs_a_command_between_the_ends_and_exits_with_its_status() -> None:
    done = run("--exec", "echo hi > {a}; head -n 1 < {b}; exit 7")
    assert (done.returncode, done.stdout) == (7, "hi\n")
    assert "bytes out" in done.stderr
    assert run("--exec", "kill -9 $$").returncode == 128 + 9


def set_speed(descriptor: int, speed: int) -> None:
    settings = termios.tcgetattr(descriptor)
    settings[4] = settings[5] = speed
    termios.tcsetattr(descriptor, termios.TCSANOW, settings)


def test_without_a_fixed_speed_the_cable_follows_its_ptys() -> None:
    text = bytes(range(32, 127)) * 20
    with NullModem(baud=None, max_baud=460800, noisy_above=[(230400, 0.01)]) as cable:
        with opened(cable.a, cable.b) as (a, b):
            assert cable.counters()["ab"]["baud"] == 115200
            begin = time.monotonic()
            os.write(a, text)
            assert read_for(b, 2, len(text)) == text
            slow = time.monotonic() - begin
            assert slow > len(text) / 11520 * 0.9
            for end in (a, b):
                set_speed(end, termios.B230400)
            assert cable.counters()["ba"]["baud"] == 230400
            begin = time.monotonic()
            os.write(a, text)
            assert read_for(b, 2, len(text)) == text
            assert time.monotonic() - begin > len(text) / 23040 * 0.9
            for end in (a, b):
                set_speed(end, termios.B460800)
            os.write(a, text)
            noisy = read_for(b, 1, len(text))
            assert len(noisy) == len(text) and noisy != text
            set_speed(b, termios.B115200)
            cable.counters()
            os.write(a, text)
            assert len(read_for(b, 0.5)) < len(text) * 0.6, "a slower port sees fewer bytes"
            for end in (a, b):
                set_speed(end, termios.B921600)
            cable.counters()
            os.write(b, text)
            assert text[:20] not in read_for(a, 0.5)


def test_a_fixed_speed_excludes_limits_on_other_speeds() -> None:
    result = run("--baud", "9600", "--max-baud", "115200")
    assert result.returncode == 2 and "omit it" in result.stderr
    assert run("--noisy-above", "fast").returncode == 2
