"""The transports: byte pipes that do not know frames.

:func:`connect` opens the line of an endpoint, and :func:`listen` accepts lines on an endpoint. Each kind of endpoint has its
own module. The module is imported when the first endpoint of this kind is opened. A command that uses only a local socket
therefore does not import pyserial.
"""

from __future__ import annotations

from ..errors import UsageError
from .endpoint import (
    Endpoint,
    ExecEndpoint,
    SerialEndpoint,
    StdioEndpoint,
    TcpEndpoint,
    UnixEndpoint,
    absolute,
    is_loopback,
    parse_endpoint,
)
from .interface import Door, Line, LineInfo, LineReceiver, Listener, ReceiverFactory

__all__ = [
    "Door",
    "Endpoint",
    "ExecEndpoint",
    "Line",
    "LineInfo",
    "LineReceiver",
    "Listener",
    "ReceiverFactory",
    "SerialEndpoint",
    "StdioEndpoint",
    "TcpEndpoint",
    "UnixEndpoint",
    "absolute",
    "connect",
    "is_loopback",
    "listen",
    "parse_endpoint",
]


async def connect(endpoint: str | Endpoint, factory: ReceiverFactory) -> Line:
    """Open the line of an endpoint, and return it after ``line_made``.

    :param factory: makes the receiver of the line; called when the line is open.
    :raises UsageError: the endpoint is not valid.
    :raises BusyError: another process uses it.
    :raises LinesyncFailed: the line cannot be opened. The message contains the reason and an instruction.
    """
    place = parse_endpoint(endpoint) if isinstance(endpoint, str) else endpoint
    match place:
        case TcpEndpoint():
            from .sockets import connect_tcp

            return await connect_tcp(place, factory)
        case UnixEndpoint():
            from .sockets import connect_unix

            return await connect_unix(place, factory)
        case StdioEndpoint():
            from .stdio import connect_stdio

            return await connect_stdio(place, factory)
        case ExecEndpoint():
            from .exec import connect_exec

            return await connect_exec(place, factory)
        case SerialEndpoint():
            from .serial.connect import connect_serial

            return await connect_serial(place, factory)
    raise UsageError(f"cannot connect to {place}: it is not an endpoint of a known kind")


async def listen(
    endpoint: str | Endpoint,
    factory: ReceiverFactory,
    *,
    mode: int = 0o600,
    group: str | None = None,
    door: Door | None = None,
) -> Listener:
    """Accept lines on a ``tcp://`` or ``unix:`` endpoint.

    :param factory: makes the receiver of each line.
    :param mode: the permission bits of a unix socket.
    :param group: a Unix group that may also use the unix socket; the mode is then 0660.
    :param door: decides about each connection; by default, all connections are accepted.
    :raises UsageError: the endpoint is not valid, or its kind cannot accept lines.
    :raises BusyError: another process listens on the endpoint.
    :raises LinesyncFailed: the endpoint cannot be opened. The message contains the reason and an instruction.
    """
    place = parse_endpoint(endpoint) if isinstance(endpoint, str) else endpoint
    match place:
        case TcpEndpoint():
            from .listeners import listen_tcp

            return await listen_tcp(place, factory, door)
        case UnixEndpoint():
            from .listeners import listen_unix

            return await listen_unix(place, factory, mode=mode, group=group, door=door)
    raise UsageError(
        f"cannot listen on {place}: its kind accepts no connections; listen on tcp://host:port or unix:/path"
    )
