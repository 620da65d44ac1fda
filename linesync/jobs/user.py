"""The environment variables that describe a user.

systemd starts a hub or agent without these variables. Its fork server therefore sets them for the commands.
"""

from __future__ import annotations

import os
from collections.abc import Callable, MutableMapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd

__all__ = ["fill_environment"]

_FALLBACK = {
    "HOME": "/",
    "SHELL": "/bin/sh",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}
_NAMES = {"LOGNAME", "USER", *_FALLBACK}


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
    found = dict(_FALLBACK)
    try:
        user = find(os.geteuid())
    except (KeyError, OSError):
        pass
    else:
        of_user = {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name, "SHELL": user.pw_shell}
        found |= {name: value for name, value in of_user.items() if value}
    for name in missing:
        if name in found:
            environ[name] = found[name]
