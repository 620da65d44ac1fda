"""A script's connection to the hub, or to the agent on its host.

:func:`linesync.connect` returns the asyncio client of :mod:`linesync.client.aio`. :func:`linesync.connect_blocking` returns
the blocking client of :mod:`linesync.client.blocking`. Both have the operations of :mod:`linesync.client.operations`.
"""
