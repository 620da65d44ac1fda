"""Shared by the commands: options that have settings, the connection, and output."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence

from ..client.places import find_hub, setting
from ..errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..client.blocking import BlockingClient
    from ..client.sync import TopicMessage

__all__ = [
    "bytes_as_json",
    "connection",
    "integer",
    "namespace_option",
    "option",
    "option_values",
    "print_json",
    "print_messages",
    "say",
    "seconds",
    "table",
    "timeout_option",
]

_SECONDS_MAX = 10 * 365 * 86400  # the hub's own limit


def option(
    parser: argparse.ArgumentParser, command: str, name: str, *, many: bool = False, flag: bool = False, **how: Any
) -> None:
    """Add the option ``--name``. Its default is its setting: the variable LINESYNC_NAME or the key in linesync.toml.

    :param many: the option may be repeated; :func:`option_values` returns its values.
    :param flag: the option takes no value.
    :param how: arguments of ``add_argument``, and ``fallback``: the default where there is no setting.
    :raises UsageError: the setting has an invalid value.
    """
    default = setting(name, command)
    if flag:
        on = default is True or str(default).lower() in ("1", "yes", "true", "on")
        parser.add_argument(f"--{name}", action="store_true", default=on, **how)
        return
    if many:
        values = default.split() if isinstance(default, str) else list(default or [])
        parser.add_argument(f"--{name}", action="append", default=None, **how)
        parser.set_defaults(**{f"_{name.replace('-', '_')}": values})
        return
    kind = how.get("type", str)
    if default is not None:
        try:
            default = kind(str(default))
        except (ValueError, argparse.ArgumentTypeError) as error:
            raise UsageError(
                f"the setting {name} is wrong: {error}; correct it in the environment or in linesync.toml"
            ) from None
    else:
        default = how.pop("fallback", None)
    how.pop("fallback", None)
    parser.add_argument(f"--{name}", default=default, **how)


def option_values(args: argparse.Namespace, name: str) -> list[str]:
    """The values of an option that may be repeated: those of the command line, or else those of its setting."""
    values: list[str] = getattr(args, name) or getattr(args, f"_{name}")
    return values


def integer(text: str) -> int | None:
    """An integer of up to 18 digits, or None if the text is not one. int() would also accept blanks and underscores."""
    return int(text) if re.fullmatch("[+-]?[0-9]{1,18}", text, re.ASCII) else None


def seconds(text: str) -> float:
    """An argument in seconds, from 0 to ten years."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"invalid time {text!r}: expected 0 to {_SECONDS_MAX} seconds")
    return value


_TIMEOUT_HELP = "give up after S seconds; 0 does not wait (default: wait without limit)"


def timeout_option(parser: argparse.ArgumentParser, command: str = "") -> None:
    """Add the option ``--timeout``, which :func:`connection` also uses.

    :param command: the command whose setting is the default; empty for a command that does not synchronise.
    """
    if command:
        option(parser, command, "timeout", type=seconds, metavar="S", help=_TIMEOUT_HELP)
    else:
        parser.add_argument("--timeout", type=seconds, metavar="S", help=_TIMEOUT_HELP.replace("; 0 does not wait", ""))


def namespace_option(parser: argparse.ArgumentParser, command: str) -> None:
    option(
        parser,
        command,
        "namespace",
        metavar="NS",
        fallback="default",
        help="the namespace of the name (default: 'default')",
    )


def connection(args: argparse.Namespace) -> BlockingClient:
    """Connect to the hub or agent that the command line or the settings name.

    The command's timeout begins now, and connecting takes its part of it: ``args.deadline`` knows what is left.

    :raises TimedOut: no hub or agent answers within the command's timeout.
    :raises LinesyncFailed: no hub or agent answers there.
    """
    from ..client.blocking import connect_blocking
    from ..client.deadlines import Deadline

    printed: list[str] = []

    def notice(text: str) -> None:
        if text not in printed:
            printed.append(text)
            if "linesync.cli.progress" in sys.modules:  # only if a command shows its progress
                from .progress import clear_line

                clear_line()
            say(text, as_json=args.json)

    args.deadline = deadline = Deadline(getattr(args, "timeout", None))
    client = connect_blocking(args.hub or find_hub(), notice, timeout=deadline.to_connect)
    # Set when we run below a command that holds a lock or units: with it, the hub finds deadlocks through this command.
    client.operations.within = os.environ.get("LINESYNC_WITHIN", "")
    return client


def print_json(value: object) -> None:
    """Print a document on one line. Beside each age in it stands the point in time."""
    import json
    import time

    from ..timestamps import with_times

    print(json.dumps(with_times(value, time.time()), default=str))


def say(sentence: str, *, as_json: bool) -> None:
    """Print a notice on stderr."""
    if as_json:
        import json
        import time

        from ..timestamps import utc

        sentence = json.dumps({"notice": sentence, "time": utc(time.time())})
    print(sentence if as_json else f"linesync: {sentence}", file=sys.stderr, flush=True)


def bytes_as_json(value: bytes | bytearray) -> object:
    """Bytes as JSON: a string if they are UTF-8, or else an object with ``base64``."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        from base64 import b64encode

        return {"base64": b64encode(value).decode("ascii")}


def print_messages(found: Sequence[TopicMessage], *, as_json: bool) -> None:
    """Print each item of each message as a line ``sender:item``; for a message without items, only the sender."""
    if as_json:
        print_json([message.as_dict() for message in found])
        return
    for message in found:
        for item in message.items or ("",):
            print(f"{message.sender}:{item}" if item else message.sender)


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their headings. Without rows, print only the headings."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[n]) for line in [list(heads), *texts]) for n in range(len(heads))]
    for line in [list(heads), *texts]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
