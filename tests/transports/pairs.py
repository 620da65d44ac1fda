"""Pairs of joined lines for the conformance check, one function for each transport.

On a cable the second line is opened first, because opening a serial device discards bytes that arrived before.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from linesync.testing.conformance import MakePair, Pair, Recorder
from linesync.transports import Line, LineReceiver, ReceiverFactory, connect, listen
from tests.real import pty_pair
from tests.transports.rfc2217_server import Rfc2217Server

__all__ = [
    "exec_pair",
    "rfc2217_pair",
    "serial_pair",
    "socket_url_pair",
    "spy_pair",
    "stdio_pair",
    "tcp_pair",
    "unix_pair",
]

BRIDGE = [sys.executable, os.path.join(os.path.dirname(__file__), "stdio_bridge.py")]


def _transport(line: Line) -> Any:
    return cast(Any, line)._transport


def _reset(line: Line) -> None:
    """End a TCP line with a reset, as a machine that has lost the connection does."""
    sock = _transport(line).get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.abort()


@asynccontextmanager
async def _accepted(endpoint: str, second: ReceiverFactory) -> AsyncIterator[tuple[str, list[Recorder]]]:
    """Listen for the second line. Yields the endpoint to call, and the list to which the line is added."""
    accepted: list[Recorder] = []

    def factory() -> LineReceiver:
        accepted.append(cast(Recorder, second()))
        return accepted[-1]

    listener = await listen(endpoint, factory)
    try:
        yield listener.endpoint, accepted
    finally:
        await listener.aclose()


@asynccontextmanager
async def tcp_pair(first: ReceiverFactory, second: ReceiverFactory) -> AsyncIterator[Pair]:
    async with _accepted("tcp://127.0.0.1:0", second) as (endpoint, accepted):
        await connect(endpoint, first)

        yield Pair(
            stall=lambda: _transport(accepted[0].line).pause_reading(),
            resume=lambda: _transport(accepted[0].line).resume_reading(),
            cut=lambda: _reset(accepted[0].line),
        )


@asynccontextmanager
async def unix_pair(first: ReceiverFactory, second: ReceiverFactory) -> AsyncIterator[Pair]:
    with tempfile.TemporaryDirectory() as directory:
        async with _accepted(f"unix:{directory}/socket", second) as (endpoint, accepted):
            line = await connect(endpoint, first)

            def cut() -> None:
                _transport(accepted[0].line).pause_reading()
                line.write(b"never read, so that the kernel reports the cut")
                accepted[0].line.abort()

            yield Pair(
                stall=lambda: _transport(accepted[0].line).pause_reading(),
                resume=lambda: _transport(accepted[0].line).resume_reading(),
                cut=cut,
            )


def _relay_pair(command: Callable[[str], list[str]]) -> MakePair:
    """An ``exec:`` line to a command that joins its stdin and stdout to a unix socket, the second line."""

    @asynccontextmanager
    async def make(first: ReceiverFactory, second: ReceiverFactory) -> AsyncIterator[Pair]:
        with tempfile.TemporaryDirectory() as directory:
            async with _accepted(f"unix:{directory}/socket", second) as (_endpoint, accepted):
                made = cast(Recorder, first())
                await connect(f"exec:{shlex.join(command(f'{directory}/socket'))}", lambda: made)
                await made.until(lambda: made.lost or (accepted and accepted[0].made), "the command should call")

                def send(number: int) -> None:
                    peer = accepted[0].line.info.peer
                    try:
                        os.kill(int(peer.split(",")[0].removeprefix("pid ")), number)
                    except ProcessLookupError:  # the command ended together with the line
                        pass

                yield Pair(
                    stall=lambda: send(signal.SIGSTOP),
                    resume=lambda: send(signal.SIGCONT),
                    cut=lambda: send(signal.SIGKILL),
                )

    return make


exec_pair = _relay_pair(lambda path: ["socat", "-", f"UNIX-CONNECT:{path}"])


def stdio_pair(prefix: list[str] | None = None) -> MakePair:
    """Pairs whose command runs a ``stdio:`` line of linesync.

    :param prefix: the argv of ssh, if the command runs through ssh.
    """

    def command(path: str) -> list[str]:
        bridge = [*BRIDGE, path]
        return [*prefix, shlex.join(bridge)] if prefix else bridge

    return _relay_pair(command)


@asynccontextmanager
async def serial_pair(first: ReceiverFactory, second: ReceiverFactory) -> AsyncIterator[Pair]:
    with pty_pair() as pair:
        await connect(f"{pair.right},115200,8N1", second)
        await connect(pair.left, first)
        yield Pair(stall=pair.stall, resume=pair.resume, cut=pair.cut)


@asynccontextmanager
async def spy_pair(first: ReceiverFactory, second: ReceiverFactory) -> AsyncIterator[Pair]:
    with pty_pair() as pair, tempfile.TemporaryDirectory() as directory:
        await connect(pair.right, second)
        await connect(f"spy://{pair.left}?file={directory}/spy", first)
        yield Pair(stall=pair.stall, resume=pair.resume, cut=pair.cut)


@asynccontextmanager
async def socket_url_pair(first: ReceiverFactory, second: ReceiverFactory) -> AsyncIterator[Pair]:
    async with _accepted("tcp://127.0.0.1:0", second) as (endpoint, accepted):
        made = cast(Recorder, first())
        await connect(endpoint.replace("tcp:", "socket:"), lambda: made)
        await made.until(lambda: accepted and accepted[0].made, "the listener should accept")
        yield Pair(
            stall=lambda: _transport(accepted[0].line).pause_reading(),
            resume=lambda: _transport(accepted[0].line).resume_reading(),
            cut=lambda: _reset(accepted[0].line),
        )


@asynccontextmanager
async def rfc2217_pair(first: ReceiverFactory, second: ReceiverFactory) -> AsyncIterator[Pair]:
    with pty_pair() as pair, Rfc2217Server(pair.left) as server:
        await connect(pair.right, second)
        await connect(f"rfc2217://127.0.0.1:{server.port},115200", first)
        yield Pair(stall=pair.stall, resume=pair.resume, cut=server.hang_up)
