"""``linesync group``."""

from __future__ import annotations

import argparse
import os
import select
import sys
from contextlib import suppress

from ...errors import LinesyncFailed, TimedOut, UsageError
from ...numbers import read_whole
from ...program import read_stdin
from ..common import connection, namespace_option, print_json, timeout_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...client.blocking import BlockingClient
    from ...client.deadlines import Deadline
    from ...model.state.group import GroupState

HELP = "let this host join or leave a group, show the members, wait for them, or send them a message"
EXAMPLES = """\
  linesync group join cluster            this host is a member until it leaves or is lost
  linesync group wait cluster --members 3
      wait until there are 3 members, and print them
  linesync group members cluster         print the members, the oldest first
  linesync group members cluster --watch
      print each view, until Ctrl-C
  linesync group cast cluster "disk is full"
      send a message to all members; this host must be a member
  dmesg | linesync group cast cluster
  linesync group leave cluster
"""
ACTIONS = ("join", "leave", "members", "wait", "cast")
_MESSAGE_MAX = 1 << 20
_MEMBERS_MOST = 1000


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = """\
linesync group join|leave GROUP [--tag TAG] [--quorum N]
       linesync group cast GROUP [DATA] [--tag TAG] [--timeout S]
       linesync group members GROUP [--watch]
       linesync group wait GROUP --members N [--timeout S]"""
    parser.add_argument("action", metavar="|".join(ACTIONS), choices=ACTIONS, help="the action")
    parser.add_argument("group", metavar="GROUP", help="the name of the group; the first member creates it")
    parser.add_argument("data", metavar="DATA", nargs="?", help="for cast: the message; without DATA: stdin")
    parser.add_argument("--tag", metavar="TAG", default="", help="for join, leave and cast: the member is HOST#TAG")
    parser.add_argument(
        "--quorum", metavar="N", help="for join: the smallest number of members of the group (default: 0)"
    )
    parser.add_argument("--members", metavar="N", help="for wait: the number of members")
    parser.add_argument("-w", "--watch", action="store_true", help="for members: follow the views until Ctrl-C")
    timeout_option(parser, "group")
    namespace_option(parser, "group")


def run(args: argparse.Namespace) -> int:
    if args.data is not None and args.action != "cast":
        raise UsageError(f"DATA is for 'group cast', not for 'group {args.action}'; omit it")
    uses = {"tag": ("join", "leave", "cast"), "quorum": ("join",), "members": ("wait",), "watch": ("members",)}
    for name, actions in uses.items():
        if getattr(args, name) and args.action not in actions:
            raise UsageError(f"--{name} is for 'group {actions[0]}', not for 'group {args.action}'; omit it")
    if args.action == "wait" and args.members is None:
        raise UsageError("'group wait' needs --members N, the number of members to wait for")
    if args.action == "cast":
        return _cast(args)
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


def _cast(args: argparse.Namespace) -> int:
    from ...client.deadlines import Deadline

    deadline = Deadline(args.timeout)
    data = os.fsencode(args.data) if args.data is not None else _stdin(deadline)
    args.timeout = deadline.left
    if len(data) > _MESSAGE_MAX:
        raise UsageError("the message is larger than 1 MiB; send it in several messages")
    with connection(args) as client:
        client.cast_group(args.group, data, namespace=args.namespace, tag=args.tag, timeout=args.deadline.left)
    if args.json:
        print_json({"group": args.group, "bytes": len(data)})
    return 0


def _stdin(deadline: Deadline) -> bytes:
    """Read stdin to its end, or one byte more than a message may have."""
    data = b""
    while len(data) <= _MESSAGE_MAX:
        if deadline.over:
            raise TimedOut(f"timed out after {deadline.timeout:g} s while reading stdin; the message was not sent")
        if not select.select([0], [], [], deadline.left)[0]:
            continue
        chunk = read_stdin(_MESSAGE_MAX + 1 - len(data))
        if chunk == b"":
            break
        data += chunk or b""
    return data


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
