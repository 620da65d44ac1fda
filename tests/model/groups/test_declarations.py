"""The declarations of services: their order, their needs and their limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync.errors import UsageError
from linesync.model.groups.declarations import Declaration
from linesync.model.groups.order import in_order, needing, places


def order(*declared: Declaration) -> list[str]:
    return [one.name for one in in_order(declared)]


def refused(*declared: Declaration) -> str:
    with pytest.raises(UsageError) as caught:
        in_order(declared)
    return caught.value.message


def test_ids_give_the_order() -> None:
    assert order(Declaration("b", id=2), Declaration("a", id=30), Declaration("c", id=0)) == ["c", "b", "a"]


def test_after_and_before_give_the_order_and_the_declarations_decide_the_rest() -> None:
    found = order(Declaration("d", after=("b",)), Declaration("a"), Declaration("b"), Declaration("c", before=("a",)))
    assert found == ["b", "d", "c", "a"]


def test_services_in_order_can_be_ordered_again() -> None:
    once = in_order([Declaration("b", after=("a",)), Declaration("a")])
    assert in_order(once) == once


def test_assigned_ids_leave_room_between_them() -> None:
    assert [one.id for one in in_order([Declaration("a"), Declaration("b")])] == [10, 20]


def test_a_cycle_is_refused_and_named() -> None:
    message = refused(Declaration("a", after=("c",)), Declaration("b", after=("a",)), Declaration("c", after=("b",)))
    assert message.startswith("the order of the services has a cycle: a after c after b after a; ")


def test_a_service_that_leads_into_a_cycle_is_not_part_of_it() -> None:
    message = refused(Declaration("x", after=("a",)), Declaration("a", before=("b",)), Declaration("b", before=("a",)))
    assert ": a after b after a;" in message


def test_a_service_after_itself_is_a_cycle() -> None:
    assert ": a after a;" in refused(Declaration("a", after=("a",)))


def test_a_need_with_a_higher_id_is_refused_and_both_are_named() -> None:
    message = refused(Declaration("client", id=1, needs={"server": "started"}), Declaration("server", id=2))
    assert message.startswith("the service client (id 1) needs server, which has the id 2; ")


def test_a_need_is_not_an_order() -> None:
    assert "client (id 10) needs server" in refused(
        Declaration("client", needs={"server": "started"}), Declaration("server")
    )
    server = Declaration("server", before=("client",))
    assert order(Declaration("client", needs={"server": "started"}), server) == ["server", "client"]


def test_a_need_for_health_requires_a_check() -> None:
    client = Declaration("client", id=2, needs={"server": "healthy"})
    assert "client needs server to be healthy, but server has no check" in refused(Declaration("server", id=1), client)
    assert order(Declaration("server", id=1, checked=True), client) == ["server", "client"]


def test_a_gate_is_directly_before_the_first_service_that_needs_health_and_otherwise_at_the_end() -> None:
    declared = [
        Declaration("a", checked=True),
        Declaration("b", checked=True, after=("a",)),
        Declaration("c", after=("b",), needs={"a": "started"}),
        Declaration("d", after=("c",), needs={"a": "healthy"}),
        Declaration("e", after=("d",), needs={"a": "healthy"}),
    ]
    found = [(place.id, place.name) for place in places(in_order(declared))]
    assert found == [(10, "a"), (20, "b"), (30, "c"), (39, "a:healthy"), (40, "d"), (50, "e"), (51, "b:healthy")]


def test_a_service_that_must_be_completed_has_a_gate_unless_it_is_healthy_before() -> None:
    declared = [
        Declaration("a", id=10),
        Declaration("b", id=20, checked=True, needs={"a": "completed"}),
        Declaration("c", id=30, needs={"a": "completed", "b": "healthy"}),
        Declaration("d", id=40, needs={"b": "completed"}),
    ]
    found = [(place.id, place.name) for place in places(in_order(declared))]
    assert found == [(10, "a"), (19, "a:completed"), (20, "b"), (29, "b:healthy"), (30, "c"), (40, "d")]


def test_a_gate_needs_a_free_id() -> None:
    client = Declaration("client", id=2, needs={"server": "healthy"})
    with pytest.raises(
        UsageError, match=r"no free id between server \(id 1\) and client \(id 2\) for the gate server:hea"
    ):
        places(in_order([Declaration("server", id=1, checked=True), client]))


def test_services_that_need_a_service_through_others_are_found() -> None:
    a, b, c, d = (
        Declaration("a", id=1),
        Declaration("b", id=2, needs={"a": "started"}),
        Declaration("c", id=3),
        Declaration("d", id=4, needs={"b": "completed"}),
    )
    assert [one.name for one in needing(in_order([a, b, c, d]), "a")] == ["b", "d"]
    assert needing(in_order([a, b, c, d]), "d") == []


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ([Declaration("a", id=1), Declaration("b", id=1)], "the services a and b both have the id 1"),
        ([Declaration("a", id=1), Declaration("b")], "the service b has no id, but a has an id"),
        (
            [Declaration("a", id=1), Declaration("b", id=2, after=("a",))],
            "the service b has after or before, but a has",
        ),
        ([Declaration("a"), Declaration("a")], "the service a is declared twice"),
        ([Declaration("a", after=("b",))], "the service a names b in after, which is not declared; the services are a"),
        ([Declaration("a", needs={"b": "started"})], "the service a names b in needs, which is not declared"),
        ([Declaration("a b")], "invalid service name 'a b': expected 1 to 64 letters"),
        ([Declaration("")], "invalid service name ''"),
        ([Declaration("a", id=-1)], "invalid id -1 of the service a: expected 0 to 1000000"),
        (
            [Declaration("a", needs={"b": "up"})],
            "invalid needs.b 'up' of the service a: expected started, completed or",
        ),
        ([Declaration("a", timeouts={"go": 1})], "invalid timeouts 'go' of the service a: expected the steps init, "),
        ([Declaration("a", timeouts={"init": 0})], "invalid timeouts.init 0 of the service a: expected more than 0"),
        ([Declaration("a", interval=float("nan"))], "invalid interval nan of the service a"),
        ([Declaration("a", version="1\n")], "invalid version '1\\n' of the service a"),
    ],
)
def test_wrong_declarations_are_refused(declared: list[Declaration], message: str) -> None:
    assert refused(*declared).startswith(message)


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=12))
def test_every_order_obeys_after_or_there_is_a_cycle(edges: list[tuple[int, int]]) -> None:
    after = {n: tuple(f"s{first}" for first, second in edges if second == n) for n in range(8)}
    declared = [Declaration(f"s{n}", after=after[n]) for n in range(8)]
    reach = {(f"s{first}", f"s{second}") for first, second in edges}
    while more := {(a, d) for a, b in reach for c, d in reach if b == c} - reach:
        reach |= more
    if any(first == second for first, second in reach):
        assert "cycle" in refused(*declared)
    else:
        places = {name: n for n, name in enumerate(order(*declared))}
        assert all(places[first] < places[second] for first, second in reach)
