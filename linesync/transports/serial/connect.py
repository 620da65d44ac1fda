"""Opens a serial endpoint: a device with the event loop, a URL with two threads.

pyserial-asyncio needs the descriptor of a real tty. Most ports of URLs (``loop://``, ``rfc2217://``, ``socket://``,
``spy://`` ...) do not have such a descriptor, so threads serve all URLs.
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
    """Open a serial device or URL. No other process can use it at the same time.

    :raises BusyError: another process uses the device.
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
        info = _with_rates(info, limits.CLIMB_RATES)  # an attempt to set a rate shows later whether the port accepts it
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
    """Open a URL in a thread, because the connection to a server and the negotiation may take seconds."""
    from .thread_line import READ_SECONDS

    def work() -> serial.SerialBase:
        return serial.serial_for_url(endpoint.url, timeout=READ_SECONDS, **port_settings(endpoint))

    try:
        return await run_blocking(work, endpoint.url, lambda port: port.close())
    except Exception as error:  # pyserial's ports raise errors of many classes
        raise not_open(endpoint, error) from error
