"""Finds the settings, and the socket of the hub or agent on this machine.

A setting comes from the environment variable ``LINESYNC_NAME``, otherwise from ``linesync.toml``. This file is searched in
``./``, ``~/.config/linesync/`` and ``/etc/linesync/``, and only the first file that exists is used. In the file, the table of
the command (``[agent]``) has precedence over the top level.
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
    """The path of the settings file, or an empty string if there is none."""
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
    """A setting's value: a text from the environment, any TOML value from the file, or None if it is not set.

    :param command: the command whose table has precedence; empty to use only the top level of the file.
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
    """The name of the variable, or the path of the file, that contains the current value of a setting."""
    variable = _variable(name)
    return variable if variable in os.environ else settings_file()


def default_socket(name: str = "") -> str:
    """The default path of this machine's socket.

    :param name: the name of an additional hub or agent on this machine, whose path contains that name.
    """
    file = f"linesync.{name}.sock" if name else "linesync.sock"
    return os.path.join(runtime_folder(), file)


def find_hub() -> str:
    """The endpoint to which a script connects by default."""
    found = setting("hub")
    return str(found) if found else f"unix:{default_socket()}"
