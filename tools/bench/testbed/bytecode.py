"""Bytecode of all modules, as an installed program has it.

In a checkout, modules are often edited, and some shells set PYTHONDONTWRITEBYTECODE. Each start would then compile half of
linesync again, and the figures would say nothing about an installed linesync.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["compiled"]

_IMPORT_ALL = """
import importlib, pkgutil, linesync
for found in pkgutil.walk_packages(linesync.__path__, "linesync."):
    if not found.name.endswith("__main__"):
        try:
            importlib.import_module(found.name)
        except ImportError:
            pass  # an extra that is not installed
"""


@contextmanager
def compiled() -> Iterator[None]:
    """While the block runs, processes started in it find the bytecode of all of linesync and of what it imports."""
    kept = {name: os.environ.get(name) for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")}
    with tempfile.TemporaryDirectory(prefix="linesync-bench-") as folder:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = folder
        try:
            subprocess.run([sys.executable, "-c", _IMPORT_ALL], check=True, timeout=60, stdin=subprocess.DEVNULL)
            yield
        finally:
            for name, value in kept.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
