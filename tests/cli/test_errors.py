"""An error is one sentence that names the cause and the remedy, with the right exit code."""

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
from typing import Any, cast

import pytest

from linesync.cli.look.console import copy_out
from linesync.client.deadlines import Deadline
from linesync.errors import BrokenError
from tests.e2e.kit import AS_USER, LINESYNC, Command, Done, Site
from tests.real import pty_pair, require, wait_for

pytestmark = pytest.mark.live


def run_linesync(site: Site, *args: str, env: dict[str, str] | None = None) -> Done:
    """Run the program without --hub."""
    return Command([LINESYNC, *args], site.env | (env or {}), site.folder).wait()


def check_sentence(done: Done, code: int, *parts: str) -> None:
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
    (["barrier", "x", "two"], "invalid count 'two'"),
    (["barrier", "x", "2", "--no-such-option"], "--no-such-option"),
    (["barrier", "x", "2", "--timeout", "soon"], "invalid time 'soon'"),
    (["barrier", "x", "2", "--timeout", "-1"], "invalid time '-1'"),
    (["sem", "x", "many"], "invalid change 'many'"),
    (["run", "sut"], "there is no remote command"),
    (["run", "sut,,two", "--", "true"], "empty host name"),
    (["run", "sut[1-2", "--", "true"], "its brackets do not match"),
    (["run", "sut[1-2]#1", "--", "true"], "invalid host name 'sut1#1'"),
    (["run", "sut", "-e", "=value", "--", "true"], "invalid value for -e =value: expected K=V"),
    (["cp", "a", "b"], "HOST:PATH"),
    (["cp", "", "sut:x"], "the source or the target is empty"),
    (["cp", "sut:x", ""], "the source or the target is empty"),
    (["exchange", "x", "--hosts", "a", "--file", ""], "the name after --file is empty"),
    (["agent", "--port", "unix:/nowhere", "--name", ""], "invalid host name ''"),
    (["--hub", "", "sem", "x", "0"], "the endpoint is empty"),
    (["hub", "--lease", "0.1"], "lease"),
    (["hub", "--port", "tcp://"], "tcp://"),
    (["hub", "--listen", "/dev/ttyS0"], "cannot listen on /dev/ttyS0"),
    (["agent", "--port", "/dev/ttyS0,fast"], "fast"),
    (["agent", "--port", "unix:/nowhere", "--publish", "novalue"], "invalid value for --publish novalue: expected K=V"),
    (["--hub", "nonsense", "sem", "x", "0"], "nonsense"),
    (["completion", "tcsh"], "name one shell, bash, zsh, fish"),
    (["completion"], "name one shell"),
]


@pytest.mark.parametrize(("words", "part"), USAGE, ids=[" ".join(words) for words, _ in USAGE])
def test_wrong_usage(site: Site, words: list[str], part: str) -> None:
    check_sentence(run_linesync(site, *words), 2, part)


def test_with_json_an_error_is_an_object_on_stderr(site: Site) -> None:
    for words, code in ((["--json", "barrier", "x", "two"], 2), (["sem", "x", "0", "--json"], 125)):
        done = run_linesync(site, *words)
        error = json.loads(done.err)
        assert done.code == code == error["exit_code"] and done.out == b""
        assert error["message"] and error["error"] in ("usage", "failed")


def test_no_hub_on_this_machine(site: Site) -> None:
    done = Command([*AS_USER, "sem", "x", "0"], site.env, site.folder).wait()
    check_sentence(done, 125, f"{site.folder}/linesync.sock", "start the hub")


def test_no_hub_at_an_address(site: Site) -> None:
    check_sentence(run_linesync(site, "--hub", "tcp://127.0.0.1:1", "sem", "x", "0"), 125, "tcp://127.0.0.1:1")


def test_another_program_listens_on_the_socket(site: Site) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site.socket("hub")))
        listener.listen()
        command = site.start("hub", "sem", "x", "0")
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"220 mail.example ESMTP\r\n")
            wait_for(lambda: not command.running, "the end of the command", 20)
        check_sentence(command.wait(), 125, str(site.socket("hub")), "the socket of a hub or an agent")


