"""``linesync run`` passes its signals to the remote command."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.kit import Command, Site, alive
from tests.real import wait_for

pytestmark = pytest.mark.live

SCRIPT = """\
import os, signal, sys, time
def handle(number, frame):
    print("got", number, flush=True)
    if number == signal.SIGUSR1:
        sys.exit(9)
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, handle)
print("ready", flush=True)
while True:
    signal.pause()
"""


def _line(command: Command) -> str:
    assert command.process.stdout is not None
    return bytes(command.process.stdout.readline()).decode().strip()


def test_a_command_gets_each_signal_as_it_is_and_can_continue(hub: Site) -> None:
    command = hub.start("hub", "run", "hub", "--", "python3", "-c", SCRIPT)
    assert _line(command) == "ready"
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1):
        command.process.send_signal(number)
        assert _line(command) == f"got {number:d}"
    assert command.wait().code == 9


def test_a_command_that_a_passed_signal_ends_ends_linesync_in_the_same_way(hub: Site) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        command = hub.start("hub", "run", "hub", "--", "sh", "-c", "echo ready; exec sleep 300")
        assert _line(command) == "ready"
        command.process.send_signal(number)
        assert command.wait().code == (130 if number == signal.SIGINT else -number)


def test_two_interrupts_within_two_seconds_end_linesync_and_a_command_that_ignores_them(hub: Site) -> None:
    command = hub.start("hub", "run", "hub", "--", "sh", "-c", "trap '' INT; echo $$; while :; do sleep 0.1; done")
    pid = int(_line(command))

    def interrupted() -> bool:
        command.process.send_signal(signal.SIGINT)
        return not command.running

    wait_for(interrupted, "the end after repeated signals", every=0.3)
    assert command.wait().code == 130
    wait_for(lambda: not alive(pid), "the end of the command")
