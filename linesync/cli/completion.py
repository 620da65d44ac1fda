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
            "cannot make a completion script, because the package shtab is not installed; install it with"
            " pip install 'linesync[completion]'"
        ) from None
    print(shtab.complete(build_parser(), args.shell))
    return 0
