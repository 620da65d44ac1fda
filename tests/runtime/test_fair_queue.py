"""Senders are served in turn, and the requests of each sender keep their order."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from linesync.runtime.listening.fair_queue import FairQueue


@given(st.lists(st.one_of(st.sampled_from("abc"), st.none()), max_size=60))
def test_the_sender_that_waited_longest_for_its_turn_is_next(steps: list[str | None]) -> None:
    queue = FairQueue()
    waiting: dict[str, list[int]] = defaultdict(list)
    turns: list[str] = []
    for number, sender in enumerate(steps):
        if sender is not None:
            queue.put(sender, (str(number), sender, b""))
            waiting[sender].append(number)
            if sender not in turns:
                turns.append(sender)
        elif queue:
            taken, expected = queue.take(), turns.pop(0)
            assert taken == (str(waiting[expected].pop(0)), expected, b"")
            if waiting[expected]:
                turns.append(expected)
    assert bool(queue) == bool(turns)


def test_requests_are_removed_by_their_ids() -> None:
    queue = FairQueue()
    for number in range(6):
        queue.put("ab"[number % 2], (str(number), "", b""))
    removed = queue.remove(lambda number: number in ("0", "2", "4", "5"))
    assert sorted(number for number, _, _ in removed) == ["0", "2", "4", "5"]
    assert [queue.take()[0], queue.take()[0]] == ["1", "3"]
    assert not queue
