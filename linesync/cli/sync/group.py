"""``linesync group``."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress

from ...errors import LinesyncFailed, UsageError
from ...numbers import read_whole
from ..common import connection, namespace_option, print_json, timeout_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...client.blocking import BlockingClient
    from ...model.state.group import GroupState

HELP = "let this host join or leave a group, show the members, or wait for them"
EXAMPLES = """\
  linesync group join cluster            this host is a member until it leaves or is lost
  linesync group wait cluster --members 3
      wait until there are 3 members, and print them
  linesync group members cluster         print the members, the oldest first
  linesync group members cluster --watch
      print each view, until Ctrl-C
  linesync group leave cluster
"""
ACTIONS = ("join", "leave", "members", "wait")
_MEMBERS_MOST = 1000


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = """\
linesync group join|leave GROUP [--tag TAG] [--quorum N]
       linesync group members GROUP [--watch]
       linesync group wait GROUP --members N [--timeout S]"""
    parser.add_argument("action", metavar="join|leave|members|wait", choices=ACTIONS, help="the action")
    parser.add_argument("group", metavar="GROUP", help="the name of the group; the first member creates it")
    parser.add_argument("--tag", metavar="TAG", default="", help="for join and leave: the member is HOST#TAG")
    parser.add_argument(
        "--quorum", metavar="N", help="for join: the smallest number of members of the group (default: 0)"
    )
    parser.add_argument("--members", metavar="N", help="for wait: the number of members")
    parser.add_argument("-w", "--watch", action="store_true", help="for members: follow the views until Ctrl-C")
    timeout_option(parser, "group")
    namespace_option(parser, "group")


def run(args: argparse.Namespace) -> int:
    uses = {"tag": ("join", "leave"), "quorum": ("join",), "members": ("wait",), "watch": ("members",)}
    for name, actions in uses.items():
        if getattr(args, name) and args.action not in actions:
            raise UsageError(f"--{name} is for 'group {actions[0]}', not for 'group {args.action}'; omit it")
    if args.action == "wait" and args.members is None:
        raise UsageError("'group wait' needs --members N, the number of members to wait for")
    with connection(args) as client:
        return {"join": _join, "leave": _leave, "members": _members, "wait": _wait}[args.action](client, args)


def _join(client: BlockingClient, args: argparse.Namespace) -> int:
    quorum = 0 if args.quorum is None else read_whole(args.quorum, "quorum", 0, _MEMBERS_MOST)
    member = client.join_group(
        args.group, namespace=args.namespace, tag=args.tag, quorum=quorum, timeout=args.deadline.left
    )
    if args.json:
        print_json({"group": args.group, "member": member})
    return 0


def _leave(client: BlockingClient, args: argparse.Namespace) -> int:
    client.leave_group(args.group, namespace=args.namespace, tag=args.tag, timeout=args.deadline.left)
    if args.json:
        print_json({"group": args.group})
    return 0


def _wait(client: BlockingClient, args: argparse.Namespace) -> int:
    count = read_whole(args.members, "number of members", 1, _MEMBERS_MOST)
    members = client.wait_group(args.group, count, namespace=args.namespace, timeout=args.deadline.left)
    if args.json:
        print_json({"group": args.group, "members": list(members)})
    else:
        print("\n".join(members))
    return 0


def _members(client: BlockingClient, args: argparse.Namespace) -> int:
    if args.watch:
        return _watch(client, args)
    state = client.group_state(args.group, namespace=args.namespace, timeout=args.deadline.left)
    if args.json:
        print_json(state.as_json())
    elif state.members:
        print("\n".join(member.name for member in state.members))
    return 0


def _watch(client: BlockingClient, args: argparse.Namespace) -> int:
    """Print the state of the group now, and after each change of its view, until the hub ends the channel."""
    from ..look.changes import following

    with following(client, args.deadline) as changes:
        with suppress(LinesyncFailed):  # there is no such group yet
            _show(client, args)
        while True:
            views = 0
            while (change := changes.next_nowait()) is not None:
                views += change.kind == "view formed" and (change.namespace, change.name) == (
                    args.namespace,
                    args.group,
                )
            if views:
                _show(client, args)
            args.deadline.check("the members of the group")
            client.peer.turn(args.deadline.left)
    return 0


def _show(client: BlockingClient, args: argparse.Namespace) -> None:
    state = client.group_state(args.group, namespace=args.namespace, timeout=args.deadline.left)
    if args.json:
        print_json(state.as_json())
    else:
        print(in_words(state))
    sys.stdout.flush()


def in_words(state: GroupState) -> str:
    """A view on one line."""
    members = ", ".join(member.name for member in state.members) or "no members"
    if not state.short:
        return f"{state.ring}: {members}"
    missing = ", ".join(f"{name} ({why})" for name, why in state.missing.items()) or "others"
    return f"{state.ring}: {members}; short of {state.terms.quorum}, missing: {missing}"
