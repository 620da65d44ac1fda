"""The hosts of ``linesync run``."""

from __future__ import annotations

import pytest

from linesync.cli.hosts.run import check_available
from linesync.errors import LinesyncFailed
from linesync.model.state.hosts import HostState


def host(name: str, state: str, cause: str | None = None) -> HostState:
    return HostState(
        name=name,
        state=state,
        cause=cause,
        why="",
        since=1.0,
        heard=1.0,
        session="1",
        boot="1",
        line="/dev/ttyS0",
        capabilities=(),
        published={},
    )


KNOWN = [host("a", "up"), host("b", "quiet"), host("c", "lost", "stopped")]


def test_hosts_that_are_up_or_quiet_and_the_hub_can_run_a_command() -> None:
    check_available(["a", "b", "hub"], KNOWN)


def test_all_hosts_that_cannot_run_a_command_are_named_with_the_reason() -> None:
    with pytest.raises(LinesyncFailed) as caught:
        check_available(["a", "c", "d"], KNOWN)
    assert str(caught.value) == (
        "the command was not started on any host: host c is lost (stopped), host d has not registered; hosts now: a, b"
    )


def test_the_error_for_many_absent_hosts_is_short() -> None:
    with pytest.raises(LinesyncFailed, match="host x12 has not registered and 88 more; hosts now: a, b"):
        check_available([f"x{number}" for number in range(1, 101)], KNOWN)
