"""Real programs over a serial line: through ``linesync rsh`` and ``linesync forward``."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.kit import LINESYNC, SerialSite, serial_site
from tests.real import require, sshd

from .test_forward import forward

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def place() -> Iterator[SerialSite]:
    with serial_site(hosts=("sut",)) as site:
        site.env["LINESYNC_HUB"] = f"unix:{site.socket('hub')}"
        yield site


def execute(place: SerialSite, *words: str | Path, **env: str) -> bytes:
    """Run a program of this machine, and return its output."""
    done = subprocess.run(words, env={**place.env, **env}, capture_output=True, timeout=60)
    assert done.returncode == 0, (words, done)
    return done.stdout


RSH = f"{shlex.quote(LINESYNC)} rsh"


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """The mode and the bytes of each file below a folder."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_rsync_copies_a_tree_in_both_directions(place: SerialSite) -> None:
    require("rsync")
    source = place.folder / "tree"
    (source / "folder").mkdir(parents=True)
    for number in range(5):
        (source / "folder" / f"a b {number}").write_bytes(random.Random(number).randbytes(2000))
    (source / "program").write_text("#!/bin/sh\n")
    (source / "program").chmod(0o755)
    execute(place, "rsync", "-a", f"{source}/", f"sut:{place.folder}/there", RSYNC_RSH=RSH)
    execute(place, "rsync", "-a", "-e", RSH, f"sut:{place.folder}/there/", f"{place.folder}/back")
    assert contents(source) == contents(place.folder / "there") == contents(place.folder / "back")


def test_git_clones_and_pushes(place: SerialSite) -> None:
    require("git")
    own = {"GIT_SSH_COMMAND": RSH, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    own |= {f"GIT_{who}_{what}": "x@y" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    repository, clone = place.folder / "repository.git", place.folder / "clone"
    execute(place, "git", "init", "-q", "--bare", repository, **own)
    execute(place, "git", "clone", "-q", f"sut:{repository}", clone, **own)
    (clone / "file").write_text("text\n")
    execute(place, "git", "-C", clone, "add", "file", **own)
    execute(place, "git", "-C", clone, "commit", "-q", "-m", "Add file", **own)
    execute(place, "git", "-C", clone, "push", "-q", "origin", "HEAD:refs/heads/main", **own)
    shown = execute(place, "git", "-C", repository, "show", "main:file", **own)
    assert shown == b"text\n"


def test_rsh_has_the_arguments_and_the_exit_codes_of_ssh(place: SerialSite) -> None:
    done = place.type(
        "hub", "rsh", "-o", "BatchMode=yes", "-T", "sut", "echo $((6*7))", "--json -- 'a  b'; cat;", "exit", "3"
    )
    assert (done.code, done.out) == (3, b"42 --json -- a  b\n")
    data = bytes(range(256)) * 8
    assert place.type("hub", "rsh", "sut", "cat; kill -15 $$", stdin=data).out == data
    assert place.type("hub", "rsh", "-n", "sut", "pwd; cat").text.strip() == str(place.folder)
    for words, error in ((["sut"], "there is no command line"), (["@sut", "true"], "expected HOST or USER@HOST")):
        refused = place.type("hub", "rsh", *words)
        assert refused.code == 2 and error in refused.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a command of another user")
def test_rsh_runs_the_command_line_as_another_user(place: SerialSite) -> None:
    for words in (["-l", "root", "nobody@sut"], ["root@sut"]):
        assert place.type("hub", "rsh", *words, "id", "-un").text == "root\n"


def test_ssh_uses_forward_as_its_proxy_command(place: SerialSite) -> None:
    with sshd() as server:
        proxy = f"{shlex.quote(LINESYNC)} forward --stdio sut 127.0.0.1:{server.port}"
        words: Sequence[str] = [*server.ssh[:-1], "-o", f"ProxyCommand={proxy}", server.ssh[-1]]
        assert execute(place, *words, "echo hello; id -u") == b"hello\n0\n"


def test_curl_keeps_a_forwarded_connection_for_several_requests(place: SerialSite) -> None:
    require("curl", "python3")
    folder = place.folder / "web"
    folder.mkdir()
    for number in range(3):
        (folder / str(number)).write_text(f"{number}\n" * 300)
    program = (
        "import http.server as h, functools; H = h.SimpleHTTPRequestHandler; H.protocol_version = 'HTTP/1.1';"
        "S = h.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(H, directory='web'));"
        "print(S.server_port, flush=True); S.serve_forever()"
    )
    words = ["python3", "-c", program]
    with subprocess.Popen(words, cwd=place.folder, stdout=-1, stderr=subprocess.DEVNULL, process_group=0) as web:
        try:
            assert web.stdout is not None
            with forward(place, "-L", f"127.0.0.1:0=127.0.0.1:{int(web.stdout.readline())}", "sut") as it:
                urls = [f"http://{it.listens[0]}/{number}" for number in range(3)]
                out = execute(place, "curl", "-s", "-w", "%{num_connects}\n", *urls).decode()
        finally:
            web.kill()
    assert out == "".join(f"{number}\n" * 300 + f"{1 - min(number, 1)}\n" for number in range(3))
