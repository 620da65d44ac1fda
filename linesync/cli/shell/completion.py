"""``linesync completion``: prints the completion scripts. The scripts call it with ``--words`` to get candidates."""

from __future__ import annotations

import argparse
import os

from ...errors import LinesyncError, UsageError
from ..common import print_json

HELP = "print the completion script of a shell: it completes commands, options, files, hosts and names"
EXAMPLES = """\
  eval "$(linesync completion bash)"        in ~/.bashrc
  source <(linesync completion zsh)         in ~/.zshrc, after compinit
  linesync completion fish | source         in ~/.config/fish/config.fish
  linesync completion bash > /etc/bash_completion.d/linesync
      for all users, if bash-completion is installed
"""
SHELLS = ("bash", "zsh", "fish")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "linesync completion bash|zsh|fish"
    parser.add_argument("words", metavar="bash|zsh|fish", nargs="*", help="the shell")
    # For the scripts: --words -- WORD ... prints the possible completions of the last word.
    parser.add_argument("--words", dest="ask", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    if args.ask:
        _print_candidates(args.words or [""])
        return 0
    if len(args.words) != 1 or args.words[0] not in SHELLS:
        raise UsageError(f"name one shell, {', '.join(SHELLS)}, as in: linesync completion bash")
    (shell,) = args.words
    with open(os.path.join(os.path.dirname(__file__), f"linesync.{shell}"), encoding="utf-8") as file:
        script = file.read()
    print_json({"shell": shell, "script": script}) if args.json else print(script, end="")
    return 0


def _print_candidates(words: list[str]) -> None:
    """Print the candidates for the last word.

    The first line contains the kind of words that the shell itself adds, and the prefix that the shell removes before. Each
    further line contains a candidate and its description. A tab separates the two fields of a line. Errors are not printed,
    because the user has not finished the command line.
    """
    from .candidates import complete

    try:
        found = complete(words)
    except LinesyncError:
        print("nothing\t")
        return
    print(f"{found.also}\t{found.prefix}")
    for word, description in found.words:
        if not any(byte < " " for byte in word):
            print(f"{word}\t{description}")
