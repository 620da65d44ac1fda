"""One script with commands on both sides prints the same over every transport."""

from __future__ import annotations

import difflib
import hashlib
import random
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from linesync.testing.nullmodem import NullModem
from tests.e2e import kit
from tests.e2e.kit import LINESYNC, Site
from tests.real import pty_pair, require, sshd

pytestmark = pytest.mark.real

_SIZE = 6_789


# -- connecting a hub and an agent -------------------------------------------------------------------------------------


@contextmanager
def over_tcp(site: Site) -> Iterator[None]:
    hub = site.hub("--listen", "tcp://127.0.0.1:0")
    site.agent("--port", hub.says("listening on").split()[-1])
    yield


@contextmanager
def over_unix(site: Site) -> Iterator[None]:
    endpoint = f"unix:{site.folder}/lines.sock"
    site.hub("--listen", endpoint).says("listening on")
    site.agent("--port", endpoint)
    yield


@contextmanager
def over_ssh(site: Site) -> Iterator[None]:
    with sshd() as server:
        remote = [LINESYNC, "agent", "--stdio", "--name", "sut", *site.socket_option("sut")]
        # The remote shell splits the command line again.
        site.hub("--port", "exec:" + shlex.join([*server.ssh, "cd", str(site.folder), "&&", shlex.join(remote)]))
        yield


@contextmanager
def over_socat(site: Site) -> Iterator[None]:
    with pty_pair() as pair:
        site.hub("--port", f"{pair.left},921600").says("waiting for an agent")
        _await_open_port(site)
        site.agent("--port", f"{pair.right},921600")
        yield


@contextmanager
def over_null_modem(site: Site) -> Iterator[None]:
    with NullModem(baud=115200) as cable:
        site.hub("--port", cable.a).says("waiting for an agent")
        _await_open_port(site)
        site.agent("--port", cable.b)
        yield


def _await_open_port(site: Site) -> None:
    """Wait until the hub has opened its port. If it opened the port in the middle of a hello, it would report the rest of the
    hello as console text."""
    site.until(lambda: any(row["state"] == "waiting" for row in site.json("hub", "links")), "an open port")


TRANSPORTS: dict[str, tuple[Callable[[Site], AbstractContextManager[None]], tuple[str, ...]]] = {
    "tcp": (over_tcp, ()),
    "unix": (over_unix, ()),
    "ssh": (over_ssh, ("sshd", "ssh")),
    "socat": (over_socat, ("socat",)),
    "null modem": (over_null_modem, ()),
}


# -- the script --------------------------------------------------------------------------------------------------------


