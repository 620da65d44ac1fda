"""The addresses of sockets, as people write them."""

from __future__ import annotations

import os

from ..errors import UsageError

__all__ = ["address_of"]


def address_of(text: str, *, local: bool = False) -> str:
    """The normal form of an address that a user has written.

    :param text: ``PORT``, ``HOST:PORT``, ``unix:PATH``, a path, or ``unix:@NAME``.
    :param local: whether the address is on this machine, so that a path may be relative.
    :raises UsageError: the address is invalid.
    """
    from ..protocol.addresses import read_address

    if text.isascii() and text.isdecimal():
        text = f"localhost:{text}"
    if text.startswith(("/", ".")):
        text = f"unix:{text}"
    path = text.removeprefix("unix:").removeprefix("//") if text.startswith("unix://") else text.removeprefix("unix:")
    if path == text:
        text = text.removeprefix("tcp://").removesuffix("/").lower()
        return str(read_address(f"localhost{text}" if text.startswith(":") else text))
    if not path.startswith(("/", "@")) and not local:
        raise UsageError(f"invalid address {text!r}: write an absolute path, because it is on another machine")
    if path and not path.startswith("@"):
        path = os.path.abspath(path) if local else os.path.normpath(path)
    return str(read_address(f"unix:{path}"))
