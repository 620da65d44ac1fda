"""The order of bytes in the transmit queue."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync.wire.reliability.transmit_queue import OutgoingFrame, TransmitQueue


class _Source:
    """A transmit queue, and the frames for its two lanes."""

    def __init__(self, *, nest: bool) -> None:
        self.control: list[bytes] = []
        self.bulk: list[bytes] = []
        self.done: list[bytes] = []
        self.inside: list[bool] = []
        self.transmit_queue = TransmitQueue(
            self._control, self._bulk, lambda frame, given: self.done.append(frame.data)
        )
        self.transmit_queue.nest = nest

    def _control(self, inside: bool) -> OutgoingFrame | None:
        if not self.control:
            return None
        self.inside.append(inside)
        return OutgoingFrame(self.control.pop(0), b"c")

    def _bulk(self, inside: bool) -> OutgoingFrame | None:
        return OutgoingFrame(self.bulk.pop(0), b"d") if self.bulk else None


@pytest.mark.parametrize("at", range(6, 11))
def test_a_control_frame_may_begin_at_any_byte_behind_the_header_of_a_bulk_frame(at: int) -> None:
    source = _Source(nest=True)
    bulk = b"^dIbulkbulk\n"
    source.bulk = [bulk, b"more"]
    out = source.transmit_queue.take(at)
    source.control = [b"<now>"]
    out += source.transmit_queue.take(100)
    assert out == bulk[:at] + b"<now>" + bulk[at:] + b"more"
    assert source.done == [b"<now>", bulk, b"more"] and source.inside == [True]


@pytest.mark.parametrize("at", [*range(1, 6), 11])
def test_a_control_frame_never_begins_inside_a_header_or_directly_before_a_newline(at: int) -> None:
    source = _Source(nest=True)
    bulk = b"^dIbulkbulk\n"
    source.bulk = [bulk]
    out = source.transmit_queue.take(at)
    source.control = [b"<now>"]
    out += source.transmit_queue.take(100)
    begin = 6 if at < 6 else len(bulk)
    assert out == bulk[:begin] + b"<now>" + bulk[begin:]


def test_a_control_frame_is_never_interrupted() -> None:
    source = _Source(nest=True)
    source.control = [b"<one>"]
    out = source.transmit_queue.take(2)
    source.control = [b"<two>"]
    source.bulk = [b"bulk"]
    assert out + source.transmit_queue.take(100) == b"<one><two>bulk"


def test_a_peer_that_does_not_accept_nested_frames_gets_none() -> None:
    source = _Source(nest=False)
    source.bulk = [b"bulkbulk"]
    out = source.transmit_queue.take(3)
    source.control = [b"<now>"]
    assert out + source.transmit_queue.take(100) == b"bulkbulk<now>"


@given(st.lists(st.integers(1, 20)))
def test_a_queue_returns_at_most_the_requested_number_of_bytes(budgets: list[int]) -> None:
    source = _Source(nest=True)
    source.bulk = [b"0123456789"] * 5
    out = b""
    for budget in budgets:
        piece = source.transmit_queue.take(budget)
        assert len(piece) == min(budget, 50 - len(out))
        out += piece
    assert (b"0123456789" * 5).startswith(out)
