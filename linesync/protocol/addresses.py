"""The addresses of forwarded sockets, as text: ``HOST:PORT``, ``[IPV6]:PORT``, ``unix:/PATH`` and ``unix:@NAME``.

Each address has one normal form. The policy of a hub compares addresses as text, so the hub and the hosts refuse every other
form.
"""

from __future__ import annotations

import re

from ..errors import UsageError
from ..frozen_record import Record

__all__ = ["Address", "TcpAddress", "UnixAddress", "read_address"]

_TCP = re.compile(r"(?:\[([0-9a-f:.]+(?:%[\w.-]+)?)\]|([^\s:/\[\]]{1,255})):(0|[1-9][0-9]{0,4})")
_PATH_MOST = 107  # the maximum number of bytes of a unix socket's path in Linux
_EXPECTED = "expected HOST:PORT, [IPV6]:PORT, unix:/PATH or unix:@NAME"


class Address(Record):
    """The address of a socket."""


class TcpAddress(Address):
    """A TCP port."""

    host: str
    """A name or an address, in lower case and without brackets."""
    port: int
    """0 to 65535. Port 0 is only for listening: the system chooses a free port."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class UnixAddress(Address):
    """A unix socket."""

    path: str
    """An absolute path without ``.``, ``..`` and empty components; or ``@`` and a name that is not in the file system."""

    def __str__(self) -> str:
        return f"unix:{self.path}"


def read_address(text: str) -> TcpAddress | UnixAddress:
    """Read an address.

    :raises UsageError: the text is not the normal form of an address.
    """
    if text.startswith("unix:"):
        path = text[5:]
        _check_path(text, path)
        return UnixAddress(path)
    found = _TCP.fullmatch(text)
    if found is None or int(found[3]) > 65535 or text != text.lower():
        raise _invalid(text, _EXPECTED)
    return TcpAddress(found[1] or found[2], int(found[3]))


def _check_path(text: str, path: str) -> None:
    if "\0" in path or not path.startswith(("/", "@")) or path in ("/", "@"):
        raise _invalid(text, _EXPECTED)
    if path.startswith("/") and any(part in ("", ".", "..") for part in path[1:].split("/")):
        raise _invalid(text, "expected an absolute path without '.', '..' and empty components")
    if len(path.encode("utf-8", "surrogateescape")) > _PATH_MOST:
        raise _invalid(text, f"the path of a socket has at most {_PATH_MOST} bytes")


def _invalid(text: str, expected: str) -> UsageError:
    return UsageError(f"invalid address {text[:120]!r}: {expected}")
