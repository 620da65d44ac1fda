"""The cost of a large test bus, in processor time of this process."""

from __future__ import annotations

import json
from time import process_time

import pytest

from .lab import Lab

pytestmark = pytest.mark.long


def test_a_thousand_hosts_and_two_hundred_claiming_tests_settle_in_five_seconds() -> None:
    lab = Lab()
    begin = process_time()
    for n in range(1000):
        lab.up(f"h{n}", ["all", f"c{n % 7}"] if n % 3 else [])
    tests = [lab.test(f"t{n}", who=f"hub/{n}") for n in range(200)]
    asked = [lab.ask(test, "a:all", "b", "c:c3", "d", "e", "f", who=f"hub/{n}") for n, test in enumerate(tests)]
    assert 50 < sum(map(lab.waits, asked)) < 150
    lab.pass_time(1.0)
    for test, arrival in zip(tests, asked, strict=True):
        assert not lab.waits(arrival)
        lab.delete(test)
    assert lab.users() == {}
    assert process_time() - begin < 5.0


def test_a_tree_of_ten_thousand_objects_is_shown_in_a_fifth_of_a_second() -> None:
    lab = Lab()
    outer = lab.test("outer")
    for _ in range(2500):
        inner = lab.test("inner", within=outer)
        lab.command(inner, "true", "%{X}")
        lab.put(inner, "conf")
        lab.bus.set_variables(lab.test("x", within=inner), {"X": "1"})
    costs = []
    for _ in range(5):
        begin = process_time()
        shown = lab.bus.show(lab.now)
        costs.append(process_time() - begin)
    assert len(shown.objects) == 10_002 and len(json.dumps(shown.as_json())) > 1 << 20
    assert min(costs) < 0.2
