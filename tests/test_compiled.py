"""The tests run on the sources, or with LINESYNC_COMPILED=1 (``make compiled``) on the modules that mypyc compiled."""

from __future__ import annotations

import os
from importlib import import_module
from pkgutil import walk_packages

import pytest

from linesync import __version__, wire
from linesync.cli.main import main

COMPILED = os.environ.get("LINESYNC_COMPILED") == "1"
CORE = ["linesync.limits", "linesync.protocol.escaping"] + [
    module.name
    for module in walk_packages(wire.__path__, "linesync.wire.")
    if not module.ispkg and module.name != "linesync.wire.framing.encoded"  # mypyc cannot compile a subclass of bytes
]


def test_the_whole_core_is_compiled_or_none_of_it() -> None:
    files = {name: str(import_module(name).__file__) for name in CORE}
    assert len(files) > 30
    wrong = {name: file for name, file in files.items() if file.endswith(".py") is COMPILED}
    assert not wrong, "a build has left compiled modules among the sources; remove them with 'make clean'"


def test_the_version_says_whether_the_core_is_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"linesync {__version__}{' (compiled)' if COMPILED else ''}\n"
