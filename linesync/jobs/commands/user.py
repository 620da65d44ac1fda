"""The environment variables that describe a user.

systemd starts a hub or agent without these variables. Its fork server therefore sets them for the commands.
"""

from __future__ import annotations

import os
from collections.abc import Callable, MutableMapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd

__all__ = ["BASIC", "environment_of", "fill_environment", "own_name"]

_FALLBACK = {
    "HOME": "/",
    "SHELL": "/bin/sh",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}
_NAMES = {"LOGNAME", "USER", *_FALLBACK}
BASIC = frozenset(map(os.fsencode, _NAMES))
"""The names of the variables that describe a user."""


def fill_environment(
    environ: MutableMapping[str, str] = os.environ, find: Callable[[int], pwd.struct_passwd] | None = None
) -> None:
    """Set those of HOME, USER, LOGNAME, SHELL and PATH that are unset or empty.

    A user without an entry in the user database gets the home directory ``/``, and no name. The search in the database may
    wait for a server, so only the fork server calls this function.

    :param find: returns the entry of a user id; by default, from the user database.
    """
    missing = [name for name in _NAMES if not environ.get(name)]
    if not missing:
        return
    if find is None:
        from pwd import getpwuid  # imported only if a variable is unset

        find = getpwuid
    try:
        found = environment_of(find(os.geteuid()))
    except (KeyError, OSError):
        found = dict(_FALLBACK)
    for name in missing:
        if name in found:
            environ[name] = found[name]


def environment_of(user: pwd.struct_passwd) -> dict[str, str]:
    """HOME, USER, LOGNAME, SHELL and PATH of a user.

    :param user: the entry of the user in the user database.
    """
    own = {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name, "SHELL": user.pw_shell}
    return _FALLBACK | {name: value for name, value in own.items() if value}


def own_name() -> str:
    """The name of this process's user, or its user id if it has no name. The look-up may block."""
    from pwd import getpwuid

    try:
        return getpwuid(os.geteuid()).pw_name
    except (KeyError, OSError):
        return str(os.geteuid())
