"""Shared by the commands: options that have settings, the connection, and output."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from ..client.settings.places import find_hub, place_of_setting, setting
from ..errors import UsageError
from ..numbers import read_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO, TypeVar

    from ..client.blocking import BlockingClient
    from ..client.sync import TopicMessage

    T = TypeVar("T")

__all__ = [
    "argument_type",
    "bytes_as_json",
    "connection",
    "member_option",
    "namespace_option",
    "option",
    "option_values",
    "print_json",
    "print_messages",
    "print_notice",
    "seconds",
    "table",
    "timeout_option",
]


_SWITCH = {
    "1": True,
    "yes": True,
    "true": True,
    "on": True,
    "0": False,
    "no": False,
    "false": False,
    "off": False,
    "": False,
}


def option(
    parser: argparse.ArgumentParser, command: str, name: str, *, many: bool = False, flag: bool = False, **keywords: Any
) -> None:
    """Add the option ``--name``. Its default is its setting: the variable LINESYNC_NAME or the key in linesync.toml.

    :param many: the option may be repeated; :func:`option_values` returns its values.
    :param flag: the option takes no value.
    :param keywords: arguments of ``add_argument``, and ``fallback``: the default if there is no setting.
    :raises UsageError: the setting has an invalid value.
    """
    default = setting(name, command)
    if flag:
        enabled = default if isinstance(default, bool | None) else _SWITCH.get(default.lower())
        if default is not None and enabled is None:
            raise _wrong_setting(name, f"invalid value {default!r}: expected {', '.join(filter(None, _SWITCH))}")
        parser.add_argument(f"--{name}", action="store_true", default=bool(enabled), **keywords)
        return
    if many:
        values = default.split() if isinstance(default, str) else list(default or [])
        parser.add_argument(f"--{name}", action="append", default=None, **keywords)
        parser.set_defaults(**{f"_{name.replace('-', '_')}": values})
        return
    read = keywords.get("type", str)
    if default is not None:
        try:
            default = read(str(default))
        except (ValueError, argparse.ArgumentTypeError) as error:
            raise _wrong_setting(name, error) from None
    else:
        default = keywords.pop("fallback", None)
    keywords.pop("fallback", None)
    parser.add_argument(f"--{name}", default=default, **keywords)


def _wrong_setting(name: str, why: object) -> UsageError:
    return UsageError(f"the setting {name} is wrong: {why}; correct it in {place_of_setting(name)}")


def option_values(args: argparse.Namespace, name: str) -> list[str]:
    """The values of an option that may be repeated, from the command line or else from its setting."""
    values: list[str] = getattr(args, name) or getattr(args, f"_{name}")
    return values


def argument_type(read: Callable[[str], T]) -> Callable[[str], T]:
    """Make a ``type`` for argparse from a function that raises UsageError. argparse then adds the option's name to the error."""

    def convert(text: str) -> T:
        try:
            return read(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(error.message) from None

    return convert


seconds = argument_type(read_seconds)
"""The ``type`` of an argument that is a number of seconds."""

_TIMEOUT_HELP = "give up after S seconds; 0 does not wait (default: wait without limit)"


def timeout_option(parser: argparse.ArgumentParser, command: str = "") -> None:
    """Add the option ``--timeout``, which :func:`connection` also uses.

    :param command: the command whose setting is the default; empty for a command that does not synchronise.
    """
    if command:
        option(parser, command, "timeout", type=seconds, metavar="S", help=_TIMEOUT_HELP)
    else:
        parser.add_argument("--timeout", type=seconds, metavar="S", help=_TIMEOUT_HELP.replace("; 0 does not wait", ""))


def member_option(parser: argparse.ArgumentParser, command: str, verb: str) -> None:
    option(parser, command, "as", metavar="MEMBER", dest="member", fallback="", help=f"{verb} as this member")


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

    The command's timeout begins now and includes the time to connect. The function stores it in ``args.deadline``.

    :raises TimedOut: no hub or agent answers within the command's timeout.
    :raises LinesyncFailed: no hub or agent answers at this endpoint.
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
            print_notice(text, as_json=args.json)

    args.deadline = deadline = Deadline(getattr(args, "timeout", None))
    client = connect_blocking(find_hub() if args.hub is None else args.hub, notice, timeout=deadline.to_connect)
    # linesync sets this variable for a command that runs while a lock or units are held. The hub needs it to find deadlocks.
    client.operations.within = os.environ.get("LINESYNC_WITHIN", "")
    return client


def print_json(value: object, *, file: TextIO | None = None) -> None:
    """Print a document on one line. Each age in the document gets a second field with the point in time.

    :param file: the stream; stdout by default.
    """
    import json
    import time

    from ..timestamps import with_times

    value = with_times(value, time.time())
    text = json.dumps(value, default=str)
    if "\\udc" in text:  # the text may contain a byte that is not UTF-8
        text = json.dumps(_without_surrogates(value), default=str)
    print(text, file=file)


def _without_surrogates(value: Any) -> Any:
    """The document with ``{"base64": ...}`` instead of each string that is not UTF-8."""
    if isinstance(value, str):
        try:
            return bytes_as_json(value.encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError:  # a surrogate that does not stand for a byte
            return bytes_as_json(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _without_surrogates(item) for key, item in value.items()}
    return value


def print_notice(sentence: str, *, as_json: bool) -> None:
    """Print a notice on stderr."""
    if as_json:
        import json
        import time

        from ..timestamps import utc

        sentence = json.dumps({"notice": sentence, "time": utc(time.time())})
    print(sentence if as_json else f"linesync: {sentence}", end=_line_end(), file=sys.stderr, flush=True)


def _line_end() -> str:
    """The end of a line on stderr. A terminal that is raw (``shell``, ``run -t``) also needs a carriage return."""
    if not os.isatty(2):
        return "\n"
    import termios

    return "\n" if termios.tcgetattr(2)[1] & termios.OPOST else "\r\n"


def bytes_as_json(value: bytes | bytearray) -> object:
    """The bytes as JSON: a string if they are UTF-8, else an object with ``base64``."""
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
