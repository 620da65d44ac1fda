"""The transports: byte pipes that know no frames.

:func:`connect` opens the line an endpoint names and :func:`listen` accepts lines on one. Each kind lives in a
    module of its own that is imported when the first endpoint of its kind is opened, so that a command that
    only talks to a local socket never pays for pyserial.
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
    is_loopback,
    parse_endpoint,
)
from .interface import Line, LineInfo, LineReceiver, Listener, ReceiverFactory

__all__ = [
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
    "connect",
    "is_loopback",
    "listen",
    "parse_endpoint",
]


async def connect(endpoint: str | Endpoint, factory: ReceiverFactory) -> Line:
    """Open the line that ``endpoint`` names.

    ``factory`` is called once the line is open, and ``line_made`` has been called when this returns.

    :raises UsageError: the endpoint is not written right.
    :raises BusyError: somebody else holds it.
    :raises LinesyncFailed: it cannot be opened; the sentence says why and what to do.
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
    raise UsageError(f"{place} is no endpoint that can be connected to")


async def listen(
    endpoint: str | Endpoint,
    factory: ReceiverFactory,
    *,
    mode: int = 0o600,
    group: str | None = None,
) -> Listener:
    """Accept lines on a ``tcp://`` or ``unix:`` endpoint; ``factory`` makes one receiver for each.

    :param mode: permissions of a unix socket.
    :param group: a group that may use the unix socket as well; the mode is then 0660.
    :raises UsageError: the endpoint is not written right or is of a kind that nobody can call.
    :raises BusyError: somebody else listens there.
    :raises LinesyncFailed: it cannot be opened; the sentence says why and what to do.
    """
    place = parse_endpoint(endpoint) if isinstance(endpoint, str) else endpoint
    match place:
        case TcpEndpoint():
            from .listeners import listen_tcp

            return await listen_tcp(place, factory)
        case UnixEndpoint():
            from .listeners import listen_unix

            return await listen_unix(place, factory, mode=mode, group=group)
    raise UsageError(f"nobody can call {place}, so it cannot be listened on; listen on tcp://host:port or unix:/path")
