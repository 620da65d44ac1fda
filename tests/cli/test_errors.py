"""What goes wrong is told in one sentence that says what is wrong and what to do, with the right exit code."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.kit import AS_USER, LINESYNC, Command, Done, Site
from tests.real import pty_pair, require, wait_for

pytestmark = pytest.mark.live


def bare(site: Site, *args: str, env: dict[str, str] | None = None) -> Done:
    """The program without --hub."""
    return Command([LINESYNC, *args], site.env | (env or {}), site.folder).wait()


def one_sentence(done: Done, code: int, *parts: str) -> None:
    assert done.code == code, done
    assert done.out == b""
    (line,) = done.err.splitlines()
    assert line.startswith("linesync: ") and "Traceback" not in line
    for part in parts:
        assert part in line, line


USAGE = [
    (["barier", "x", "2"], "did you mean barrier?"),
    (["xyzzy"], "see 'linesync --help'"),
    (["barrier", "x"], "COUNT"),
    (["barrier", "x", "two"], "'two' is not a number"),
    (["barrier", "x", "2", "--no-such-option"], "--no-such-option"),
    (["barrier", "x", "2", "--timeout", "soon"], "'soon' is not a number of seconds"),
    (["barrier", "x", "2", "--timeout", "-1"], "'-1' is not a number of seconds"),
    (["sem", "x", "many"], "'many' is no change"),
    (["run", "sut"], "no command was given"),
    (["run", "sut,,two", "--", "true"], "empty host"),
    (["run", "sut", "-e", "NOVALUE", "--", "true"], "-e NOVALUE is not K=V"),
    (["cp", "a", "b"], "HOST:PATH"),
    (["hub", "--lease", "0.1"], "lease"),
    (["hub", "--port", "tcp://"], "tcp://"),
    (["hub", "--listen", "/dev/ttyS0"], "nobody can call"),
    (["agent", "--port", "/dev/ttyS0,fast"], "fast"),
    (["agent", "--port", "unix:/nowhere", "--publish", "novalue"], "--publish novalue is not K=V"),
    (["--hub", "nonsense", "sem", "x", "0"], "nonsense"),
    (["completion", "fish"], "fish"),
]


@pytest.mark.parametrize(("words", "part"), USAGE, ids=[" ".join(words) for words, _ in USAGE])
def test_wrong_usage(site: Site, words: list[str], part: str) -> None:
    one_sentence(bare(site, *words), 2, part)


def test_with_json_an_error_is_an_object_on_stderr(site: Site) -> None:
    for words, code in ((["--json", "barrier", "x", "two"], 2), (["sem", "x", "0", "--json"], 125)):
        done = bare(site, *words)
        told = json.loads(done.err)
        assert done.code == code == told["exit_code"] and done.out == b""
        assert told["message"] and told["error"] in ("usage", "failed")


def test_no_hub_on_this_machine(site: Site) -> None:
    done = Command([*AS_USER, "sem", "x", "0"], site.env, site.folder).wait()
    one_sentence(done, 125, f"{site.folder}/linesync.sock", "start the hub")


def test_no_hub_at_an_address(site: Site) -> None:
    one_sentence(bare(site, "--hub", "tcp://127.0.0.1:1", "sem", "x", "0"), 125, "tcp://127.0.0.1:1")


def test_something_else_listens_on_the_socket(site: Site) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(site.socket("hub")))
        other.listen()
        command = site.start("hub", "sem", "x", "0")
        connection, _ = other.accept()
        with connection:
            connection.sendall(b"220 mail.example ESMTP\r\n")
            wait_for(lambda: not command.running, "the command's patience", 20)
        one_sentence(command.wait(), 125, "speaks linesync")


def test_something_else_hangs_up_at_once(site: Site) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(site.socket("hub")))
        other.listen()
        command = site.start("hub", "sem", "x", "0")
        other.accept()[0].close()
        one_sentence(command.wait(), 125, "was lost")


def test_listening_beyond_this_machine_is_refused_without_insecure(site: Site) -> None:
    for endpoint in ("tcp://0.0.0.0:0", "tcp://[::]:0"):
        one_sentence(bare(site, "hub", "--listen", endpoint), 7, endpoint, "--insecure")
    site.hub("--listen", "tcp://0.0.0.0:0", "--insecure").says("listening on tcp://0.0.0.0:")


def test_a_busy_socket_is_left_alone_and_another_taken_only_where_none_was_named(site: Site) -> None:
    site.hub().says("scripts on this machine")
    named = Command([LINESYNC, "hub", "--socket", str(site.socket("hub"))], site.env, site.folder).wait()
    one_sentence(named, 125, str(site.socket("hub")))
    default = site.folder / "linesync.sock"
    first = site.daemon("first", ["hub"], AS_USER)
    first.says(f"unix:{default}")
    second = site.daemon("second", ["agent", "--name", "two", "--port", "unix:/nowhere"], AS_USER)
    assert "linesync.two.sock" in second.says("is in use by another")
    assert Command([*AS_USER, "sem", "x", "0"], site.env, site.folder).wait().text == "0\n"


@pytest.mark.real
def test_a_missing_and_a_busy_device_are_told_in_the_log_and_waited_for(site: Site) -> None:
    require("socat")
    missing = site.hub("--port", "/dev/ttyS99")
    assert "there is no device /dev/ttyS99" in missing.says("trying again")
    assert missing.log.count("there is no device") == 1
    with pty_pair() as pair:
        first = site.daemon("first", ["hub", "--port", pair.left, "--socket", str(site.socket("first"))])
        site.await_line("first", "waiting")
        busy = site.daemon("busy", ["hub", "--port", pair.left, "--socket", str(site.socket("busy"))])
        line = busy.says("trying again")
        assert pair.left in line and ("in use" in line or "holds" in line or "busy" in line), line
        assert first.stop() == 0
        busy.says("is open again")


# -- lines without linesync at their other end ------------------------------------------------------------------------


@contextmanager
def tty_pair() -> Iterator[tuple[int, str]]:
    """A pty whose master plays the other end of a line."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    try:
        yield master, os.ttyname(slave)
    finally:
        os.close(master)
        os.close(slave)


