"""A person at a terminal: a program in tmux, whose screen a test reads."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.e2e.kit import LINESYNC, Site
from tests.real import wait_for

__all__ = ["Screen", "screen"]


class Screen:
    """A terminal with a ``linesync`` command on it.

    :param size: the columns and rows.
    """

    def __init__(self, site: Site, *words: str, size: tuple[int, int] = (80, 24)) -> None:
        self._socket = str(site.folder / f"tmux-{os.urandom(4).hex()}")
        self._env = site.env | {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
        command = shlex.join([LINESYNC, "--hub", f"unix:{site.socket('hub')}", *words])
        columns, rows = map(str, size)
        ended = f"{command}; echo ended with $?; stty -a | grep -o '[-]*icanon'; exec sleep 1000"
        self._tmux("-f", os.devnull, "new-session", "-d", "-x", columns, "-y", rows, ended)

    def _tmux(self, *words: str) -> str:
        argv = ["tmux", "-S", self._socket, *words]
        return subprocess.run(argv, env=self._env, check=True, capture_output=True, text=True, timeout=20).stdout

    def type(self, *keys: str) -> None:
        """Type keys, by their names in tmux: a text, or ``Enter``, ``C-c``."""
        self._tmux("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    @property
    def text(self) -> str:
        """The lines on the screen."""
        return self._tmux("capture-pane", "-p")

    def until(self, condition: str | Callable[[str], object], seconds: float = 20.0) -> None:
        """Wait until the screen has a text, or until a condition on its text is true."""
        check = condition if callable(condition) else lambda text: condition in text
        try:
            wait_for(lambda: check(self.text), f"{condition!r} on the screen", seconds, every=0.05)
        except AssertionError as error:
            raise AssertionError(f"{error}; the screen shows:\n{self.text}") from None

    def ended(self, code: int) -> None:
        """Wait until the command has ended with this exit code, and has restored the terminal."""
        self.until(f"ended with {code}\n")
        self.until("\nicanon")

    def close(self) -> None:
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], capture_output=True, check=False)


@contextmanager
def screen(site: Site, *words: str, size: tuple[int, int] = (80, 24)) -> Iterator[Screen]:
    """A screen whose programs end at the end of the block."""
    opened = Screen(site, *words, size=size)
    try:
        yield opened
    finally:
        opened.close()
