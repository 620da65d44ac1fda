"""Short acknowledgements of a session."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from linesync.wire.reliability.selective_repeat import SelectiveRepeatSender

from ..kit.traffic import ready


@given(st.integers(0, 5000), st.integers(0, 1000), st.integers(0, 1000))
def test_a_short_acknowledgement_never_acknowledges_too_much(base: int, known: int, more: int) -> None:
    sender = SelectiveRepeatSender()
    sender.base = sender.next_seq = base
    for _ in range(known + more):
        sender.push(b"")
    new = sender.acknowledged_shortly((base + known) % 64)
    assert new is not None
    assert len(new) <= known
    assert len(new) == known or known > 31


def test_short_acknowledgements_are_used_if_both_ends_accept_them() -> None:
    for flags, kind in (("na", b"a"), ("n", b"A")):
        line = ready(local_a={"flags": flags}, local_b={"flags": "na"}, settle=3)
        seen: list[tuple[bytes, int]] = []
        line.b.link.trace = (
            lambda way, kind, body, length, seen=seen: seen.append((kind, length)) if way == "out" else None
        )
        line.a.link.mux.send_message(0, b"1 sem ready 1")
        line.run(0.2)
        assert seen == [(kind, 11 if kind == b"a" else 19)]


def test_a_gap_gets_a_full_acknowledgement() -> None:
    line = ready(local={"flags": "na"}, settle=3)
    seen: list[bytes] = []
    line.b.link.trace = lambda way, kind, body, length: seen.append(kind) if way == "out" else None
    line.a.link.mux.send_message(0, b"1 sem ready 1")
    assert line.a.link.data_to_send(line.now)  # these bytes are lost
    line.run(0.02)
    line.a.link.mux.send_message(0, b"2 sem ready 1")
    line.run(1)
    assert seen[0] == b"A", line.transcript()
    assert line.b.messages(0) == [b"1 sem ready 1", b"2 sem ready 1"]


def test_an_old_acknowledgement_that_the_peer_repeats_never_acknowledges_a_newer_poll() -> None:
    line = ready(settle=3)
    session = line.a.link.session
    assert session is not None
    session.polls.wanted = True
    line.run(1)
    known = session.polls._acknowledged
    assert known
    numbers = []
    for step in range(40):
        session.polls.wanted = True
        assert line.a.link.data_to_send(line.now + step)  # these bytes are lost
        numbers.append(session.polls._number)
    assert known not in numbers and set(numbers) == set(range(1, 32)) - {known}
