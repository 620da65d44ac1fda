"""Opening a serial endpoint: a device on the event loop, a URL on two threads.

pyserial-asyncio needs the descriptor of a real tty. Every URL whose port does not have exactly that (``loop://``,
``rfc2217://``, ``socket://``, ``spy://`` ...) is served by threads.
"""

from __future__ import annotations

import asyncio

import serial

from ... import limits
from ...workers import run_blocking
from ..base_line import BaseLine
from ..endpoint import SerialEndpoint
from ..interface import LineInfo, ReceiverFactory
from .device import open_device, port_settings
from .device_line import connect_device
from .open_errors import not_open
from .rates import supported_rates

__all__ = ["connect_serial"]


async def connect_serial(endpoint: SerialEndpoint, factory: ReceiverFactory) -> BaseLine:
    """Open a serial device or URL, for this process alone.

    :raises BusyError: another process holds the device.
    :raises LinesyncFailed: there is no such device, it is not a serial device, this user may not open it, or pyserial
        could not open the URL.
    """
    info = LineInfo(
        endpoint=endpoint.text,
        kind="serial",
        peer=endpoint.url,
        baud=endpoint.baud,
        byte_rate=endpoint.byte_rate,
        shared=True,
        eight_bit=False,
    )
    if endpoint.is_device:
        port = await run_blocking(lambda: open_device(endpoint), endpoint.url, lambda port: port.close())
        if endpoint.climbs:
            port.rate_at_close = endpoint.baud
            info = _with_rates(info, supported_rates(port))
        return await connect_device(info, factory, port)
    from .thread_line import ThreadLine

    if endpoint.climbs:
        info = _with_rates(info, limits.CLIMB_RATES)  # whether the port accepts a rate shows only when it is set
    line = ThreadLine(asyncio.get_running_loop(), info, factory(), await _open_url(endpoint))
    line.start()
    return line


def _with_rates(info: LineInfo, rates: tuple[int, ...]) -> LineInfo:
    return LineInfo(
        endpoint=info.endpoint,
        kind=info.kind,
        peer=info.peer,
        baud=info.baud,
        byte_rate=info.byte_rate,
        rates=tuple(rate for rate in rates if rate != info.baud),
        shared=info.shared,
        eight_bit=info.eight_bit,
    )


async def _open_url(endpoint: SerialEndpoint) -> serial.SerialBase:
    """Open a URL in a thread: connecting to a server and negotiating with it may take seconds."""
    from .thread_line import READ_SECONDS

    def work() -> serial.SerialBase:
        return serial.serial_for_url(endpoint.url, timeout=READ_SECONDS, **port_settings(endpoint))

    try:
        return await run_blocking(work, endpoint.url, lambda port: port.close())
    except Exception as error:  # pyserial's ports raise errors of many classes
        raise not_open(endpoint, error) from error
