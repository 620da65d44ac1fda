"""``linesync group cast``: its data and its timeout, before it connects."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.live

CAST = [sys.executable, "-m", "linesync", "--hub", "unix:/nonexistent/hub.sock", "group", "cast", "net"]


def cast(stdin: int, *options: str) -> tuple[int, str]:
    done = subprocess.run([*CAST, *options], stdin=stdin, capture_output=True, text=True, timeout=30)
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_the_timeout_includes_the_time_of_reading_stdin() -> None:
    read, write = os.pipe()
    began = time.monotonic()
    try:
        code, error = cast(read, "--timeout", "0.3")
    finally:
        os.close(read)
        os.close(write)
    assert code == 124 and error == "linesync: timed out after 0.3 s while reading stdin; the message was not sent\n"
    assert time.monotonic() - began >= 0.3


def test_a_message_above_one_mebibyte_is_refused() -> None:
    with subprocess.Popen(["head", "-c", "1048577", "/dev/zero"], stdout=subprocess.PIPE) as large:
        assert large.stdout is not None
        code, error = cast(large.stdout.fileno())
    assert code == 2 and "the message is larger than 1 MiB" in error


def test_data_is_an_argument_or_stdin() -> None:
    read, write = os.pipe()  # never read
    try:
        code, error = cast(read, "--timeout", "5", "data")
    finally:
        os.close(read)
        os.close(write)
    assert code == 125 and "there is no socket" in error
