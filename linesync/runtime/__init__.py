"""The glue between the pure core and the machine: drivers, channels as streams, requests and replies, reconnection.

:mod:`linesync.runtime.conversation` and :mod:`linesync.runtime.streams` know no event loop;
:mod:`linesync.runtime.peer` drives them with asyncio and :mod:`linesync.runtime.blocking` with a plain socket, so that
small commands never import asyncio. Import the module you need; this package imports none of them.
"""
