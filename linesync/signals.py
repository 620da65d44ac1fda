"""The signals that a client sends to a command on a host."""

from __future__ import annotations

import signal

from .errors import UsageError

__all__ = ["signal_number"]

_MOST = 64


def signal_number(value: str | int) -> int:
    """The number of a signal.

    :param value: its number, or its name with or without SIG, as in ``TERM``.
    :raises UsageError: there is no such signal.
    """
    if isinstance(value, int):
        number = value
    elif value.isdecimal() and value.isascii():
        number = int(value[:4])
    else:
        name = value.upper()
        try:
            number = signal.Signals[name if name.startswith("SIG") else f"SIG{name}"].value
        except KeyError:
            number = 0
    if not 1 <= number <= _MOST:
        raise UsageError(f"unknown signal {value!r}: expected a name such as TERM, or a number from 1 to {_MOST}")
    return number
