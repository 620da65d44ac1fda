"""The prefix of each line of output when a command runs on several hosts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

__all__ = ["host_prefixes"]

_COLOURS = (36, 33, 32, 35, 34, 31)  # cyan, yellow, green, magenta, blue, red


def host_prefixes(hosts: Sequence[str], environ: Mapping[str, str] = os.environ) -> list[dict[int, bytes]]:
    """For each host, the prefix of a line on stdout (1) and on stderr (2). It has a colour only on a terminal, and not if the
    variable NO_COLOR is set."""
    colours = {number: os.isatty(number) and not environ.get("NO_COLOR") for number in (1, 2)}
    return [
        {number: _prefix(host, _COLOURS[n % len(_COLOURS)] if colours[number] else 0) for number in (1, 2)}
        for n, host in enumerate(hosts)
    ]


def _prefix(host: str, colour: int) -> bytes:
    return f"\x1b[{colour}m{host}:\x1b[0m ".encode() if colour else f"{host}: ".encode()
