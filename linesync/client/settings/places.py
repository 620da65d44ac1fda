"""Finds the settings and the socket of the hub or agent on this machine.

A setting comes from the environment variable ``LINESYNC_NAME``, otherwise from ``linesync.toml``. Only the first of these
files that exists is used: in ``./``, ``~/.config/linesync/``, ``/etc/linesync/``. In the file, the table of the command
(``[agent]``) takes precedence over the top level.
"""

from __future__ import annotations

import os
from functools import cache

from ...runtime.identity import runtime_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["default_socket", "find_hub", "place_of_setting", "setting", "settings_file"]


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
    from .file import read_settings  # imported only when there is a file to read

    return read_settings(path)


def setting(name: str, command: str = "") -> Any:
    """A setting's value: a text from the environment, any TOML value from the file, or None.

    :param command: the command whose table takes precedence; empty for none.
    :raises UsageError: the file cannot be read, is not valid TOML, or has an unknown key or a value of a wrong type.
    """
    value = os.environ.get(_variable(name))
    if value is not None:
        return value
    settings = _settings()
    table = settings.get(command)
    if isinstance(table, dict) and name in table:
        return table[name]
    value = settings.get(name)
    if value is None or isinstance(value, dict):
        return None
    from .file import check_value

    check_value(settings_file(), name, value, command)
    return value


def _variable(name: str) -> str:
    return "LINESYNC_" + name.upper().replace("-", "_")


def place_of_setting(name: str) -> str:
    """Where the present value of a setting comes from, for errors: a variable or the file."""
    variable = _variable(name)
    return variable if variable in os.environ else settings_file()


def default_socket(name: str = "") -> str:
    """The default path of this machine's socket. A name gives the path for an additional hub or agent."""
    file = f"linesync.{name}.sock" if name else "linesync.sock"
    return os.path.join(runtime_folder(), file)


def find_hub() -> str:
    """The endpoint to which a script connects by default."""
    found = setting("hub")
    return str(found) if found else f"unix:{default_socket()}"