def test_another_program_closes_the_connection_immediately(site: Site) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site.socket("hub")))
        listener.listen()
        command = site.start("hub", "sem", "x", "0")
        listener.accept()[0].close()
        check_sentence(command.wait(), 125, "was lost")


def test_listening_beyond_this_machine_is_refused_without_insecure(site: Site) -> None:
    for endpoint in ("tcp://0.0.0.0:0", "tcp://[::]:0"):
        check_sentence(run_linesync(site, "hub", "--listen", endpoint), 7, endpoint, "--insecure")
    site.hub("--listen", "tcp://0.0.0.0:0", "--insecure").says("listening on tcp://0.0.0.0:")


@pytest.mark.parametrize(
    ("words", "variable"),
    [
        (["hub", "--socket", "nosuch/x.sock"], {}),
        (["agent", "--port", "unix:/nowhere", "--socket", "nosuch/deep/x.sock"], {}),
        (["hub"], {"LINESYNC_SOCKET": "nosuch/x.sock"}),
        (["hub", "--socket", "main.sock", "--listen", "unix:nosuch/x.sock"], {}),
    ],
)
def test_the_directory_of_a_named_socket_is_not_created(site: Site, words: list[str], variable: dict[str, str]) -> None:
    done = run_linesync(site, *words, env=variable)
    last = done.err.splitlines()[-1]
    assert done.code == 125 and last.startswith("linesync: cannot listen on unix:nosuch/") and done.out == b""
    assert "there is no directory nosuch" in last and "create it or choose another path" in last
    assert not (site.folder / "nosuch").exists() and not (site.folder / "main.sock").exists()


def test_the_directory_of_the_default_socket_is_created(site: Site) -> None:
    site.env["XDG_RUNTIME_DIR"] = str(site.folder / "run" / "user")
    site.daemon("hub", ["hub"], AS_USER).says(f"unix:{site.folder}/run/user/linesync.sock")


def test_a_socket_in_use_is_not_changed_and_only_the_default_path_is_replaced(site: Site) -> None:
    site.hub().says("scripts on this machine")
    named = Command([LINESYNC, "hub", "--socket", str(site.socket("hub"))], site.env, site.folder).wait()
    check_sentence(named, 125, str(site.socket("hub")))
    default = site.folder / "linesync.sock"
    first = site.daemon("first", ["hub"], AS_USER)
    first.says(f"unix:{default}")
    second = site.daemon("second", ["agent", "--name", "two", "--port", "unix:/nowhere"], AS_USER)
    assert "linesync.two.sock" in second.says("is in use by another")
    assert Command([*AS_USER, "sem", "x", "0"], site.env, site.folder).wait().text == "0\n"


@pytest.mark.real
def test_the_hub_logs_a_missing_or_busy_device_and_tries_again(site: Site) -> None:
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


# -- lines without linesync at the other end --------------------------------------------------------------------------


