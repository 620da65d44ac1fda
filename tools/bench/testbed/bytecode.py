"""Compiles all modules to bytecode before a measurement, because an installed program has bytecode.

In a checkout, many modules may have no bytecode: they were edited, or PYTHONDONTWRITEBYTECODE is set. Each start would compile
these modules again, and the benchmark would not show the start-up time of an installed linesync.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["with_bytecode"]

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
def with_bytecode() -> Iterator[None]:
    """Compile linesync and all modules that it imports. Processes that are started in the block use the bytecode."""
    old_values = {name: os.environ.get(name) for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")}
    with tempfile.TemporaryDirectory(prefix="linesync-bench-") as folder:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = folder
        try:
            subprocess.run([sys.executable, "-c", _IMPORT_ALL], check=True, timeout=60, stdin=subprocess.DEVNULL)
            yield
        finally:
            for name, value in old_values.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
