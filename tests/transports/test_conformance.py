"""Every transport passes the same conformance check."""

from __future__ import annotations

import asyncio

import pytest

from linesync.testing.conformance import MakePair, check_transport
from tests.real import require, sshd
from tests.transports import pairs


@pytest.mark.parametrize("make_pair", [pairs.tcp_pair, pairs.unix_pair])
def test_sockets_conform(make_pair: MakePair) -> None:
    asyncio.run(check_transport(make_pair))


def test_a_command_conforms() -> None:
    require("socat")
    asyncio.run(check_transport(pairs.exec_pair, together=True))


def test_stdio_in_a_child_process_conforms() -> None:
    asyncio.run(check_transport(pairs.stdio_pair(), together=True))


@pytest.mark.real
def test_stdio_through_ssh_conforms() -> None:
    with sshd() as server:
        asyncio.run(check_transport(pairs.stdio_pair(server.ssh), together=True))


def test_a_serial_device_conforms() -> None:
    require("socat")
    asyncio.run(check_transport(pairs.serial_pair, half_close=False, together=True))


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")
@pytest.mark.parametrize("make_pair", [pairs.spy_pair, pairs.rfc2217_pair])
def test_a_thread_line_conforms_on_a_cable(make_pair: MakePair) -> None:
    require("socat")
    asyncio.run(check_transport(make_pair, half_close=False, bulk=256 << 10, together=True))


def test_a_thread_line_conforms_on_a_socket() -> None:
    asyncio.run(check_transport(pairs.socket_url_pair, together=True))
