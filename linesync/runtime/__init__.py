"""Connects the pure core to the machine: drivers, channels as streams, requests and replies, reconnection.

:mod:`linesync.runtime.conversation` and :mod:`linesync.runtime.channels.streams` do not depend on an event loop.
:mod:`linesync.runtime.peer` drives them with asyncio. :mod:`linesync.runtime.blocking` drives them without asyncio, because
small commands should not import asyncio. This package does not import its modules; import the modules that you need.
"""
