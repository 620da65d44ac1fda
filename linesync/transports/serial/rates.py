"""Setting the rate of an open serial port."""

from __future__ import annotations

import termios

import serial

from ... import limits

__all__ = ["set_rate", "supported_rates"]


def set_rate(port: serial.SerialBase, baud: int) -> int:
    """Set an open port's rate.

    :returns: the rate that the port then has, in bits a second: the old one if the port does not accept the new one.
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
    """Whether the driver really uses this rate. A driver that does not support it stores the nearest rate in the settings."""
    constant = port.BAUDRATE_CONSTANTS.get(baud)
    try:
        settings = termios.tcgetattr(port.fileno())
    except (OSError, termios.error):
        return False
    return constant is None or settings[5] == constant


def supported_rates(port: serial.Serial) -> tuple[int, ...]:
    """Which of the rates for ``baud=auto`` a port accepts.

    Sets each of them to find out, then the port's own rate again.
    """
    before = int(port.baudrate)
    found = tuple(rate for rate in limits.CLIMB_RATES if set_rate(port, rate) == rate)
    set_rate(port, before)
    return found