class Script:
    """Runs commands, and writes a transcript of their results."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.transcript: list[str] = []

    def note(self, text: str) -> None:
        self.transcript.append(text)

    def step(self, side: str, *args: str, stdin: bytes | None = None) -> None:
        self._write(side, args, self.site.type(side, *args, stdin=stdin))

    def together(self, *steps: tuple[str, ...]) -> None:
        """Run commands that wait for each other. The transcript has them in this order."""
        commands = [(side, args, self.site.start(side, *args)) for side, *args in steps]
        for side, args, command in commands:
            self._write(side, tuple(args), command.wait())

    def _write(self, side: str, args: tuple[str, ...], done: kit.Done) -> None:
        self.note(self._normal(f"{side}$ linesync {shlex.join(args)}"))
        for mark, text in (("", done.out.decode("utf-8", "backslashreplace")), ("! ", done.err)):
            self.transcript += [mark + self._normal(line) for line in text.splitlines()]
        self.note(f"=> {done.code}")

    def _normal(self, line: str) -> str:
        """Replace the parts that may differ between transports: paths, endpoints, times."""
        line = line.replace(str(self.site.folder), "<dir>")
        line = re.sub(
            r"(/tmp/linesync-pty-\w+/(left|right)|/dev/pts/\d+)(,\d+)?|exec:ssh .*?linesync agent\S*", "<line>", line
        )
        line = re.sub(r"(tcp://[\d.]+:\d+|unix:<dir>/lines\.sock)(#\d+)?", "<line>", line)
        return re.sub(r"\d+(\.\d+)?s\b", "<time>", line)


def play(script: Script) -> list[str]:
    """The commands of a new user, on both sides."""
    site = script.site
    site.await_host()
    hosts = [{key: row[key] for key in ("name", "state", "capabilities")} for row in site.json("sut", "hosts")]
    script.note(f"hosts: {hosts}")
    for side in ("hub", "sut"):
        script.step(side, "sem", f"{side}-made", "+2")
        script.step(side, "sem", f"{side}-made", "-1")
        script.step(side, "sem", f"{side}-made", "-2", "--timeout", "0.2")
        script.step(side, "sem", f"{side}-made", "0")
        script.step(side, "barrier", "alone", "1")
        script.step(side, "barrier", "never", "2", "--timeout", "0.2")
        script.step(side, "barrier", "wrong", "0")
        script.step(side, "--json", "barrier", "never", "2", "--timeout", "0")
    script.together(("hub", "barrier", "both", "2"), ("sut", "barrier", "both", "2"))
    script.together(("sut", "sem", "handed", "-3"), ("hub", "sem", "handed", "+3"))
    _run_steps(script)
    _copy_steps(script)
    script.step("hub", "status")
    script.step("hub", "console", "sut")
    links = site.json("sut", "links")
    script.note(f"ends: {sorted((row['end'], row['state']) for row in links if row['host'] in ('sut', 'hub'))}")
    script.note(f"held: {site.json('hub', 'status')['held']['waits']}")
    return script.transcript


def _run_steps(script: Script) -> None:
    for side, host in (("sut", "sut"), ("hub", "hub")):
        script.step(side, "run", host, "--", "sh", "-c", "echo out of $LINESYNC_HOST; echo err >&2; exit 7")
    for side, host in (("hub", "sut"), ("sut", "hub")):
        script.step(side, "run", host, "--", "sh", "-c", "echo out of $LINESYNC_HOST; echo err >&2; exit 7")
        script.step(side, "run", host, "-i", "--", "tr", "a-z", "A-Z", stdin=b"typed here\n" * 3)
        script.step(side, "run", host, "--", "sh", "-c", "kill -9 $$")
        script.step(side, "run", host, "--", "no-such-program")
        script.step(side, "run", host, "--", "/etc/passwd")
        script.step(side, "run", host, "-C", "/no/such/place", "--", "pwd")
        script.step(side, "run", host, "-C", "/", "-e", "WHAT=that", "--", "sh", "-c", "pwd; echo $WHAT")
        script.step(side, "run", host, "--timeout", "0.3", "--", "sleep", "60")
        script.step(side, "--json", "run", host, "--", "sh", "-c", r"printf '\377'; echo e >&2; exit 3")
    script.step("hub", "run", "nobody", "--", "true")
    script.step("sut", "run", "nobody", "--", "true")
    script.step("hub", "run", "sut,hub", "--", "sh", "-c", '[ "$LINESYNC_HOST" = hub ] || exit 4')
    big = script.site.type("hub", "run", "sut", "--", sys.executable, "-c", "print('0123456789abcdef' * 1000)")
    script.note(f"long output: {big.code} {hashlib.sha256(big.out).hexdigest()}")


def _copy_steps(script: Script) -> None:
    folder = script.site.folder
    source = folder / "source"
    source.write_bytes(random.Random(1).randbytes(_SIZE))
    source.chmod(0o751)
    for side, args, target in (
        ("hub", (f"{source}", f"sut:{folder}/a"), "a"),
        ("hub", (f"sut:{folder}/a", f"{folder}/b"), "b"),
        ("sut", (f"{folder}/b", f"hub:{folder}/c"), "c"),
        ("sut", (f"hub:{folder}/c", f"{folder}/d"), "d"),
    ):
        script.step(side, "--json", "cp", *args)
        script.note(f"{target}: {_same(source, folder / target)}")
    script.step("hub", "cp", "sut:/no/such/file", str(folder / "e"))
    script.step("hub", "cp", str(source), "sut:/no/such/folder/e")
    script.step("sut", "cp", str(source), "hub:/no/such/folder/e")
    script.step("sut", "cp", "nobody:x", ".")
    script.note(f"left behind: {sorted(path.name for path in folder.iterdir() if path.name.endswith('.linesync'))}")


def _same(first: Path, second: Path) -> tuple[bool, str]:
    if not second.exists():
        return False, "missing"
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (first, second)]
    return sums[0] == sums[1], oct(second.stat().st_mode & 0o7777)


@pytest.fixture(scope="module")
def played() -> dict[str, tuple[list[str], str] | BaseException]:
    """The transcript and the logs of each transport, or its error. All of them run at the same time, because they mostly wait."""

    def play_over(transport: str) -> tuple[list[str], str] | BaseException:
        over, programs = TRANSPORTS[transport]
        try:
            require(*programs)
            with kit.site() as site, over(site):
                transcript = play(Script(site))
                return transcript, "\n".join(daemon.log for daemon in site.daemons)
        except BaseException as error:  # this includes a skip
            return error

    with ThreadPoolExecutor(len(TRANSPORTS)) as pool:
        return dict(zip(TRANSPORTS, pool.map(play_over, TRANSPORTS), strict=True))


def result_of(played: dict[str, tuple[list[str], str] | BaseException], transport: str) -> tuple[list[str], str]:
    result = played[transport]
    if isinstance(result, BaseException):
        raise result
    return result


def test_the_script_gives_the_expected_results(played: dict[str, tuple[list[str], str] | BaseException]) -> None:
    reference, _ = result_of(played, "tcp")
    text = "\n".join(reference)
    codes = [line for line in reference if line.startswith("=> ")]
    assert codes.count("=> 7") == 4 and codes.count("=> 137") == 2 and codes.count("=> 127") == 2, text
    assert codes.count("=> 126") == 4 and codes.count("=> 124") == 8 and codes.count("=> 3") == 2, text
    assert text.count("out of sut") == 2 and text.count("out of hub") == 2, text
    assert text.count("TYPED HERE") == 6, text
    assert [line for line in reference if line[:2] in ("a:", "b:", "c:", "d:")] == [
        f"{name}: (True, '0o751')" for name in "abcd"
    ]
    assert "left behind: []" in reference and "held: 0" in reference, text
    errors = [line for line in reference if line.startswith("! linesync:")]
    assert all(line.count("linesync: ") == 1 for line in errors) and len(errors) >= 20, text


@pytest.mark.parametrize("transport", [name for name in TRANSPORTS if name != "tcp"])
def test_the_script_prints_the_same_over(
    transport: str, played: dict[str, tuple[list[str], str] | BaseException]
) -> None:
    reference, _ = result_of(played, "tcp")
    transcript, logs = result_of(played, transport)
    difference = list(difflib.unified_diff(reference, transcript, "tcp", transport, lineterm=""))
    assert not difference, "\n".join([*difference, logs])
