"""``linesync completion``."""

from __future__ import annotations

import argparse

from ..errors import LinesyncFailed

HELP = "print the completion script of a shell"
EXAMPLES = """\
  linesync completion bash > /etc/bash_completion.d/linesync
  linesync completion zsh > "${fpath[1]}/_linesync"
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="which shell")


def run(args: argparse.Namespace) -> int:
    from .main import build_parser

    try:
        import shtab
    except ImportError:
        raise LinesyncFailed(
            "completion scripts are made by the package shtab, which is not installed;"
            " pip install 'linesync[completion]'"
        ) from None
    print(shtab.complete(build_parser(), args.shell))
    return 0
