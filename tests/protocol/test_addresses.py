"""The addresses of forwarded sockets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync.errors import UsageError
from linesync.protocol.addresses import TcpAddress, UnixAddress, read_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:22", TcpAddress("localhost", 22)),
        ("10.0.0.7:0", TcpAddress("10.0.0.7", 0)),
        ("[::1]:65535", TcpAddress("::1", 65535)),
        ("[fe80::1%eth0]:80", TcpAddress("fe80::1%eth0", 80)),
        ("unix:/run/x.sock", UnixAddress("/run/x.sock")),
        ("unix:@name", UnixAddress("@name")),
    ],
)
def test_each_address_has_one_form(text: str, address: TcpAddress | UnixAddress) -> None:
    assert read_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "22", "localhost", "localhost:", ":22", "localhost:022", "localhost:65536", "a b:1", "::1:22"),
        *("[localhost]:1", "LOCALHOST:22", "tcp://localhost:22", "a/b:1", "[::1]", "unix:", "unix:/", "unix:@"),
        *("unix:x", "unix:/a/", "unix:/a//b", "unix:/a/./b", "unix:/a/../b", "unix:/a\0b", "localhost:٢٢"),
        "unix:/" + "a" * 107,
    ],
)
def test_every_other_form_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid address"):
        read_address(text)


@given(st.text(max_size=40))
def test_an_address_that_can_be_read_is_in_the_normal_form(text: str) -> None:
    try:
        address = read_address(text)
    except UsageError:
        return
    assert str(address) == text
