"""linesync: barriers, semaphores, commands and files for machines whose only link is a serial cable.

For scripts::

    import linesync

    with linesync.connect_blocking() as hub:
        hub.barrier("booted", 3, timeout=60)
        result = hub.run("sut", ["uname", "-r"])

asyncio programs use ``async with await linesync.connect() as hub``, which has the same methods. Without an endpoint,
both find the hub in the same way as the commands. The exceptions are in :mod:`linesync.errors`.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from .client.aio import Client
    from .client.blocking import BlockingClient

__all__ = ["__version__", "connect", "connect_blocking"]

__version__ = "0.1.0"


async def connect(endpoint: str = "", *, timeout: float | None = None) -> Client:
    """Connect to a hub or to this host's agent with asyncio.

    :param endpoint: the endpoint of the hub or agent. If it is empty, the first of these is used, as in the commands:
        ``LINESYNC_HUB``, linesync.toml, this machine's socket.
    :param timeout: seconds within which the hub or agent must answer; by default, 10 s for the connection and 10 s for
        the answer.
    :return: a client; use it with ``async with``.
    :raises linesync.errors.TimedOut: no hub or agent answers within ``timeout``.
    :raises linesync.errors.LinesyncFailed: no hub or agent answers there.
    """
    from .client.aio import connect
    from .client.settings.places import find_hub

    return await connect(find_hub() if endpoint == "" else endpoint, timeout=timeout)


def connect_blocking(endpoint: str = "", *, timeout: float | None = None) -> BlockingClient:
    """Connect to a hub or to this host's agent without asyncio. Parameters and errors are those of :func:`connect`."""
    from .client.blocking import connect_blocking
    from .client.settings.places import find_hub

    return connect_blocking(find_hub() if endpoint == "" else endpoint, timeout=timeout)
