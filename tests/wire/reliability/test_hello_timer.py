"""The times of a caller's hellos, and the number of waiting answers."""

from __future__ import annotations

from itertools import count, pairwise

from linesync import limits
from linesync.wire.reliability.handshake import Handshake, LocalParameters
from linesync.wire.reliability.hello_timer import HelloTimer


def timer(role: str) -> HelloTimer:
    tokens = (f"token{number:03}" for number in count())
    return HelloTimer(
        Handshake(LocalParameters(role=role, boot="boot0000", frame=127, credit=256, flags=""), lambda: next(tokens))
    )


def gaps(end: HelloTimer, calls: int, *, again: bool) -> list[float]:
    """Return the seconds between consecutive calls, if each call is sent immediately."""
    times = []
    end.start(5.0)
    for _ in range(calls):
        assert end.due is not None
        times.append(end.due)
        end.handle_timer(end.due, again=again)
        assert len(end.hellos) == 1
        end.hellos.clear()
    return [round(late - early, 6) for early, late in pairwise(times)]


def test_a_caller_calls_often_for_five_seconds_and_then_every_second() -> None:
    for again, fast in ((False, limits.CALL_FAST), (True, limits.CALL_AGAIN)):
        found = gaps(timer("c"), 60, again=again)
        slow = found.index(limits.CALL_SLOW)
        assert set(found[:slow]) == {fast} and set(found[slow:]) == {limits.CALL_SLOW}
        assert round(slow * fast, 6) == limits.CALL_FAST * limits.CALL_FAST_COUNT - fast


def test_a_listener_never_calls() -> None:
    end = timer("l")
    end.start(0.0)
    end.handle_timer(1000.0, again=False)
    assert end.due is None and not end.hellos


def test_an_unsent_call_is_not_queued_twice() -> None:
    end = timer("c")
    end.start(0.0)
    end.handle_timer(0.0, again=False)
    end.handle_timer(1.0, again=False)
    assert len(end.hellos) == 1


def test_a_flood_of_hellos_gets_two_answers() -> None:
    end, peer = timer("l"), timer("c")
    peer.start(0.0)
    peer.handle_timer(0.0, again=False)
    for _ in range(50):
        end.answer(peer.hellos[0])
    assert len(end.hellos) == 2
    assert {hello.peer for hello in end.hellos} == {peer.hellos[0].nonce}
