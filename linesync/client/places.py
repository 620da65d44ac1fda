"""Finds the settings and the socket of the hub or agent on this machine.

A setting comes from the environment variable ``LINESYNC_NAME``, otherwise from ``linesync.toml``. Only the first of these
files that exists is used: in ``./``, ``~/.config/linesync/``, ``/etc/linesync/``. In the file, the table of the command
(``[agent]``) takes precedence over the top level.
"""

from __future__ import annotations

import os
from functools import cache

from ..errors import UsageError
from ..runtime.identity import runtime_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["default_socket", "find_hub", "setting", "settings_file"]


def settings_file() -> str:
    """The path of the settings file; empty if there is none."""
    for folder in (".", os.path.expanduser("~/.config/linesync"), "/etc/linesync"):
        path = os.path.join(folder, "linesync.toml")
        if os.path.isfile(path):
            return path
    return ""


@cache
def _settings() -> dict[str, Any]:
    path = settings_file()
    if not path:
        return {}
    import tomllib  # imported only when there is a file to read

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}; correct or remove it") from None


def setting(name: str, command: str = "") -> Any:
    """A setting's value: a text from the environment, any TOML value from the file, or None.

    :param command: the command whose table takes precedence; empty for none.
    :raises UsageError: the file cannot be read or is not valid TOML.
    """
    value = os.environ.get("LINESYNC_" + name.upper().replace("-", "_"))
    if value is not None:
        return value
    settings = _settings()
    table = settings.get(command)
    if isinstance(table, dict) and name in table:
        return table[name]
    value = settings.get(name)
    return None if isinstance(value, dict) else value


def default_socket(name: str = "") -> str:
    """The default path of this machine's socket. A name gives the path for an additional hub or agent."""
    file = f"linesync.{name}.sock" if name else "linesync.sock"
    return os.path.join(runtime_folder(), file)


def find_hub() -> str:
    """The endpoint to which a script connects by default."""
    found = setting("hub")
    return str(found) if found else f"unix:{default_socket()}"
