"""Encodes operations as text and decodes them, by the rules of the package."""

from __future__ import annotations

import math
import re
from functools import lru_cache

from .. import limits
from ..errors import LinesyncError, LinesyncFailed, Unsupported, UsageError, error_for
from ..frozen_record import MISSING, Record
from . import escaping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, TypeVar

    M = TypeVar("M", bound="Message")

__all__ = [
    "Message",
    "Reply",
    "decode",
    "encode",
    "encode_error",
    "encode_ok",
    "read_error",
    "read_reply",
    "text_of",
]


class Message(Record):
    """The base class of every operation. ``VERB`` is the first word of its text."""

    VERB: ClassVar[str]


_NUMBER = re.compile(
    r"-?[0-9]{1,19}"
)  # int() would also accept spaces, underscores and the digits of all writing systems
_SHORT = 4096  # the maximum length of a message whose decoded form is cached
_SEPARATOR = "\x1f"  # between the items of an optional tuple


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")  # seconds, to the microsecond
    if isinstance(value, tuple):
        return _SEPARATOR.join(value)
    return str(value)


def _read(kind: str, text: str) -> Any:
    """Read a value of a type.

    :param kind: the type as in an annotation.
    :raises ValueError: the text is invalid. The message is the reason as a clause.
    """
    if kind in ("int", "int | None"):
        if not _NUMBER.fullmatch(text):
            raise ValueError("it is not a whole number of at most 19 digits")
        return int(text)
    if kind == "bool":
        if text not in ("0", "1"):
            raise ValueError("it is not 0 or 1")
        return text == "1"
    if kind == "float | None":
        try:
            value = math.nan if "_" in text else float(text)
        except ValueError:
            value = math.nan
        if math.isnan(value):
            raise ValueError("it is not a number")
        if not 0 <= value < 1e12:
            raise ValueError("it is out of range")
        return value
    if kind.startswith("tuple"):
        return tuple(text.split(_SEPARATOR)) if text else ()
    return text


def encode(message: Message) -> str:
    """Write an operation as text."""
    positional: list[str] = [message.VERB]
    options: dict[str, str] = {}
    for name, (_, default) in message.FIELDS.items():
        value = getattr(message, name)
        if default is not MISSING:
            if value != default:
                options[name] = _write(value)
        elif isinstance(value, tuple):
            positional += value
        else:
            positional.append(_write(value))
    return escaping.join(positional, options)


@lru_cache(maxsize=256, typed=True)
def text_of(cls: type[Message], *values: Any) -> str:
    """The text that :func:`encode` writes for ``cls(*values)``; cached for recent calls."""
    return encode(cls(*values))


def decode(text: str, *classes: type[Message]) -> Message:
    """Read an operation that is one of ``classes``.

    :raises UsageError: the text is malformed.
    :raises LinesyncFailed: the operation is not one of these.
    :raises Unsupported: it has a required option that this side does not know.
    """
    return (_decode_cached if len(text) <= _SHORT else _decode)(text, classes)


def _decode(text: str, classes: tuple[type[Message], ...]) -> Message:
    try:
        positional, options = escaping.split(text)
    except ValueError as error:
        raise UsageError(f"malformed message: {error}") from None
    verb = positional.pop(0) if positional else ""
    for cls in classes:
        if verb == cls.VERB:
            return _build(cls, positional, options)
    raise LinesyncFailed(
        f"the operation {verb!r} is not known here (protocol version {limits.VERSION}); update linesync on this side"
    )


_decode_cached = lru_cache(maxsize=512)(_decode)  # scripts repeat their requests, and messages are immutable


def _build(cls: type[M], positional: list[str], options: dict[str, str]) -> M:
    values: dict[str, Any] = {}
    for name, (kind, default) in cls.FIELDS.items():
        if default is MISSING and kind.startswith("tuple"):
            values[name], positional = tuple(positional), []
            continue
        if default is MISSING:
            if not positional:
                raise UsageError(f"malformed {cls.VERB} message: the field {name} is missing")
            text = positional.pop(0)
        elif name in options:
            text = options.pop(name)
        else:
            continue
        try:
            values[name] = _read(kind, text)
        except ValueError as error:
            raise UsageError(f"invalid {name} {text[:32]!r} in a {cls.VERB} message: {error}") from None
    needed = [key for key in options if key[:1].isupper()]
    if needed:
        raise Unsupported(
            f"{cls.VERB} needs {', '.join(needed)}, which this side (protocol version {limits.VERSION}) does not know;"
            " update linesync on this side"
        )
    return cls(**values)


def encode_ok(*reply: str, **options: str | int | tuple[str, ...]) -> str:
    """The text of a positive reply, without its id. Options that are 0 or empty are omitted."""
    if not options:
        return " ".join(["ok", *map(escaping.quote, reply)])
    return escaping.join(["ok", *reply], {key: _write(value) for key, value in options.items() if value})


def encode_error(error: LinesyncError) -> str:
    """The text of an error, for a reply (without its id) or as the last message of a channel."""
    parts = ["err", error.code, error.message]
    if error.details:
        import json  # imported only for errors with details

        parts.append(json.dumps(error.details, separators=(",", ":"), default=str))
    return escaping.join(parts)


def read_error(text: str) -> LinesyncError | None:
    """The error in a text, or None."""
    if not text.startswith("err "):
        return None
    try:
        positional, _ = escaping.split(text)
        import json

        details = json.loads(positional[3]) if len(positional) > 3 else None
        return error_for(positional[1], positional[2], details if isinstance(details, dict) else None)
    except (ValueError, IndexError, RecursionError):  # RecursionError: the JSON has a thousand levels
        return LinesyncFailed(
            "the other side sent an error that cannot be read; update linesync on one of the two sides"
        )


class Reply(list[str]):
    """The positional words of a positive reply.

    :ivar options: the options after these words; an older reader ignores them.
    """

    def __init__(self, positional: list[str], options: dict[str, str]) -> None:
        super().__init__(positional)
        self.options = options

    def texts(self, option: str) -> tuple[str, ...]:
        """The items of an option that is a list of texts."""
        text = self.options.get(option)
        return tuple(text.split(_SEPARATOR)) if text else ()


def read_reply(text: str) -> Reply:
    """Read a positive reply, without its id.

    :raises LinesyncError: the reply is this error, or it is malformed.
    """
    if text.startswith("ok ") and escaping.is_simple(text):
        return Reply(text.split(" ")[1:], {})
    error = read_error(text)
    if error is not None:
        raise error
    try:
        positional, options = escaping.split(text)
    except ValueError:
        positional, options = [], {}
    if not positional or positional[0] != "ok":
        raise LinesyncFailed("the other side sent a reply that cannot be read; update linesync on one of the two sides")
    return Reply(positional[1:], options)
