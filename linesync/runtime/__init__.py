"""Connects the pure core to the machine: drivers, channels as streams, requests and replies, reconnection.

:mod:`linesync.runtime.conversation` and :mod:`linesync.runtime.streams` do not depend on an event loop.
:mod:`linesync.runtime.peer` drives them with asyncio, and :mod:`linesync.runtime.blocking` with a plain socket, so that
small commands do not import asyncio. This package imports none of its modules; import the one that you need.
"""
