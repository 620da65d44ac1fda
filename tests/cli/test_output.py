"""Standard streams that cannot be written or read: full, closed, or without a reader."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.e2e.kit import LINESYNC, Command, Done, Site

pytestmark = pytest.mark.live


def shell(hub: Site, script: str) -> Done:
    """Run a script of bash in which ``L`` is the program."""
    env = hub.env | {"LINESYNC_HUB": f"unix:{hub.socket('hub')}", "L": LINESYNC}
    return Command(["bash", "-c", script], env, hub.folder).wait()


STATE = r'{"linesync_state":1,"hub":"x","clock":{"monotonic":0,"wall":0,"boot":"","offset":0}}\n{"rows":0,"pieces":0}\n'
FULL = "cannot write to stdout: No space left on device"
CLOSED = "cannot write to stdout: it is closed"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("$L run hub -- echo hi >/dev/full", FULL),
        ("$L run hub -- sh -c 'echo hi; exit 3' >&-", CLOSED),
        ("$L run hub --json -- true >/dev/full", FULL),
        ("$L hosts >&-", CLOSED),
        ("$L sem x 0 >/dev/full", FULL),
        ("$L exchange x --hosts hub data >/dev/full", FULL),
        ("$L demo >/dev/full", FULL),
        ("$L completion bash >&-", CLOSED),
        (f"printf '{STATE}' | $L state import a.db >/dev/full", FULL),
        (f"printf '{STATE}' | $L state import b.db >/dev/null; $L state export b.db >/dev/full", FULL),
        ("$L compat dissem sem x 0 >/dev/full", FULL),
        ("$L --help >/dev/full", FULL),
        ("$L run --help >&-", CLOSED),
        ("$L --version >/dev/full", FULL),
    ],
)
def test_output_that_cannot_be_written_is_one_sentence_and_125(hub: Site, script: str, why: str) -> None:
    done = shell(hub, script)
    (line,) = done.err.splitlines()
    assert done.code == 125 and why in line and "may have taken effect" in line, done


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("$L run hub -- sh -c 'exit 3' >/dev/full", 3),
        ("$L sem y +1 >&- <&- 2>&-", 0),
        ("$L barrier b 1 >/dev/full", 0),
        ("$L nonsense >/dev/full", 2),
        ("$L nonsense 2>/dev/full", 2),
        ("$L nonsense --json 2>&-", 2),
        ("$L event wait none --timeout 0 2>/dev/full", 124),
        ("$L run hub -- sh -c 'echo out; exit 4' 2>&-", 4),
    ],
)
def test_a_missing_stdout_or_stderr_does_not_change_the_exit_code(hub: Site, script: str, code: int) -> None:
    assert shell(hub, script).code == code


def test_the_stderr_of_a_remote_command_that_cannot_be_written_is_an_error(hub: Site) -> None:
    for redirection in ("2>/dev/full", "2>&-"):
        done = shell(hub, f"$L run hub -- sh -c 'echo x >&2' {redirection}")
        assert (done.code, done.out, done.err) == (125, b"", "")


def test_with_stderr_closed_an_error_does_not_go_to_stdout_or_the_hubs_socket(hub: Site) -> None:
    done = shell(hub, "$L event wait none --timeout 0 2>&-; $L lock l --timeout 9 -- sh -c 'echo x' >&-; echo $?")
    assert done.out == b"1\n", "the exit code of sh, which cannot write"


def test_a_lock_whose_token_cannot_be_printed_is_released(hub: Site) -> None:
    assert shell(hub, "$L lock token >/dev/full").code == 125
    assert hub.row("locks", "token") is None or hub.row("locks", "token")["owner"] is None  # type: ignore[index]


@pytest.mark.parametrize("words", ["--help", "status", "demo", "run hub -- yes"])
def test_without_a_reader_a_command_is_silent(hub: Site, words: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program = [LINESYNC, "--hub", f"unix:{hub.socket('hub')}", *words.split()]
    done = subprocess.run(program, env=hub.env, cwd=hub.folder, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_stdin_that_cannot_be_read_is_one_sentence_and_125(hub: Site) -> None:
    for words in ("run hub -i -- cat", "exchange x --hosts hub"):
        done = shell(hub, f"$L {words} <&-")
        (line,) = done.err.splitlines()
        assert done.code == 125 and "cannot read stdin: it is closed" in line


def test_a_file_of_proc_as_stdin_is_read_although_its_size_is_0(hub: Site) -> None:
    done = shell(hub, "$L exchange x --hosts hub </proc/version; cat /proc/version")
    given, version = done.text.splitlines()
    assert json.loads(given) == {"hub": f"{version}\n"}


def test_output_that_the_locale_cannot_express_is_escaped(hub: Site) -> None:
    done = shell(hub, "export PYTHONIOENCODING=ascii; $L event set é; $L event wait --any é")
    assert (done.code, done.text, done.err) == (0, "\\xe9\n", "")
