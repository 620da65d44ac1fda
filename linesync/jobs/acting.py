"""Runs calls in a thread with the rights of another user.

The kernel has user ids for each thread. The C library hides that: its functions change all threads of a process. This module
therefore calls the kernel directly. Only the effective ids change, so the thread can change them back after the call.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import LinesyncFailed, NotAllowed

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd
    from typing import Any

__all__ = ["acting", "as_user", "home_of", "own_rights"]

_CALLS = {
    "x86_64": (117, 119, 116),
    "aarch64": (147, 149, 159),
    "riscv64": (147, 149, 159),
    "armv6l": (208, 210, 206),
    "armv7l": (208, 210, 206),
    "i686": (208, 210, 206),
    "s390x": (208, 210, 206),
}
"""The numbers of the system calls setresuid, setresgid and setgroups, by machine."""
_SAME = 0xFFFFFFFF


def as_user(user: str) -> Callable[[Callable[[], object]], Callable[[], object]] | None:
    """A function that makes a call run with the rights of a user; None for the user of this process.

    :param user: the name of the user; empty for the user of this process.
    """
    if not user:
        return None

    def around(job: Callable[[], object]) -> Callable[[], object]:
        def run() -> object:
            with acting(_entry(user)):
                return job()

        return run

    return around


def home_of(user: str) -> str:
    """The home directory of a user.

    :param user: the name of the user; empty for the user of this process.
    :raises LinesyncFailed: there is no such user.
    """
    return _entry(user).pw_dir if user else os.path.expanduser("~")


def _entry(user: str) -> pwd.struct_passwd:
    from pwd import getpwnam

    try:
        return getpwnam(user)
    except (KeyError, ValueError):
        raise LinesyncFailed(f"there is no user {user} here; choose another one with -u") from None


@contextmanager
def acting(entry: pwd.struct_passwd) -> Iterator[None]:
    """Give this thread the rights of a user.

    :raises NotAllowed: this process may not do that.
    """
    own, groups = (os.geteuid(), os.getegid()), os.getgroups()
    if own[0] == entry.pw_uid and own[0] != 0:
        yield
        return
    _change(entry.pw_uid, entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid), entry.pw_name)
    try:
        yield
    finally:
        _change_back(*own, groups)


@contextmanager
def own_rights() -> Iterator[None]:
    """Give this thread the rights of its process, if it acts as another user, for the files of linesync itself."""
    own = os.getuid()
    if os.geteuid() == own or own != 0:
        yield
        return
    acted, groups = (os.geteuid(), os.getegid()), os.getgroups()
    _change_back(own, os.getgid(), [])
    try:
        yield
    finally:
        _change_back(*acted, groups)


def _change(uid: int, gid: int, groups: list[int], name: str) -> None:
    own = os.getegid(), os.getgroups()
    if not (_set_groups(groups) and _set_gid(gid)):
        raise _refused(name)
    if not _set_uid(uid):
        _set_gid(own[0])
        _set_groups(own[1])
        raise _refused(name)


def _change_back(uid: int, gid: int, groups: list[int]) -> None:
    # Only root can change the groups: the user is changed first to become root, and last otherwise.
    if uid == 0:
        changed = _set_uid(uid) and _set_gid(gid) and _set_groups(groups)
    else:
        changed = _set_groups(groups) and _set_gid(gid) and _set_uid(uid)
    if not changed:
        os._exit(70)  # a thread must not continue for others with the rights of this user


def _refused(name: str) -> NotAllowed:
    return NotAllowed(f"not allowed: the agent cannot act as user {name}, because it does not run as root; omit -u")


def _set_uid(uid: int) -> bool:
    return _call(0, _SAME, uid, _SAME)


def _set_gid(gid: int) -> bool:
    return _call(1, _SAME, gid, _SAME)


def _set_groups(groups: list[int]) -> bool:
    import ctypes

    return _call(2, len(groups), (ctypes.c_uint32 * len(groups))(*groups))


def _call(which: int, *args: Any) -> bool:
    import ctypes

    numbers = _CALLS.get(os.uname().machine)
    if numbers is None:
        raise LinesyncFailed(
            f"copies as another user do not work on a machine of the type {os.uname().machine}; omit -u"
        )
    libc = ctypes.CDLL(None, use_errno=True)
    values = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    return bool(libc.syscall(ctypes.c_long(numbers[which]), *values) == 0)