@contextmanager
def answering(master: int, answer: bytes) -> Iterator[None]:
    """Whatever comes is answered by the same bytes, again and again."""
    stop = threading.Event()

    def work() -> None:
        try:
            os.write(master, answer)
            while os.read(master, 4096) and not stop.is_set():
                os.write(master, answer)
        except OSError:
            pass  # the pty is gone

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()


def test_a_wrong_baud_rate_is_told_in_the_hubs_log_and_in_links(site: Site) -> None:
    with tty_pair() as (master, name):
        hub = site.hub("--port", name)
        site.await_line("hub", "waiting")
        os.write(master, bytes(range(128, 256)) * 3)  # a pty has no speed: this is what it would look like
        line = hub.says("different baud rates")
        assert name in line and "115200" in line
        shown = site.type("hub", "links")
        assert shown.code == 0 and "different baud rates" in shown.text


def test_a_login_prompt_is_told_in_the_agents_log_and_in_links(site: Site) -> None:
    with tty_pair() as (master, name), answering(master, b"\r\nDebian GNU/Linux 12 box ttyS0\r\n\r\nbox login: "):
        agent = site.agent("--port", name)
        assert "systemctl mask" in agent.says("a login prompt")
        shown = site.type("sut", "links")
        assert shown.code == 0 and "systemctl mask" in shown.text
        assert agent.log.count("a login prompt") == 1


def carry(source: int, target: int, change: Callable[[bytes], bytes] = bytes) -> None:
    """Copy bytes in the background until one of the two is gone."""

    def work() -> None:
        try:
            while data := os.read(source, 4096):
                os.write(target, change(data))
        except OSError:
            pass

    threading.Thread(target=work, daemon=True).start()


@pytest.mark.real
def test_a_real_getty_is_known_by_its_prompt(site: Site) -> None:
    require("agetty", "setsid")
    master, slave = pty.openpty()
    argv = ["setsid", "-c", "agetty", "--noclear", "-", "linux"]
    getty = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave)
    try:
        with pty_pair() as pair:
            far = os.open(pair.right, os.O_RDWR | os.O_NOCTTY)
            carry(far, master)
            carry(master, far)
            agent = site.agent("--port", pair.left)
            assert "systemctl mask" in agent.says("a login prompt")
            agent.kill()
            os.close(far)
    finally:
        getty.kill()
        getty.wait()
        os.close(slave)
        os.close(master)


@pytest.mark.real
def test_a_far_tty_that_echoes_is_told(site: Site) -> None:
    with pty_pair() as pair:
        far = os.open(pair.right, os.O_RDWR | os.O_NOCTTY)
        carry(far, far, lambda data: data.replace(b"\n", b"\r\n"))
        agent = site.agent("--port", pair.left)
        assert "stty raw" in agent.says("our own bytes come back")
        agent.kill()
        os.close(far)


def test_nothing_at_the_other_end_is_told_by_the_agent_and_the_hub_keeps_silent(site: Site) -> None:
    with tty_pair() as (_, name):
        agent = site.agent("--port", name)
        assert "null modem" in agent.says("nothing answers", 20)
        agent.kill()  # or it would call on the next pty, which has the same name
    with tty_pair() as (master, name):
        os.set_blocking(master, False)
        hub = site.hub("--port", name)
        site.await_line("hub", "waiting")
        os.write(master, b"Hit any key to stop autoboot: 3 2 1")
        hub.says("text arrives", 30)
        with pytest.raises(BlockingIOError):
            os.read(master, 4096)


# -- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["barrier", "x", "2"], ["sem", "x", "-1"], ["run", "hub", "--", "sleep", "100"]])
def test_ctrl_c_ends_a_command_with_130_and_no_words(hub: Site, words: list[str]) -> None:
    command = hub.start("hub", *words)
    wait_for(lambda: len(hub.json("hub", "links")) >= 2, "the command's connection")
    command.process.send_signal(signal.SIGINT)
    done = command.wait()
    assert (done.code, done.out, done.err) == (130, b"", ""), done


def test_a_reader_that_leaves_ends_a_command_quietly(hub: Site) -> None:
    program = f"{LINESYNC} --hub unix:{hub.socket('hub')} run hub -- yes | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = Command(["bash", "-c", program], hub.env, hub.folder).wait()
    assert done.text.splitlines() == ["y", "141"] and done.err == "", done


def test_a_console_of_nobody_and_a_trace_of_nobody_are_refused(hub: Site) -> None:
    for words in (["console", "nobody"], ["trace", "nobody"], ["console", "nobody", "-f"]):
        one_sentence(hub.type("hub", *words), 2, "there is no host or port nobody")
