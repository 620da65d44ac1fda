"""A command in the process group of its client, as under ``lock NAME -- CMD``."""

from __future__ import annotations

import signal
import subprocess
import sys

_CLIENT = """
import os, select, signal
from linesync.jobs.supervisor import fork_supervisor

other = os.fork()
if not other:
    signal.pause()
os.kill(other, signal.SIGSTOP)
os.waitpid(other, os.WUNTRACED)
supervisor, sock = fork_supervisor([b"sh", b"-c", b"cut -d' ' -f5 /proc/$$/stat"], os.environb, keep=())
while sock.recv(4096):
    pass
assert os.waitstatus_to_exitcode(os.waitpid(supervisor, 0)[1]) == 0
print(os.getpgrp(), os.waitpid(other, os.WNOHANG | os.WCONTINUED))
os.kill(other, signal.SIGKILL)
"""


def test_the_end_of_a_command_sends_no_signal_to_a_group_with_a_stopped_process_and_without_a_shell() -> None:
    """The client is alone in its session, as under cron or systemd."""
    done = subprocess.run([sys.executable, "-c", _CLIENT], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert done.returncode == 0, f"the client was killed by {signal.Signals(-done.returncode).name}"
    of_command, of_client, *other = done.stdout.split(maxsplit=2)
    assert of_command == of_client, "the command is in the process group of its client"
    assert other == ["(0, 0)\n"], "the other process is still stopped"
