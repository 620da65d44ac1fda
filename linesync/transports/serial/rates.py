"""Sets the rate of an open serial port."""

from __future__ import annotations

import termios

import serial

from ... import limits

__all__ = ["set_rate", "supported_rates"]


def set_rate(port: serial.SerialBase, baud: int) -> int:
    """Set the rate of an open port.

    :param baud: the new rate in bits a second.
    :returns: the rate of the port after the call, in bits a second. It is the old rate if the port does not accept the new
        rate.
    """
    before = int(port.baudrate)
    try:
        port.baudrate = baud
    except Exception:  # pyserial's ports raise errors of many classes
        port.baudrate = before
        return before
    if not isinstance(port, serial.Serial) or _driver_has(port, baud):
        return baud
    port.baudrate = before
    return before


def _driver_has(port: serial.Serial, baud: int) -> bool:
    """Whether the driver really uses this rate. A driver that does not support the rate stores the nearest rate instead."""
    constant = port.BAUDRATE_CONSTANTS.get(baud)
    try:
        settings = termios.tcgetattr(port.fileno())
    except (OSError, termios.error):
        return False
    return constant is None or settings[5] == constant


def supported_rates(port: serial.Serial) -> tuple[int, ...]:
    """The rates for ``baud=auto`` that a port accepts, in bits a second.

    The function sets each of the rates, and at the end the previous rate of the port.
    """
    before = int(port.baudrate)
    found = tuple(rate for rate in limits.CLIMB_RATES if set_rate(port, rate) == rate)
    set_rate(port, before)
    return found