@contextmanager
def tty_pair() -> Iterator[tuple[int, str]]:
    """A pty: the descriptor of the master, which is the other end of a line, and the path of the slave."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    try:
        yield master, os.ttyname(slave)
    finally:
        os.close(master)
        os.close(slave)


@contextmanager
def answering(master: int, answer: bytes) -> Iterator[None]:
    """Send these bytes immediately, and again after each read."""
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


def test_the_log_and_links_report_a_wrong_baud_rate(site: Site) -> None:
    with tty_pair() as (master, name):
        hub = site.hub("--port", name)
        site.await_line("hub", "waiting")
        os.write(master, bytes(range(128, 256)) * 3)  # a pty has no speed; a wrong baud rate gives bytes like these
        line = hub.says("different baud rates")
        assert name in line and "115200" in line
        shown = site.type("hub", "links")
        assert shown.code == 0 and "different baud rates" in shown.text


def test_the_log_and_links_report_a_login_prompt(site: Site) -> None:
    with tty_pair() as (master, name), answering(master, b"\r\nDebian GNU/Linux 12 box ttyS0\r\n\r\nbox login: "):
        agent = site.agent("--port", name)
        assert "systemctl mask" in agent.says("a login prompt")
        shown = site.type("sut", "links")
        assert shown.code == 0 and "systemctl mask" in shown.text
        assert agent.log.count("a login prompt") == 1


def carry(source: int, target: int, change: Callable[[bytes], bytes] = bytes) -> None:
    """Copy bytes in the background until one of the two descriptors is closed."""

    def work() -> None:
        try:
            while data := os.read(source, 4096):
                os.write(target, change(data))
        except OSError:
            pass

    threading.Thread(target=work, daemon=True).start()


@pytest.mark.real
def test_the_prompt_of_a_real_getty_is_recognised(site: Site) -> None:
    require("agetty", "setsid")
    master, slave = pty.openpty()
    argv = ["setsid", "-c", "agetty", "--noclear", "-", "linux"]
    getty = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave)
    try:
        with pty_pair() as pair:
            getty_end = os.open(pair.right, os.O_RDWR | os.O_NOCTTY)
            carry(getty_end, master)
            carry(master, getty_end)
            agent = site.agent("--port", pair.left)
            assert "systemctl mask" in agent.says("a login prompt")
            agent.kill()
            os.close(getty_end)
    finally:
        getty.kill()
        getty.wait()
        os.close(slave)
        os.close(master)


@pytest.mark.real
def test_the_log_reports_a_tty_that_echoes(site: Site) -> None:
    with pty_pair() as pair:
        tty_end = os.open(pair.right, os.O_RDWR | os.O_NOCTTY)
        carry(tty_end, tty_end, lambda data: data.replace(b"\n", b"\r\n"))
        agent = site.agent("--port", pair.left)
        assert "stty raw" in agent.says("our own bytes come back")
        agent.kill()
        os.close(tty_end)


def test_an_agent_reports_a_silent_line_and_a_hub_sends_nothing_to_a_boot_loader(site: Site) -> None:
    with tty_pair() as (_, name):
        agent = site.agent("--port", name)
        assert "null modem" in agent.says("nothing answers", 20)
        agent.kill()  # otherwise it would send hellos on the next pty, which gets the same name
    with tty_pair() as (master, name):
        os.set_blocking(master, False)
        hub = site.hub("--port", name)
        site.await_line("hub", "waiting")
        os.write(master, b"Hit any key to stop autoboot: 3 2 1")
        hub.says("text arrives", 30)
        with pytest.raises(BlockingIOError):
            os.read(master, 4096)


# -- the end of a command ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["barrier", "x", "2"], ["sem", "x", "-1"], ["run", "hub", "--", "sleep", "100"]])
def test_ctrl_c_ends_a_command_with_130_and_no_output(hub: Site, words: list[str]) -> None:
    command = hub.start("hub", *words)
    wait_for(lambda: len(hub.json("hub", "links")) >= 2, "the command's connection")
    command.process.send_signal(signal.SIGINT)
    done = command.wait()
    assert (done.code, done.out, done.err) == (130, b"", ""), done


def test_a_command_ends_silently_when_its_reader_exits(hub: Site) -> None:
    program = f"{LINESYNC} --hub unix:{hub.socket('hub')} run hub -- yes | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = Command(["bash", "-c", program], hub.env, hub.folder).wait()
    assert done.text.splitlines() == ["y", "141"] and done.err == "", done


def test_the_error_of_a_trace_that_breaks_names_the_trace_and_the_reason() -> None:
    class Ended:
        def receive_nowait(self) -> None:
            raise BrokenError("the agent on a was stopped")

    shown: list[bytes] = []
    with pytest.raises(
        BrokenError, match="^the trace of b cannot be shown any more: the agent on a was stopped; check"
    ):
        copy_out(cast("Any", None), cast("Any", Ended()), "the trace of b", Deadline(None), shown.append)
    assert shown == [b""], "an incomplete character is shown at the end"


def test_console_and_trace_of_an_unknown_host_are_refused(hub: Site) -> None:
    for words in (["console", "nobody"], ["trace", "nobody"], ["console", "nobody", "-f"]):
        check_sentence(hub.type("hub", *words), 2, "there is no host or port nobody")
