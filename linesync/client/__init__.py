"""A script's own connection to the hub, or to its host's agent.

:func:`linesync.connect` gives the asyncio client of :mod:`linesync.client.aio`, :func:`linesync.connect_blocking` the
one of :mod:`linesync.client.blocking`. What they can do is in :mod:`linesync.client.operations`, once for both.
"""
