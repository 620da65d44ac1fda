"""The records that show a state, and their JSON form."""

from __future__ import annotations

import json

import pytest

from linesync.model.state.record import State, Waiting
from linesync.model.state.sync.barrier import BarrierState
from linesync.model.state.sync.event import EventState
from linesync.model.state.sync.topic import GroupReader, Reader, TopicState

WAITING = Waiting(name="a", client="7", waiting=2.5)
BARRIER = BarrierState(
    namespace="default",
    name="up",
    count=2,
    members=("a", "b"),
    reuse="cyclic",
    generation=1,
    missing={"b": "has not arrived"},
    unheard=(),
    arrived=(WAITING,),
    gone={},
)


class Later(Waiting):
    """A record of a later version, with one more field."""

    since: str = "unknown"


@pytest.mark.parametrize("state", [BARRIER, BARRIER.but(members=None, missing=1), WAITING])
def test_a_state_is_read_back_from_its_json(state: State) -> None:
    assert type(state).from_json(json.loads(json.dumps(state.as_json()))) == state


def test_the_json_has_the_fields_in_their_order_and_lists_for_tuples() -> None:
    plain = BARRIER.as_json()
    assert list(plain) == list(BarrierState.FIELDS)
    assert plain["arrived"] == [{"name": "a", "client": "7", "waiting": 2.5}] and plain["members"] == ["a", "b"]


def test_each_wait_of_a_topic_is_read_as_an_object_of_its_kind() -> None:
    reader = Reader(name="a", client="1", waiting=1.0, first=3, others=True)
    group_reader = GroupReader(name="b", client="1", waiting=1.0, group="g", role="", missing=("c",))
    topic = TopicState(namespace="n", name="t", messages=0, senders=(), waiting=(reader, group_reader))
    assert TopicState.from_json(topic.as_json()).waiting == (reader, group_reader)


def test_a_reader_ignores_fields_that_it_does_not_know() -> None:
    assert Waiting.from_json(WAITING.as_json() | {"mood": "good"}) == WAITING


def test_a_field_that_an_older_hub_does_not_send_has_its_default() -> None:
    assert Later.from_json(WAITING.as_json()).since == "unknown"


@pytest.mark.parametrize(
    "change",
    [{"count": "2"}, {"count": True}, {"members": "a"}, {"members": [1]}, {"missing": {"b": 1}}, {"arrived": [{}]}],
)
def test_a_value_of_another_type_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"is not a|needs the field"):
        BarrierState.from_json(BARRIER.as_json() | change)


@pytest.mark.parametrize("value", [None, 3, [], "x", {"namespace": "default", "name": "up", "set": True}])
def test_a_value_that_is_not_an_event_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="EventState"):
        EventState.from_json(value)


def test_a_state_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        WAITING.name = "b"  # type: ignore[misc]
