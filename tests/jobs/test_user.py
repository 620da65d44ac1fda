"""The environment variables that a hub or agent adds for its commands if it was started without them."""

from __future__ import annotations

import pwd
from types import SimpleNamespace
from typing import Any

from linesync.jobs.commands.user import fill_environment


def _user(number: int) -> Any:
    return SimpleNamespace(pw_name="joe", pw_dir="/home/joe", pw_shell="")


def _no_user(number: int) -> pwd.struct_passwd:
    raise KeyError(number)


def test_an_empty_environment_is_filled_from_the_user_database() -> None:
    environ: dict[str, str] = {"USER": ""}
    fill_environment(environ, _user)
    path = environ.pop("PATH")
    assert environ == {"HOME": "/home/joe", "USER": "joe", "LOGNAME": "joe", "SHELL": "/bin/sh"}
    assert "/usr/bin" in path.split(":")


def test_variables_that_are_set_do_not_change() -> None:
    environ = {"HOME": "/srv", "PATH": "/opt/bin", "SHELL": "/bin/dash"}
    fill_environment(environ, _user)
    assert environ == {"HOME": "/srv", "PATH": "/opt/bin", "SHELL": "/bin/dash", "USER": "joe", "LOGNAME": "joe"}


def test_a_user_without_an_entry_gets_a_home_and_a_shell() -> None:
    environ: dict[str, str] = {}
    fill_environment(environ, _no_user)
    assert sorted(environ) == ["HOME", "PATH", "SHELL"] and environ["HOME"] == "/"
