"""Where things are on this machine: the settings file, the environment, and the socket of the hub or agent.

A setting is looked for in its variable ``LINESYNC_NAME``, then in ``linesync.toml``: ``./``, ``~/.config/linesync/``,
``/etc/linesync/``, the first that exists; there in the table of the command (``[agent]``), then at the top.
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
    """The settings file's path, empty for none."""
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
    import tomllib  # only where there is a file to read

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}; correct or remove it") from None


def setting(name: str, command: str = "") -> Any:
    """A setting's value: text from the environment, any TOML value from the file, None where there is none.

    :raises UsageError: the file is no TOML.
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
    """This machine's socket; with a name, the one that a further hub or agent uses beside it."""
    file = f"linesync.{name}.sock" if name else "linesync.sock"
    return os.path.join(runtime_folder(), file)


def find_hub() -> str:
    """The endpoint that a script connects to when it names none."""
    found = setting("hub")
    return str(found) if found else f"unix:{default_socket()}"
