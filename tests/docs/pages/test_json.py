"""docs/reference/json.md names every field of the larger documents that ``--json`` prints, and no other fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from linesync import errors
from linesync.client.operations import CommandResult
from linesync.client.sync import BarrierResult, TopicMessage
from linesync.model.state.group import Announced
from linesync.model.state.record import State
from tests.docs.pages.examples import ROOT
from tests.docs.sync.figures import FigureSetup
from tests.system.world import World
from tools.json_tables import RECORDS, differences, fields

PAGE = (ROOT / "docs" / "reference" / "json.md").read_text(encoding="utf-8")
LISTS = ("barriers", "semaphores", "locks", "exchanges", "events", "topics", "clients", "groups")


def section(title: str) -> str:
    """The text under a heading, without its subsections."""
    return re.split(r"^#+ .*\n", PAGE.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def documented(title: str) -> set[str]:
    """The fields in the first column of a section's tables."""
    cells = re.findall(r"^\| (`[^|]*) \|", section(title), re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def documented_anywhere(title: str) -> set[str]:
    """All names in the cells of a section's tables, including the names of the fields of nested objects."""
    return set(re.findall(r"`(\w+)`", section(title)))


@pytest.fixture(scope="module")
def status_and_links() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """``status`` and ``links`` as ``--json`` prints them, of a hub on which every kind of object is in use."""
    with World(seed=1, compress=False) as world:
        setup = FigureSetup(world, a=["group=job"], b=["group=job"])
        first, second, hub = setup.script("a"), setup.script("b"), setup.script()
        setup.start(first.barrier("up", members=["a", "b"]))
        setup.start(first.semaphore("slots", 1))
        setup.start(first.hold("slots"))
        setup.start(second.semaphore("slots", -1))
        setup.start(first.lock("flash"))
        setup.start(second.lock("flash"))
        setup.start(first.exchange("keys", ["a", "b"], b"data"))
        setup.start(first.wait_events("passed"))
        setup.start(first.receive("ready", others=True))
        setup.start(first.receive_all("ready"))
        setup.start(first.group("cluster", services=[Announced(1, "disk")]))
        links = [link.as_json() for link in setup.result(setup.start(second.links()))]
        return setup.result(setup.start(hub.status())).as_json(), links


def nested_fields(row: Mapping[str, Any]) -> set[str]:
    """The fields of the objects in a row's lists, and of an object that is not a map of names."""
    objects = [item for value in row.values() if isinstance(value, list) for item in value if isinstance(item, dict)]
    if isinstance(row.get("owner"), dict):
        objects.append(row["owner"])
    return {field for item in objects for field in item}


def test_the_tables_of_fields_are_those_of_the_records() -> None:
    found = differences(PAGE)
    assert not found, "\n".join(["run python -m tools.json_tables --write", *found])


def test_every_record_has_its_table_once() -> None:
    assert sorted(re.findall(r"<!-- made: (\w+) -->", PAGE)) == sorted([*RECORDS, "kinds"])


LINESYNC_RECORDS = [record for record in State.BY_NAME.values() if record.__module__.startswith("linesync.")]


@pytest.mark.parametrize("record", LINESYNC_RECORDS)
def test_every_field_of_a_record_has_a_docstring(record: type[State]) -> None:
    assert set(fields(record)) <= set(record.FIELDS)


def test_status_has_the_documented_lists(status_and_links: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    status, _ = status_and_links
    assert documented("status") == set(status)
    assert set(status["held"]) <= documented_anywhere("status")


@pytest.mark.parametrize("kind", ["hosts", *LISTS])
def test_a_row_of_status_has_the_documented_fields(
    kind: str, status_and_links: tuple[dict[str, Any], list[dict[str, Any]]]
) -> None:
    status, _ = status_and_links
    assert status[kind], f"the test uses no {kind}"
    for row in status[kind]:
        assert documented(kind) == set(row)
        assert nested_fields(row) <= documented_anywhere(kind)


def test_a_row_of_links_has_the_documented_fields(
    status_and_links: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    _, links = status_and_links
    (row_of_agent,) = [row for row in links if row["end"] == "b"]
    rows_of_hub = [row for row in links if row["end"] == "hub" and row["host"]]
    assert rows_of_hub
    for row in (row_of_agent, *rows_of_hub):
        assert documented("links") == set(row)


@pytest.mark.parametrize(("title", "record"), [("barrier", BarrierResult), ("wait, wait-all", TopicMessage)])
def test_a_result_has_the_documented_fields(title: str, record: Any) -> None:
    assert documented(title) == set(record.FIELDS)


def test_run_names_both_streams() -> None:
    assert documented("run") >= {"stdout", "stderr", "exit_code"}
    assert set(CommandResult.FIELDS) >= {"stdout", "stderr"}


def test_every_error_is_documented_with_its_exit_code() -> None:
    rows = re.findall(r"^\| (`[^|]+) \| (\d+) \|", section("Errors"), re.MULTILINE)
    documented_codes = {(word, int(code)) for words, code in rows for word in re.findall(r"`(\w+)`", words)}
    classes = [kind for name in errors.__all__ if isinstance(kind := getattr(errors, name), type)]
    codes_in_replies = {
        (kind.code, kind.exit_code) for kind in classes if kind not in (errors.LinesyncError, errors.CommandFailed)
    }
    assert documented_codes == codes_in_replies
