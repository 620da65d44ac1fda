"""The identity of this process on a line: random tokens, the boot id, and the parameters in its hello; and its directories."""

from __future__ import annotations

import os
from binascii import b2a_base64
from collections.abc import Callable
from functools import cache
from importlib.machinery import PathFinder

from .. import limits
from ..wire.framing import hello_flags
from ..wire.reliability.handshake import LocalParameters

__all__ = ["BOOT", "local_end", "runtime_folder", "state_folder", "system_boot", "token"]

_URL = bytes.maketrans(b"+/", b"-_")
_BOTH = hello_flags.COMPRESSION + hello_flags.SHORT_ACKS
_PIPE_FLAGS = hello_flags.NESTING + hello_flags.EIGHT_FORM + hello_flags.CLEAN_PIPE + _BOTH
_LINE_FLAGS = hello_flags.NESTING + hello_flags.MASKED_FORM + _BOTH


entropy: Callable[[int], bytes] = os.urandom
"""A function that returns a given number of random bytes. A reproducible test replaces it with a seeded source."""


def token() -> str:
    """Eight random base64url digits."""
    return b2a_base64(entropy(6), newline=False).translate(_URL).decode("ascii")


def runtime_folder() -> str:
    """The directory for the sockets of this user's processes. It may not exist."""
    if os.geteuid() == 0:
        return "/run/linesync"
    return os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/linesync-{os.geteuid()}"


def state_folder() -> str:
    """The directory for files that must stay after the end of this user's processes. It may not exist.

    systemd sets STATE_DIRECTORY for a unit with ``StateDirectory=``.
    """
    chosen = os.environ.get("STATE_DIRECTORY")
    if chosen:
        return chosen.partition(":")[0]
    if os.geteuid() == 0:
        return "/var/lib/linesync"
    return os.path.join(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"), "linesync")


def system_boot() -> str:
    """The boot id of this machine's kernel, or an empty string if it cannot be read."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read(64).strip()
    except (OSError, ValueError):
        return ""


BOOT = token()
"""The boot id of this process."""


def local_end(role: str, *, clean: bool, boot: str = BOOT, keeping: bool = False) -> LocalParameters:
    """The parameters that this end sends in its hello.

    :param role: ``c`` for an end that calls, ``l`` for an end that listens.
    :param clean: the line carries every byte unchanged, as a socket or a pipe does.
    :param boot: the boot id of this end.
    :param keeping: this end can continue a session after a restart of the hub.
    """
    return LocalParameters(
        role=role,
        boot=boot,
        frame=limits.PIPE_FRAME if clean else limits.SERIAL_FRAME,
        credit=limits.CREDIT_PIPE if clean else limits.CREDIT_SERIAL,
        flags=(_PIPE_FLAGS if clean else _LINE_FLAGS + _zstd()) + (hello_flags.KEEPING if keeping else ""),
    )


@cache
def _zstd() -> str:
    """The flag of an end that has Zstandard, or an empty string. Only lines with a baud rate use it."""
    return hello_flags.ZSTANDARD if PathFinder.find_spec("zstandard") is not None else ""
