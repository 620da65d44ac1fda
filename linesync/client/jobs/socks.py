"""The server side of SOCKS5 (RFC 1928), without input and output: only CONNECT, and no authentication."""

from __future__ import annotations

__all__ = ["SocksServer"]

_VERSION = 5
_NO_AUTHENTICATION, _NO_METHOD = 0, 0xFF
_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_SUCCEEDED, _FAILED, _UNKNOWN_COMMAND, _UNKNOWN_ADDRESS = 0, 1, 7, 8
_CODES = {"denied": 2, "unreachable": 3, "unknown": 4, "timeout": 4, "refused": 5}
"""The codes of replies for the reasons of failures. All others get the general code."""


class SocksServer:
    """The handshake of one client.

    :ivar target: the address to connect to, as ``HOST:PORT``; empty until the client has sent it.
    :ivar failed: the reason for which the client was refused, as a clause; empty if it was not.
    :ivar rest: the bytes that followed the handshake.
    """

    def __init__(self) -> None:
        self.target = ""
        self.failed = ""
        self.rest = b""
        self._greeted = False
        self._data = b""

    def receive(self, data: bytes) -> bytes:
        """Handle received bytes. Returns the bytes of the reply."""
        self._data += data
        reply = b""
        if not self._greeted and not self.failed:
            reply = self._greeting()
        if self._greeted and not self.target and not self.failed:
            reply += self._request()
        return reply

    def connected(self) -> bytes:
        """The reply after the connection to the target was made."""
        return _reply(_SUCCEEDED)

    def refused(self, reason: str) -> bytes:
        """The reply if there is no connection to the target.

        :param reason: ``denied``, ``unreachable``, ``unknown``, ``timeout`` or ``refused``; any other text is a general
            failure.
        """
        return _reply(_CODES.get(reason, _FAILED))

    def _greeting(self) -> bytes:
        data = self._data
        if data[:1] not in (b"", bytes([_VERSION])):
            self.failed = f"it does not use version 5 of SOCKS (its first byte is {data[0]})"
            return b""
        if len(data) < 2 or len(data) < 2 + data[1]:
            return b""
        methods, self._data = data[2 : 2 + data[1]], data[2 + data[1] :]
        if _NO_AUTHENTICATION not in methods:
            self.failed = "it requires authentication"
            return bytes([_VERSION, _NO_METHOD])
        self._greeted = True
        return bytes([_VERSION, _NO_AUTHENTICATION])

    def _request(self) -> bytes:
        data = self._data
        if len(data) < 5:
            return b""
        version, command, _, kind = data[:4]
        if version != _VERSION:
            self.failed = "its request is malformed"
            return _reply(_FAILED)
        size = {_IPV4: 4, _NAME: 1 + data[4], _IPV6: 16}.get(kind)
        if size is None:
            self.failed = f"its request has an unknown kind of address ({kind})"
            return _reply(_UNKNOWN_ADDRESS)
        if len(data) < 4 + size + 2:
            return b""
        if command != _CONNECT:
            self.failed = f"its request is not CONNECT (it is {command})"
            return _reply(_UNKNOWN_COMMAND)
        place, port = data[4 : 4 + size], int.from_bytes(data[4 + size : 6 + size], "big")
        self.rest = data[6 + size :]
        self.target = f"{_host(kind, place)}:{port}"
        return b""


def _host(kind: int, place: bytes) -> str:
    if kind == _NAME:
        name = place[1:].decode("ascii", "replace").lower()
        return f"[{name}]" if ":" in name else name
    if kind == _IPV4:
        return ".".join(map(str, place))
    from ipaddress import IPv6Address

    return f"[{IPv6Address(place)}]"


def _reply(code: int) -> bytes:
    """A reply. Its address is 0.0.0.0:0, because the client does not need the address of the connection on the host."""
    return bytes([_VERSION, code, 0, _IPV4, 0, 0, 0, 0, 0, 0])
