"""What an agent loads: a small host pays for each module with memory and with the time until it is back."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.live  # a process of its own shows what is loaded

_AGENT = "linesync.cli.main, linesync.cli.processes.agent, linesync.agent.agent, linesync.transports.serial.connect"
_OF_OTHERS = ("linesync.hub", "linesync.model", "linesync.testing", "linesync.compat", "linesync.store")
_OWN = 80  # modules and packages of linesync; there were 78 when this was written
_RESIDENT = 22 << 10  # KiB, of which a bare interpreter with asyncio takes 18 MiB


@pytest.fixture(scope="module")
def loaded() -> tuple[set[str], int]:
    """The modules of a process that is about to run an agent, and its resident memory in KiB."""
    program = (
        f"import {_AGENT}; import sys\n"
        "resident = open('/proc/self/status').read().split('VmRSS:')[1].split()[0]\n"
        "names = sorted(sys.modules); import json; print(json.dumps([names, int(resident)]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
    names, resident = json.loads(done.stdout)
    return set(names), resident


def test_an_agent_does_not_load_what_it_may_never_need(loaded: tuple[set[str], int]) -> None:
    heavy = {"ssl", "_ssl", "hashlib", "_hashlib", "dataclasses", "json.tool", "shutil", "lzma", "bz2", "random"}
    heavy |= {"tempfile", "tomllib", "typing_extensions", "uvloop", "ipaddress", "unittest", "email", "http"}
    found = heavy & loaded[0]
    assert not found, f"the agent's imports now bring {', '.join(sorted(found))}"


def test_an_agent_loads_nothing_of_the_hub_s(loaded: tuple[set[str], int]) -> None:
    found = sorted(name for name in loaded[0] if name.startswith(_OF_OTHERS))
    allowed = {"linesync.model", "linesync.model.participants", "linesync.model.hosts.members"}
    assert set(found) <= allowed, f"the agent's imports now bring {found}"


def test_an_agent_is_small(loaded: tuple[set[str], int]) -> None:
    names, resident = loaded
    own = sorted(name for name in names if name.startswith("linesync"))
    assert len(own) <= _OWN, f"{len(own)} modules of ours: {own}"
    assert resident <= _RESIDENT, f"{resident} KiB before it has done anything"


def test_openssl_can_still_be_loaded_afterwards() -> None:
    program = (
        "import linesync.cli.processes.agent, sys; assert 'ssl' not in sys.modules; "
        "import ssl; ssl.create_default_context()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
