"""An agent imports few modules, because on a small host each module costs memory and start-up time."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.live  # the tests start processes

_AGENT = (
    "linesync.cli.main, linesync.cli.asyncio_without_tls, linesync.cli.processes.agent, linesync.agent.agent,"
    " linesync.transports.serial.connect"
)
_NOT_FOR_AGENTS = ("linesync.hub", "linesync.model", "linesync.testing", "linesync.compat", "linesync.store")
_MOST_MODULES = 107  # the maximum number of linesync's modules and packages; it was 107 when this was written
_MOST_MEMORY = 22 << 10  # KiB of resident memory; an interpreter with asyncio alone needs 18 MiB of it


@pytest.fixture(scope="module")
def loaded() -> tuple[set[str], int]:
    """The modules of a process that has imported everything for an agent, and its resident memory in KiB."""
    program = (
        f"import {_AGENT}; import sys\n"
        "resident = open('/proc/self/status').read().split('VmRSS:')[1].split()[0]\n"
        "names = sorted(sys.modules); import json; print(json.dumps([names, int(resident)]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
    names, resident = json.loads(done.stdout)
    return set(names), resident


def test_an_agent_does_not_import_modules_that_it_rarely_needs(loaded: tuple[set[str], int]) -> None:
    heavy = {"ssl", "_ssl", "hashlib", "_hashlib", "dataclasses", "json.tool", "shutil", "lzma", "bz2", "random"}
    heavy |= {"tempfile", "tomllib", "typing_extensions", "uvloop", "ipaddress", "unittest", "email", "http"}
    found = heavy & loaded[0]
    assert not found, f"the agent now imports {', '.join(sorted(found))}"


def test_an_agent_imports_no_modules_of_the_hub(loaded: tuple[set[str], int]) -> None:
    found = sorted(name for name in loaded[0] if name.startswith(_NOT_FOR_AGENTS))
    allowed = {"linesync.model", "linesync.model.participants", "linesync.model.hosts.members"}
    assert set(found) <= allowed, f"the agent now imports {found}"


def test_an_agent_loads_few_modules_and_needs_little_memory(loaded: tuple[set[str], int]) -> None:
    names, resident = loaded
    of_linesync = sorted(name for name in names if name.startswith("linesync"))
    assert len(of_linesync) <= _MOST_MODULES, f"{len(of_linesync)} modules of linesync: {of_linesync}"
    assert resident <= _MOST_MEMORY, f"{resident} KiB after the imports"


def test_ssl_can_be_imported_after_asyncio_without_it() -> None:
    program = (
        "import linesync.cli.asyncio_without_tls, sys; assert 'ssl' not in sys.modules; "
        "import ssl; ssl.create_default_context()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
