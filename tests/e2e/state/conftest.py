"""The library that makes writes and syncs fail."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.real import require

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("cc")
    library = tmp_path_factory.mktemp("shim") / "diskfaults.so"
    source = ROOT / "tools" / "shims" / "diskfaults.c"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library
