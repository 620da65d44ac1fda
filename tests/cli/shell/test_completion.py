"""Completion in real shells, with a real hub."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from linesync.cli.main import COMMANDS
from tests.e2e import kit
from tests.e2e.kit import LINESYNC, Command, Done, Site
from tests.real import require

pytestmark = pytest.mark.live

_CALL_COMPLETION = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); {function} "$1" "${{!#}}" "${{COMP_WORDS[-2]}}"'


@pytest.fixture(scope="module")
def busy_site() -> Iterator[Site]:
    """A hub with a host and some names, and a directory with files."""
    with kit.site() as place:
        place.env |= {"PATH": f"{Path(LINESYNC).parent}:{place.env['PATH']}", "HISTFILE": ""}
        place.env |= {"LINESYNC_HUB": f"unix:{place.socket('hub')}", "LC_ALL": "C.UTF-8"}
        place.hub("--listen", f"unix:{place.folder}/lines").says("listening on")
        place.agent("--port", f"unix:{place.folder}/lines").says("is registered")
        for words in (["event", "set", "ready", "a b", "$(touch ran)"], ["sem", "flash", "+1"], ["lock", "disk"]):
            assert place.type("hub", *words).code == 0
        work = place.folder / "work"
        (work / "images").mkdir(parents=True)
        (work / "Image").touch()
        (work / "my file").touch()
        yield place


def shell(site: Site, script: str, *words: str, env: dict[str, str] | None = None) -> Done:
    """Run a script of bash with words as its arguments."""
    argv = ["bash", "--norc", "-c", script, *words]
    return Command(argv, site.env | (env or {}), site.folder / "work").wait()


def completed(site: Site, *words: str, env: dict[str, str] | None = None) -> list[str]:
    """The completions of the last word in bash. The first word is the program."""
    script = f'eval "$({LINESYNC} completion bash)"; function=$(complete -p linesync); function=${{function##*-F }}; '
    script += _CALL_COMPLETION.format(function="${function%% *}") + "; printf '%s\\n' \"${COMPREPLY[@]}\""
    done = shell(site, script, "bash", *words, env=env)
    assert (done.code, done.err) == (0, "")
    return sorted(filter(None, done.text.splitlines()))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["ba"], ["barrier"]),
        (["barrier", "x", "2", "--ti"], ["--timeout"]),
        (["event", "set", ""], ["\\$\\(touch\\ ran\\)", "a\\ b", "ready"]),
        (["event", "set", '"a'], ["a b"]),
        (["sem", ""], ["flash"]),
        (["lock", "d"], ["disk"]),
        (["run", "sut,h"], ["sut,hub"]),
        (["cp", "s"], ["sut:"]),
        (["cp", ""], ["Image", "hub:", "images", "my file", "sut:"]),
        (["cp", "my\\ f"], ["my file"]),
        (["cp", "sut", ":", "I"], []),
        (["cp", "Image", "im"], ["images"]),
        (["exchange", "x", "--file", "I"], ["Image"]),
        (["exchange", "x", "--file", "=", "I"], ["Image"]),
        (["exchange", "x", "--dir", ""], ["images"]),
        (["--hub", "unix", ":", "im"], ["images"]),
        (["lock", "disk", "--", "linesy"], ["linesync"]),
        (["lock", "disk", "--", "cat", "I"], ["Image"]),
        (["barrier", ""], []),
    ],
)
def test_bash_completes(busy_site: Site, words: list[str], found: list[str]) -> None:
    assert completed(busy_site, "linesync", *words) == found
    assert not (busy_site.folder / "work" / "ran").exists()


def test_bash_completes_the_program_at_another_path(busy_site: Site) -> None:
    assert completed(busy_site, LINESYNC, "ba", env={"PATH": os.environ["PATH"]}) == ["barrier"]


def type_keys(site: Site, argv: list[str], setup: str, keys: str, expect: str) -> None:
    """Type keys into an interactive shell on a terminal, until it shows the expected text."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(site.folder / "work")
        os.execvpe(argv[0], argv, site.env | {"TERM": "dumb", "PS1": "> "})
    seen, deadline = b"", time.monotonic() + 30
    os.write(terminal, f"{setup}; echo set'up'\n".encode())
    try:
        for awaited, next_keys in (("setup", keys), (expect, "")):
            while awaited.encode() not in seen:
                assert select.select([terminal], [], [], max(deadline - time.monotonic(), 0))[0], seen.decode()
                seen += os.read(terminal, 4096)
            seen = b""
            os.write(terminal, next_keys.encode())
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)


SHELLS = {
    "bash": (["bash", "--norc", "-i"], 'eval "$(linesync completion bash)"'),
    "zsh": (["zsh", "-f", "-i"], "autoload -U compinit; compinit -u -D; source <(linesync completion zsh)"),
}


@pytest.mark.real
@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize(
    ("keys", "expect"),
    [("cp Ima\ts\t", "sut:"), ("event set a\t", "a\\ b "), ("cp --dev\tmy\t", "my\\ file ")],
)
def test_a_shell_completes_typed_words(busy_site: Site, name: str, keys: str, expect: str) -> None:
    require(name)
    type_keys(busy_site, *SHELLS[name], f"linesync {keys}", expect)


@pytest.mark.real
def test_fish_completes(busy_site: Site) -> None:
    require("fish")
    lines = ["cp ", "barrier x 2 --ti", "exchange x --file=I", "run sut,h", "lock disk -- linesy"]
    script = "linesync completion fish | source; " + "; ".join(f"complete -C 'linesync {line}'" for line in lines)
    done = Command(["fish", "-N", "-c", script], busy_site.env, busy_site.folder / "work").wait()
    found = [line.partition("\t")[0] for line in done.text.splitlines()]
    assert set(found[:5]) == {"hub:", "sut:", "Image", "images/", "my file"}
    assert found[5:] == ["--timeout", "--file=Image", "sut,hub", "linesync"], done.err


def test_names_are_omitted_if_no_hub_answers_in_a_second(busy_site: Site, tmp_path: Path) -> None:
    assert completed(busy_site, "linesync", "sem", "", env={"LINESYNC_HUB": f"unix:{tmp_path}/none"}) == []
    assert completed(busy_site, "linesync", "sem", "", env={"LINESYNC_HUB": "nonsense"}) == []
    stopped = busy_site.daemons[0]
    stopped.process.send_signal(signal.SIGSTOP)
    try:
        begin = time.monotonic()
        assert completed(busy_site, "linesync", "cp", "") == ["Image", "images", "my file"]
        assert time.monotonic() - begin < 10, "completion must not wait as long as a client, which waits for 10 s"
    finally:
        stopped.process.send_signal(signal.SIGCONT)


def test_a_wrong_settings_file_completes_nothing_and_is_silent(busy_site: Site) -> None:
    path = busy_site.folder / "work" / "linesync.toml"
    path.write_text("namespace = [")
    try:
        done = shell(busy_site, "linesync completion --words -- barrier --ti")
    finally:
        path.unlink()
    assert (done.code, done.text, done.err) == (0, "nothing\t\n", "")


def test_options_are_completed_without_asyncio_and_without_a_hub() -> None:
    program = (
        "import sys; from linesync.cli.main import main\n"
        f"for command in {list(COMMANDS)!r}: assert main(['completion', '--words', '--', command, '--']) == 0\n"
        "assert not {'asyncio', 'threading', 'linesync.client.blocking'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.count("--json\t") == len(COMMANDS) and "--members\t" in done.stdout
