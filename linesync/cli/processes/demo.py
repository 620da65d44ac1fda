"""``linesync demo``."""

from __future__ import annotations

import argparse

HELP = "show linesync at work on this machine, step by step: a hub and two agents on null modems"
EXAMPLES = """\
  linesync demo    takes about ten seconds; writes only to a temporary directory
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments, because the command has none."""


def run(args: argparse.Namespace) -> int:
    from .demonstration import show  # imported late: shell completion imports this module and does not need asyncio

    show(as_json=args.json)
    return 0
