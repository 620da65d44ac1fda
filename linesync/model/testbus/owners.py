"""The owners of tests.

A test that is not part of another test has one owner:

========================== ======================================
owner                      the test ends with
========================== ======================================
a client                   the client's connection
a process on a host        the process, which the host watches
a host (``keep``)          the loss of the host
========================== ======================================

A test always ends when its owner's host is lost, restarts or stops. The controller is never lost. A test in another test ends
with that test.
"""

from __future__ import annotations

from ...errors import UsageError
from ..participants import Client
from ..sync.namespaces import BEGIN_CHARS, COMMAND_CHARS, Owner
from .objects import Test

__all__ = ["Owners", "check_owner"]

_Key = Client | tuple[str, int, str]


def check_owner(owner: Owner) -> None:
    """Refuse an owner whose process id, start time or command is not valid."""
    shown = len(owner.command) <= COMMAND_CHARS and owner.command.isprintable()
    if not (0 <= owner.pid < 1 << 31 and len(owner.begin) <= BEGIN_CHARS and shown):
        raise UsageError(
            f"invalid owner of a test: expected a process id, its start time, and at most {COMMAND_CHARS} printable"
            " characters of its command"
        )


class Owners:
    """The tests that have an owner, by owner and by host."""

    def __init__(self) -> None:
        self._by_owner: dict[_Key, dict[Test, None]] = {}
        self._by_host: dict[str, dict[Test, None]] = {}

    def add(self, test: Test) -> None:
        """Add a test that has an owner."""
        assert test.owner is not None
        self._by_host.setdefault(test.owner.host, {})[test] = None
        if not test.keep:
            self._by_owner.setdefault(test.owner.key, {})[test] = None

    def remove(self, test: Test) -> None:
        """Remove a test that has an owner."""
        assert test.owner is not None
        _drop(self._by_host, test.owner.host, test)
        if not test.keep:
            _drop(self._by_owner, test.owner.key, test)

    def of_client(self, client: Client) -> list[Test]:
        """The tests that a client owns."""
        return list(self._by_owner.get(client, ()))

    def of_process(self, host: str, pid: int, begin: str) -> list[Test]:
        """The tests that a process owns."""
        return list(self._by_owner.get((host, pid, begin), ()))

    def of_host(self, host: str) -> list[Test]:
        """The tests whose owners are on a host, or which the host owns."""
        return list(self._by_host.get(host, ()))

    def processes(self) -> list[Owner]:
        """The owner of each test that a process owns."""
        tests = [test for key, tests in self._by_owner.items() if not isinstance(key, Client) for test in tests]
        return [test.owner for test in tests if test.owner is not None]


def _drop(table: dict[_Key, dict[Test, None]] | dict[str, dict[Test, None]], key: object, test: Test) -> None:
    found = table[key]  # type: ignore[index]
    del found[test]
    if not found:
        del table[key]  # type: ignore[arg-type]
