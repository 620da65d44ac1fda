"""``linesync namespace``."""

from __future__ import annotations

import argparse
import os
import stat

from ...client.settings.places import setting
from ...errors import LinesyncError, UsageError
from ...jobs.commands.handover import begin_of, stat_of
from ...numbers import read_whole
from ..common import connection, print_json, print_notice, table, timeout_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...model.state.namespace import NamespaceState

HELP = "begin a namespace for this run, end it, or list the namespaces"
EXAMPLES = """\
  eval "$(linesync namespace new)" || exit
      give this script its own names; the hub removes them when the shell of the
      script ends
  linesync namespace end            end it now
  linesync namespace end run17      end another namespace
  linesync namespace list           list all namespaces with their owners
"""
_PID_MAX = 2**22  # of Linux


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="new|end|list", choices=("new", "end", "list"), help="the action")
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help="the namespace (default: for new, a new name; for end, LINESYNC_NAMESPACE)",
    )
    parser.add_argument(
        "--owner", metavar="PID", help="for new: the process that owns it (default: the shell that runs this command)"
    )
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    if args.owner is not None and args.action != "new":
        raise UsageError(f"--owner is for 'namespace new' only, not for 'namespace {args.action}'")
    try:
        return {"new": _new, "end": _end, "list": _list}[args.action](args)
    except LinesyncError as error:
        if args.action == "new" and not args.json and _in_pipe():
            print(f"(exit {error.exit_code})")  # otherwise the eval of the shell would succeed
        raise


def _in_pipe() -> bool:
    """Whether our stdout is a pipe, as in a command substitution."""
    mode = os.fstat(1).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _new(args: argparse.Namespace) -> int:
    if args.name == "":
        raise UsageError("the name of the namespace is empty; omit it to get a new name")
    expected = "the pid of a running process"
    owner = _shell() if args.owner is None else read_whole(args.owner, "owner", 1, _PID_MAX, expected=expected)
    if not (begin := begin_of(owner)):
        raise UsageError(f"invalid owner {str(owner)!r}: it is not running; expected {expected}")
    from ...client.operations import command_line

    with connection(args) as client:
        name = client.begin_namespace(
            args.name or "",
            pid=owner,
            begin=begin,
            command=command_line(_words(owner)),
            timeout=args.deadline.left,
        )
    if args.json:
        print_json({"namespace": name, "pid": owner})
        return 0
    import shlex

    print(f"export LINESYNC_NAMESPACE={shlex.quote(name)}")
    if os.isatty(1):
        print_notice('to use it in this shell, type: eval "$(linesync namespace new)"', as_json=False)
    return 0


def _end(args: argparse.Namespace) -> int:
    name = args.name if args.name is not None else setting("namespace", "namespace")
    if not name:
        raise UsageError("LINESYNC_NAMESPACE is not set; name the namespace to end")
    with connection(args) as client:
        forgotten, failed = client.end_namespace(str(name), timeout=args.deadline.left)
    if args.json:
        print_json({"namespace": name, "forgotten": forgotten, "failed": failed})
    else:
        print(f"removed: {forgotten}; failed waits: {failed}")
    return 0


def _list(args: argparse.Namespace) -> int:
    if args.name is not None:
        raise UsageError("'namespace list' takes no name; it lists all namespaces")
    with connection(args) as client:
        found = client.namespaces(timeout=args.deadline.left)
    if args.json:
        print_json([space.as_json() for space in found])
        return 0
    table(("NAMESPACE", "AGE", "HOST", "PID", "NAMES", "COMMAND"), [_row(space) for space in found])
    return 0


def _row(space: NamespaceState) -> tuple[object, ...]:
    owner = space.owner
    if owner is None or space.since is None:
        return space.name, "-", "-", "-", space.things, "-"
    return space.name, f"{space.since:.1f}s", owner.host, owner.pid or "-", space.things, owner.command


# -- the shell that runs this command ---------------------------------------------------------------------------------


def _shell() -> int:
    """The pid of the shell that will evaluate the output of this command.

    In ``eval "$(linesync namespace new)"`` our stdout is a pipe to that shell. Our parent may be a subshell, which has the
    same pipe as its stdout and ends when we end. The shell is therefore our first ancestor with another stdout.
    """
    output = os.fstat(1)
    pid = found = os.getppid()
    if not _in_pipe():
        return pid
    while found > 1:
        try:
            if not os.path.samestat(output, os.stat(f"/proc/{found}/fd/1")):
                return found
            found = int(stat_of(found)[1][1])
        except OSError:
            break  # the process belongs to another user, or has no stdout
    return found if found > 1 else pid


def _words(pid: int) -> list[str]:
    """The command of a process and its arguments; only its name if they cannot be read."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(4096).rstrip(b"\0").split(b"\0")
    except OSError:
        words = []
    if any(words):
        return [word.decode("utf-8", "replace") for word in words]
    try:
        return [stat_of(pid)[0]]
    except OSError:
        return []
