"""``linesync policy``."""

from __future__ import annotations

import argparse

from ...errors import NotAllowed, UsageError
from ...model.participants import HUB
from ..common import connection, print_json, timeout_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...model.state.decision import Decision

HELP = "explain whether the hub's policy allows an operation: exit code 0 if it does, 7 if not"
EXAMPLES = """\
  linesync policy check sut hub run
      may a script on sut run commands on the controller?
  linesync policy check hub sut files --user alice
      may alice copy files to sut from the controller?
  linesync policy check ctl sut forward --connect localhost:22
      may a script on ctl forward connections to the ssh server of sut?
  linesync policy check sut build1 run --file new-policy.toml
      check a policy file before a hub uses it
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="check", choices=("check",), help="the action: check")
    parser.add_argument("source", metavar="FROM", help="the host of the script; 'hub' is the controller")
    parser.add_argument("to", metavar="TO", help="the host on which the operation works; 'hub' is the controller")
    parser.add_argument(
        "permission", metavar="DO", help="the permission: sync, look, run, files, forward, console or admin"
    )
    parser.add_argument("--user", metavar="USER", help="the user of a script on the controller, as a name or an id")
    parser.add_argument(
        "--connect", metavar="ADDRESS", default="", help="for DO forward: the address to which TO connects"
    )
    parser.add_argument(
        "--listen", metavar="ADDRESS", default="", help="for DO forward: the address on which TO listens"
    )
    parser.add_argument("--file", metavar="FILE", help="check this policy file instead of asking the hub")
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    if args.user is not None and args.source != HUB:
        raise UsageError(f"--user is for scripts on the controller only: use it with 'hub' as FROM, not {args.source}")
    user = None if args.user is None else _uid(args.user)
    decision = _from_file(args, user) if args.file else _from_hub(args, user)
    if args.json:
        print_json(decision.as_json())
    else:
        print(f"{'allowed' if decision.allowed else 'not allowed'}: {decision.why}")
    return 0 if decision.allowed else NotAllowed.exit_code


def _from_hub(args: argparse.Namespace, user: int | None) -> Decision:
    with connection(args) as client:
        return client.check_policy(
            args.source,
            args.to,
            args.permission,
            uid=user,
            connect=args.connect,
            listen=args.listen,
            timeout=args.deadline.left,
        )


def _from_file(args: argparse.Namespace, user: int | None) -> Decision:
    from ...hub.access.policy_file import read_policy
    from ...model.policy import asked_socket
    from ...model.state.principal import Principal
    from ...protocol.operations import check_permission

    check_permission(args.permission)
    policy = read_policy(args.file, required=True)
    socket = asked_socket(args.connect, args.listen)
    return policy.decide(Principal(line="", host=args.source, uid=user), args.permission, args.to, socket)


def _uid(user: str) -> int:
    """The user id of a user.

    :raises UsageError: there is no such user.
    """
    import pwd

    if user.isascii() and user.isdecimal() and len(user) < 11:
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):
        raise UsageError(f"unknown user {user!r}; give the name or the id of a user of the controller") from None
