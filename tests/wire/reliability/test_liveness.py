"""The times when an end may send, polls its peer and reports a quiet line."""

from __future__ import annotations

import pytest

from linesync import limits
from linesync.wire.framing.decoder import Decoder
from linesync.wire.line import Counters, LineState
from linesync.wire.reliability.liveness import Liveness


def line(*, shared: bool, byte_rate: float | None = None) -> LineState:
    decoder = Decoder(longest=127, eight=False)
    return LineState(shared=shared, byte_rate=byte_rate, baud=0, rates=(), decoder=decoder, counters=Counters())


def heard_at(at: float, *, caller: bool) -> Liveness:
    liveness = Liveness(caller=caller)
    liveness.heard_at = liveness.valid_at = liveness.spoke_at = at
    return liveness


def test_only_a_listener_on_a_shared_line_is_silent_at_first() -> None:
    cases = [(caller, shared) for caller in (True, False) for shared in (True, False)]
    allowed = {key: Liveness(caller=key[0]).may_speak(line(shared=key[1]), 0.0) for key in cases}
    assert [key for key in cases if not allowed[key]] == [(False, True)]


def test_a_listener_becomes_silent_again_and_later_on_a_slow_line() -> None:
    liveness = heard_at(10.0, caller=False)
    assert liveness.may_speak(line(shared=True), 10.0 + limits.SILENCE - 0.01)
    assert not liveness.may_speak(line(shared=True), 10.0 + limits.SILENCE)
    assert liveness.may_speak(line(shared=True, byte_rate=30.0), 10.0 + limits.SILENCE + 1)


@pytest.mark.parametrize(
    ("caller", "shared", "wait"),
    [
        (True, True, limits.KEEPALIVE_CALLER),
        (False, True, limits.KEEPALIVE_LISTENER),
        (True, False, limits.KEEPALIVE_PIPE),
        (False, False, limits.KEEPALIVE_PIPE),
    ],
)
def test_a_keepalive_is_due_after_a_time_without_sending(caller: bool, shared: bool, wait: float) -> None:
    assert heard_at(10.0, caller=caller).keepalive_at(line(shared=shared)) == 10.0 + wait


def test_an_end_that_polled_does_not_poll_again_and_then_becomes_quiet() -> None:
    liveness = heard_at(10.0, caller=True)
    assert liveness.ask_at(line(shared=True), None) == 10.0 + limits.POLL_IDLE
    assert liveness.quiet_at(line(shared=True), None) is None
    assert liveness.ask_at(line(shared=True), 17.5) is None
    assert liveness.quiet_at(line(shared=True), 17.5) == 17.5 + limits.QUIET_AFTER
    assert liveness.quiet_at(line(shared=False), 17.5) == 17.5 + limits.QUIET_AFTER_PIPE


def test_a_listener_on_a_shared_line_becomes_quiet_without_a_poll() -> None:
    liveness = heard_at(10.0, caller=False)
    assert liveness.ask_at(line(shared=True), None) is None
    assert liveness.quiet_at(line(shared=True), None) == 10.0 + limits.QUIET_LISTENER


def test_a_peer_on_a_quiet_line_is_not_alive() -> None:
    liveness = heard_at(10.0, caller=True)
    assert liveness.alive(10.5) and not liveness.alive(10.0 + limits.SILENCE)
    assert liveness.fall_quiet(12.0).silent_for == 2.0
    assert not liveness.alive(10.5)
