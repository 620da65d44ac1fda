"""The hosts of ``linesync run``."""

from __future__ import annotations

import pytest

from linesync.cli.hosts.run import check_there
from linesync.errors import LinesyncFailed

ROWS = [
    {"name": "a", "state": "up", "cause": None},
    {"name": "b", "state": "quiet", "cause": None},
    {"name": "c", "state": "lost", "cause": "stopped"},
]


def test_hosts_that_are_up_or_quiet_and_the_hub_can_run_a_command() -> None:
    check_there(["a", "b", "hub"], ROWS)


def test_all_hosts_that_cannot_run_a_command_are_named_with_the_reason() -> None:
    with pytest.raises(LinesyncFailed) as caught:
        check_there(["a", "c", "d"], ROWS)
    assert str(caught.value) == (
        "the command was not started on any host: host c is lost (stopped), host d has not registered; hosts now: a, b"
    )


def test_the_error_for_many_absent_hosts_is_short() -> None:
    with pytest.raises(LinesyncFailed, match="host x12 has not registered and 88 more; hosts now: a, b"):
        check_there([f"x{number}" for number in range(1, 101)], ROWS)
