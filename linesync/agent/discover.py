"""Finds the serial port on which a hub answers. It tries each port of the machine.

Only ``--port auto`` uses this module, because it sends bytes to every port, also to ports of other devices.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ..errors import LinesyncError
from ..runtime.peer import Peer
from ..runtime.user import User
from ..transports import connect

__all__ = ["find_port", "serial_ports"]

_ANSWER_TIME = 3.0  # seconds within which a hub must answer; normally it answers within 0.2 s
_PAUSE = 2.0  # seconds between rounds


def serial_ports() -> list[str]:
    """The paths of the machine's serial ports. Ports with known hardware come first."""
    from serial.tools.list_ports import comports

    return [port.device for port in sorted(comports(), key=lambda port: (port.hwid == "n/a", port.device))]


async def find_port(report: Callable[[str], None], ports: Callable[[], Sequence[str]] = serial_ports) -> str:
    """Try the ports until a hub answers, and return that port.

    :param report: called with sentences for the log.
    :param ports: returns the ports to try; called once for each round.
    """
    reported = ""
    while True:
        found = await asyncio.to_thread(ports)
        for port in found:
            if await _answers(port):
                return port
        text = f"no hub answers on {', '.join(found)}" if found else "this machine has no serial port"
        if text != reported:
            reported = text
            report(f"{text}; trying again until a hub answers")
        await asyncio.sleep(_PAUSE)


async def _answers(port: str) -> bool:
    peer = Peer(User(), "c")
    try:
        await connect(port, peer.receiver)
    except LinesyncError:
        return False  # the port is busy, or it is not a serial device
    try:
        async with asyncio.timeout(_ANSWER_TIME):
            await peer.ready()
    except TimeoutError:
        return False
    finally:
        await peer.aclose("looking for a hub")
    return True
