"""The server side of SOCKS5."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync.client.jobs.socks import SocksServer

GREETING = b"\x05\x02\x00\x02"
ADDRESSES = {
    b"\x01\x0a\x00\x00\x07\x00\x50": "10.0.0.7:80",
    b"\x03\x09LOCALHOST\x1f\x90": "localhost:8080",
    b"\x03\x03::1\x00\x16": "[::1]:22",
    b"\x04" + bytes(15) + b"\x01\x00\x16": "[::1]:22",
}


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_request_arrives_in_pieces_of_any_size(address: bytes, size: int) -> None:
    server, replies = SocksServer(), b""
    data = GREETING + b"\x05\x01\x00" + address + b"first bytes"
    at = 0
    while not server.target:
        replies += server.receive(data[at : at + size])
        at += size
    assert replies == b"\x05\x00"
    assert server.target == ADDRESSES[address]
    assert server.rest + data[at:] == b"first bytes"
    assert server.connected() == b"\x05\x00\x00\x01" + bytes(6)
    assert server.refused("refused")[1] == 5 and server.refused("denied")[1] == 2 and server.refused("?")[1] == 1


@pytest.mark.parametrize(
    ("data", "why", "reply"),
    [
        (b"\x04\x01\x00\x50", "does not use version 5", b""),
        (b"GET / HTTP/1.1", "does not use version 5", b""),
        (b"\x05\x01\x02", "requires authentication", b"\x05\xff"),
        (GREETING + b"\x04\x01\x00\x01\x00", "malformed", b"\x05\x00\x05\x01"),
        (GREETING + b"\x05\x01\x00\x09\x00", "unknown kind of address", b"\x05\x00\x05\x08"),
        (GREETING + b"\x05\x03\x00\x01" + bytes(6), "is not CONNECT", b"\x05\x00\x05\x07"),
    ],
)
def test_a_client_that_needs_more_is_refused(data: bytes, why: str, reply: bytes) -> None:
    server = SocksServer()
    assert server.receive(data).startswith(reply)
    assert why in server.failed and not server.target


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_any_bytes_are_handled_without_an_exception(pieces: list[bytes]) -> None:
    server = SocksServer()
    for piece in [b"\x05", *pieces]:
        server.receive(piece)
