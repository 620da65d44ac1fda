"""A directory in which ``fsync`` takes no time, so that tests that call it often are quick."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

_MEMORY = "/dev/shm"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A new directory, in memory if the system has such a file system."""
    with TemporaryDirectory(prefix="linesync-test-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as name:
        yield Path(name)
