"""Whether this system is going down, for an agent that is ended by a signal."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

__all__ = ["PATIENCE", "system_goes_down"]

PATIENCE = 0.5  # the longest time in seconds by which all of this delays the agent's goodbye
_COMMAND = 0.4  # the longest time in seconds for the one command that is run


def _output(command: Sequence[str]) -> str:
    """What a command prints; empty if it cannot be run or does not end in time."""
    import subprocess  # loaded only when the agent ends

    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_COMMAND
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("ascii", "replace").strip()


def system_goes_down(run: str = "/run", output: Callable[[Sequence[str]], str] = _output) -> bool:
    """Whether this system is being shut down or rebooted. This may block for 0.4 s.

    1. systemd answers itself, if it can be asked. While the system starts, ``/run/nologin`` exists too.
    2. Otherwise a shutdown has begun if ``/run/nologin`` exists, or if the runlevel is 0 or 6.

    :param run: the directory that is ``/run``.
    :param output: runs a command and returns what it prints; empty if it cannot be run.
    """
    systemd = os.path.isdir(os.path.join(run, "systemd/system"))
    state = output(("systemctl", "is-system-running")) if systemd else ""
    if state not in ("", "offline", "unknown"):
        return state == "stopping"
    if os.path.exists(os.path.join(run, "nologin")):
        return True
    return not systemd and output(("runlevel",)).endswith((" 0", " 6"))
