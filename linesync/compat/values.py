"""Convert Python values to JSON text and back without loss. Test processes exchange this text instead of pickles.

JSON has no bytes and no tuples, and its keys are always text. Such a value becomes an object with one key that begins with
``!``: ``{"!bytes": "<base64>"}``, ``{"!tuple": [...]}``, ``{"!dict": [[key, value], ...]}``. A dictionary with a key that
begins with ``!`` is also written as ``!dict``, so that it differs from these objects. Decoding creates only plain values and
runs no code.
"""

from __future__ import annotations

import json
from binascii import Error, a2b_base64, b2a_base64
from typing import Any

__all__ = ["dumps", "loads"]


def dumps(value: Any) -> bytes:
    """The value as JSON text in ASCII.

    :raises TypeError: the value contains an object that is not None, a boolean, a number, text, bytes, a list, a tuple or a
        dictionary; or the value contains itself.
    """
    try:
        return json.dumps(_plain(value), separators=(",", ":")).encode("ascii")
    except RecursionError:
        raise TypeError("the value contains itself or is nested too deeply; send a simpler value") from None


def loads(data: bytes) -> Any:
    """The value that :func:`dumps` converted.

    :raises ValueError: these bytes are not the output of :func:`dumps`.
    """
    try:
        return _value(json.loads(data))
    except (RecursionError, TypeError, Error) as error:
        raise ValueError(f"invalid value: {error}") from None


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return {"!bytes": b2a_base64(bytes(value), newline=False).decode("ascii")}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, tuple):
        return {"!tuple": [_plain(item) for item in value]}
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("!") for key in value):
            return {key: _plain(item) for key, item in value.items()}
        return {"!dict": [[_plain(key), _plain(item)] for key, item in value.items()]}
    raise TypeError(f"a {type(value).__name__} cannot be sent; give None, numbers, text, bytes, lists, tuples or dicts")


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_value(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    match list(plain.items()):
        case [("!bytes", str(text))]:
            return a2b_base64(text, strict_mode=True)
        case [("!tuple", list(items))]:
            return tuple(_value(item) for item in items)
        case [("!dict", list(pairs))]:
            return {_value(key): _value(item) for key, item in pairs}
    if any(key.startswith("!") for key in plain):
        raise ValueError(f"invalid value: an object with the keys {', '.join(plain)[:100]}")
    return {key: _value(item) for key, item in plain.items()}
