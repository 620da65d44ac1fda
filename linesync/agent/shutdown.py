"""Finds out whether this system is going down, when a signal ends the agent."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

__all__ = ["PATIENCE", "system_goes_down"]

PATIENCE = 0.5  # the longest delay of the agent's goodbye in seconds
_COMMAND = 0.4  # the longest time for the command systemctl or runlevel, in seconds


def _output(command: Sequence[str]) -> str:
    """The output of a command; empty if the command cannot be run or does not end in time."""
    import subprocess  # loaded only when the agent ends

    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_COMMAND
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("ascii", "replace").strip()


def system_goes_down(run: str = "/run", output: Callable[[Sequence[str]], str] = _output) -> bool:
    """Whether this system is being shut down or rebooted. This function may block for 0.4 s.

    1. If systemd runs and answers, its answer is used. (``/run/nologin`` is not enough, because it also exists while the
       system starts.)
    2. Otherwise the system is going down if ``/run/nologin`` exists, or if the runlevel is 0 or 6.

    :param run: the path of ``/run``, which tests replace.
    :param output: runs a command and returns its output, or an empty string if the command cannot be run.
    """
    systemd = os.path.isdir(os.path.join(run, "systemd/system"))
    state = output(("systemctl", "is-system-running")) if systemd else ""
    if state not in ("", "offline", "unknown"):
        return state == "stopping"
    if os.path.exists(os.path.join(run, "nologin")):
        return True
    return not systemd and output(("runlevel",)).endswith((" 0", " 6"))
