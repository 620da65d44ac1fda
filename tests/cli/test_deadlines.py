"""``--timeout`` of every command, while the process at the hub's socket does not answer."""

from __future__ import annotations

import argparse
import socket

import pytest

from linesync.cli.main import build_parser
from tests.e2e.kit import Site

pytestmark = pytest.mark.live

COMMANDS = {
    "barrier": ["x", "2"],
    "sem": ["x", "-1"],
    "lock": ["x"],
    "send": ["x"],
    "wait": ["x"],
    "wait-all": ["x"],
    "event": ["set", "x"],
    "reset": [],
    "drain": [],
    "namespace": ["list"],
    "phases": ["status", "x"],
    "group": ["join", "x"],
    "exchange": ["x", "--hosts", "a,b", "data"],
    "run": ["sut", "--", "true"],
    "proc": ["wait", "sut/1"],
    "cp": ["sut:/x", "x"],
    "forward": ["-L", "0=80", "sut"],
    "hosts": [],
    "host": ["wait", "sut"],
    "status": [],
    "policy": ["check", "sut", "hub", "run"],
    "links": [],
    "console": ["sut"],
    "trace": ["sut"],
}


def test_the_table_has_every_command_with_a_timeout() -> None:
    (commands,) = [action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)]
    assert set(COMMANDS) == {
        name for name, parser in commands.choices.items() if "--timeout" in parser._option_string_actions
    } - {"conform"}, "conform does not connect to a hub"


def test_each_command_ends_at_its_timeout_although_nothing_answers(site: Site) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(site.socket("hub")))
        silent.listen(100)
        started = {name: site.start("hub", name, "--timeout", "0.1", *words) for name, words in COMMANDS.items()}
        without_timeout = site.start("hub", "status")
        for name, command in started.items():
            done = command.wait()
            assert done.code == 124 and "no linesync hub or agent answered" in done.err, (name, done)
        assert without_timeout.running, "without a timeout, a hub has 10 s to answer"


def test_an_exchange_ends_at_its_timeout_although_its_stdin_does_not_end(hub: Site) -> None:
    waiting = hub.start("hub", "exchange", "x", "--hosts", "hub,sut", "--timeout", "0.1", stdin=-1)
    waiting.process.wait(20)
    done = waiting.wait()
    assert done.code == 124 and "nothing was changed" in done.err, done
