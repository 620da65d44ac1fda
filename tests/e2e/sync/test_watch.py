"""``linesync status --watch`` in a pipe and on a terminal, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess

from linesync import connect_blocking
from tests.e2e.kit import LINESYNC, Command, Site, site
from tests.real import wait_for


def await_first_change(place: Site, descriptor: int) -> None:
    """Change an event until a watcher has printed a change."""
    with connect_blocking(f"unix:{place.socket('hub')}") as client:

        def seen() -> bool:
            client.set_events("tick")
            client.clear_events("tick")
            return bool(select.select([descriptor], [], [], 0.1)[0])

        wait_for(seen, "the watcher to print a change", 20)


def text_until(command: Command, text: str) -> str:
    """Read the output of a command until it contains a text."""
    assert command.process.stdout is not None
    descriptor, read = command.process.stdout.fileno(), b""
    while text.encode() not in read:
        assert select.select([descriptor], [], [], 20)[0], read
        read += os.read(descriptor, 1 << 16)
    return read.decode()


def watcher(place: Site, *options: str) -> Command:
    command = place.start("hub", "status", "--watch", *options)
    assert command.process.stdout is not None
    await_first_change(place, command.process.stdout.fileno())
    return command


def test_changes_are_printed_as_they_happen_until_the_watcher_or_the_hub_ends() -> None:
    with site() as place:
        hub = place.hub()
        hub.says("hub.sock")
        text, other, closed, documents = (watcher(place, *options) for options in ((), (), (), ("--json",)))
        pipe = closed.process.stdout
        assert pipe is not None
        pipe.close()
        assert closed.process.wait(10) == 141, "it ends without another change, as a program that SIGPIPE ends"
        with connect_blocking(f"unix:{place.socket('hub')}") as client, client.locked("flash") as held:
            pass
        shown = text_until(text, "lock given back")
        text.process.send_signal(signal.SIGINT)
        done = text.wait()
        assert (done.code, done.err) == (130, "")
        (line,) = [line for line in shown.splitlines() if "lock taken" in line]
        sender = f"(uid {os.getuid()}), line unix:{place.socket('hub')}#"
        assert f" lock taken: flash, hub, token {held.value}; by script " in line and sender in line
        printed = text_until(documents, "lock given back")
        other.process.send_signal(signal.SIGTERM)
        assert other.process.wait(10) == -signal.SIGTERM
        assert hub.stop() == 0
        done = documents.wait()
        kinds = [json.loads(line)["kind"] for line in (printed + done.text).splitlines()]
        assert kinds[-2:] == ["lock taken", "lock given back"]
        assert done.code == 125 and json.loads(done.err)["message"].startswith(
            "the changes can no longer be followed: "
        )


def test_a_terminal_shows_the_state_and_shows_it_again_after_a_change() -> None:
    with site() as place:
        place.hub().says("hub.sock")
        master, slave = pty.openpty()
        argv = [LINESYNC, "--hub", f"unix:{place.socket('hub')}", "status", "--watch"]
        env = place.env | {"COLUMNS": "200"}
        with subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=subprocess.PIPE, env=env) as process:
            os.close(slave)
            try:
                shown = b""

                def shows(text: bytes) -> bool:
                    nonlocal shown
                    if select.select([master], [], [], 0.1)[0]:
                        shown += os.read(master, 1 << 16)
                    return text in shown

                wait_for(lambda: shows(b"0 of 0 hosts up"), "the first drawing", 20)
                with connect_blocking(f"unix:{place.socket('hub')}") as client:
                    client.set_events("ready")
                wait_for(lambda: shows(b"EVENT") and shows(b"event set: ready"), "the drawing after the change", 20)
                process.send_signal(signal.SIGINT)
                assert process.wait(10) == 130
                assert process.stderr is not None and process.stderr.read() == b""
            finally:
                process.kill()
                os.close(master)
