"""The candidates that complete the last word of an unfinished command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from linesync.cli.main import COMMANDS, command_parser
from linesync.cli.shell.candidates import complete
from linesync.cli.shell.values import NOT_COMPLETED, VALUES, HubNames


class FakeHub(HubNames):
    """A hub with two hosts and a few names; no hub answers at unix:/none."""

    def hosts(self) -> list[tuple[str, str, str]]:
        if self._endpoint == "unix:/none":
            return []
        return [("hub", "the controller", ""), ("sut1", "up", "client"), ("sut2", "lost", "server")]

    def names(self) -> list[tuple[str, str, str]]:
        if self._endpoint == "unix:/none":
            return []
        kinds = ("barriers", "semaphores", "locks", "exchanges", "events", "topics")
        return [(kind, "default", f"{kind} 1") for kind in kinds] + [("locks", "ns", "l2"), ("locks", "ns", "l3")]

    def namespaces(self) -> list[tuple[str, str]]:
        return [("@run", "sut1"), ("default", ""), ("ns", "")] if self._endpoint != "unix:/none" else []


def words(*line: str) -> list[str]:
    return [word for word, _ in complete(line, FakeHub).words]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (["ba"], ["barrier"]),
        (["wait"], ["wait", "wait-all"]),
        (["--json", "co"], ["console", "conform", "compat", "completion"]),
        (["--", "ba"], ["barrier"]),
        (["--h"], ["--help", "--hub"]),
        (["barrier", "x", "2", "--t"], ["--timeout", "--tolerate-loss"]),
        (["barrier", "x", "2", "--rejoin", "--r"], ["--reuse"]),
        (["agent", "--publish", "a=b", "--publ"], ["--publish"]),
        (["barrier", "x", "--", "--t"], []),
        (["barrier", "x", "2", "--reuse", ""], ["cyclic", "once", "linger="]),
        (["barrier", "x", "2", "--reuse=l"], ["--reuse=linger="]),
        (["barrier", "x", "2", "--timeout", ""], []),
        (["barrier", ""], ["barriers 1"]),
        (["conform", "x", "--rule", "answers-"], ["answers-polls"]),
        (["sem", ""], ["semaphores 1"]),
        (["lock", ""], ["locks 1"]),
        (["lock", "--namespace", "ns", ""], ["l2", "l3"]),
        (["lock", "--namesp=ns", "l3"], ["l3"]),
        (["lock", "x", "--namespace", "n"], ["ns"]),
        (["namespace", "end", ""], ["@run"]),
        (["namespace", "new", ""], []),
        (["namespace", "new", "--owner", ""], []),
        (["lock", "x", ""], ["--"]),
        (["sem", "x", "-1", "--hold", ""], ["--"]),
        (["event", ""], ["set", "wait", "clear"]),
        (["event", "set", ""], ["events 1"]),
        (["event", "set", "events 1", ""], []),
        (["wait", ""], ["topics 1"]),
        (["wait-all", "x", "c"], ["client"]),
        (["exchange", ""], ["exchanges 1"]),
        (["reset", "e"], ["events 1", "exchanges 1"]),
        (["--hub", "unix:/none", "lock", ""], []),
        (["lock", "--hub", "unix:/none", ""], []),
        (["run", ""], ["hub", "sut1", "sut2"]),
        (["run", "sut1,"], ["sut1,hub", "sut1,sut2"]),
        (["run", "sut1", "-C", "/tmp", "--ti"], ["--timeout"]),
        (["run", "sut1", "-iC", "--ti"], []),
        (["exchange", "x", "--hosts", "hub,sut1,s"], ["hub,sut1,sut2"]),
        (["exchange", "x", "--hosts=s"], ["--hosts=sut1", "--hosts=sut2"]),
        (["barrier", "x", "2", "--as", "s"], ["sut1", "sut2"]),
        (["trace", "s"], ["sut1", "sut2"]),
        (["trace", "h"], []),
        (["cp", "s"], ["sut1:", "sut2:"]),
        (["cp", "Image", "h"], ["hub:"]),
        (["cp", "sut1:/e"], []),
        (["cp", "./s"], []),
        (["hosts", ""], ["--help", "--timeout", "--json"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["compat", "lava-wait"], ["lava-wait", "lava-wait-all"]),
        (["compat", "lava-send", "--j"], []),
        (["nonsense", ""], []),
    ],
)
def test_the_candidates_of_the_last_word(line: list[str], found: list[str]) -> None:
    assert words(*line) == found


@pytest.mark.parametrize(
    ("line", "also", "prefix"),
    [
        (["cp", ""], "files", ""),
        (["cp", "--device", "a", "b"], "files", ""),
        (["cp", "--", "-d"], "files", ""),
        (["cp", "./a:b"], "files", ""),
        (["cp", "sut1:/e"], "nothing", ""),
        (["exchange", "x", "--file", ""], "files", ""),
        (["exchange", "x", "--file=a"], "files", "--file="),
        (["exchange", "x", "--dir", ""], "directories", ""),
        (["hub", "--socket", ""], "files", ""),
        (["hub", "--port", "/dev/"], "files", ""),
        (["--hub=unix:/run"], "files", "--hub=unix:"),
        (["compat", "install", ""], "directories", ""),
        (["lock", "x", "--", ""], "commands", ""),
        (["lock", "x", "--", "./a"], "files", ""),
        (["sem", "x", "-1", "--hold", "--", "cat", ""], "files", ""),
        (["run", "sut1", "--", ""], "commands", ""),
        (["run", "--", "sut1", "ls", "-l", ""], "files", ""),
        (["barrier", ""], "nothing", ""),
        (["lock", "x", ""], "nothing", ""),
    ],
)
def test_the_kind_of_names_that_the_shell_adds(line: list[str], also: str, prefix: str) -> None:
    found = complete(line, FakeHub)
    assert (found.also, found.prefix) == (also, prefix)


def test_every_value_is_completed_or_listed_as_one_that_is_not() -> None:
    for command in COMMANDS:
        for action in command_parser(command)._actions:
            if action.nargs != 0 and action.choices is None:
                metavar = str(action.metavar)
                known = metavar in VALUES or (command, metavar) in VALUES or metavar == "CMD"
                assert known != (metavar in NOT_COMPLETED) or (command, metavar) in VALUES, (command, action.dest)


def test_descriptions_come_from_the_help_and_the_hub() -> None:
    assert dict(complete(["ba"], FakeHub).words)["barrier"] == COMMANDS["barrier"]
    assert dict(complete(["run", "x", "--t"], FakeHub).words) == {"--timeout": "end the command after S seconds"}
    assert dict(complete(["cp", "sut2"], FakeHub).words) == {"sut2:": "lost"}


def test_programs_and_devices_are_not_opened_to_complete_names(tmp_path: Path) -> None:
    for endpoint in (f"exec:touch {tmp_path}/ran", f"{tmp_path}/device"):
        assert complete(["--hub", endpoint, "lock", ""]).words == []
    assert list(tmp_path.iterdir()) == []
