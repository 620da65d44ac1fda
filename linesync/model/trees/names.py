"""The names of the targets of a copy, by the rules of cp(1)."""

from __future__ import annotations

from ...errors import LinesyncFailed, UsageError
from ...frozen_record import Record

__all__ = ["HERE", "Places", "check_name", "name_of_source", "places"]

HERE = b"."
"""The name of a source that is merged into the target itself: its path ends with ``.`` or ``..``, or it is ``/``."""


class Places(Record):
    """The folder and the names of the targets of a copy."""

    folder: bytes
    """The folder of the targets."""
    name: bytes = b""
    """The name of the only target; empty if each target has the name of its source."""


def name_of_source(path: bytes) -> bytes:
    """The name that the copy of a source has in a folder."""
    name = path.rstrip(b"/").rpartition(b"/")[2]
    return HERE if name in (b"", b".", b"..") else name


def places(path: bytes, names: list[bytes], *, is_folder: bool, exists: bool, where: str) -> Places:
    """Find the folder and the names of the targets of a copy.

    :param path: the target of the copy.
    :param names: the names of the sources.
    :param is_folder: whether the target is an existing folder.
    :param exists: whether the target exists.
    :param where: the host and a colon, for errors; empty for this machine.
    :raises LinesyncFailed, UsageError: the sources cannot be copied to this target.
    """
    shown = where + path.decode("utf-8", "replace")
    if is_folder:
        twice = {name for name in names if name != HERE and names.count(name) > 1}
        if twice:
            raise UsageError(
                f"two sources have the name {min(twice).decode('utf-8', 'replace')}, and {shown} can contain only one of them;"
                " copy them to different folders"
            )
        return Places(path)
    if len(names) > 1:
        state = "it is not a folder" if exists else "there is no such folder"
        raise LinesyncFailed(f"cannot copy {len(names)} sources to {shown}: {state}; create the folder first")
    folder, slash, name = path.rstrip(b"/").rpartition(b"/")
    return Places((folder or b"/") if slash else b".", name)


def check_name(name: bytes) -> None:
    """Refuse the name of an entry that could lead out of its folder.

    :raises LinesyncFailed: the name is invalid.
    """
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
        raise LinesyncFailed(
            f"the other end of the copy sent the invalid name {name.decode('utf-8', 'replace')!r}; nothing was copied there"
        )
