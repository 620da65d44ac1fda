"""The transmit queue."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync.wire.reliability.transmit_queue import OutgoingFrame, TransmitQueue


class _Desk:
    """An outbox with frames to give."""

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
def test_a_control_frame_begins_at_any_byte_of_a_bulk_frame_behind_its_length(at: int) -> None:
    desk = _Desk(nest=True)
    bulk = b"^dIbulkbulk\n"
    desk.bulk = [bulk, b"more"]
    out = desk.transmit_queue.take(at)
    desk.control = [b"<now>"]
    out += desk.transmit_queue.take(100)
    assert out == bulk[:at] + b"<now>" + bulk[at:] + b"more"
    assert desk.done == [b"<now>", bulk, b"more"] and desk.inside == [True]


@pytest.mark.parametrize("at", [*range(1, 6), 11])
def test_a_control_frame_never_begins_in_a_header_or_before_a_newline(at: int) -> None:
    desk = _Desk(nest=True)
    bulk = b"^dIbulkbulk\n"
    desk.bulk = [bulk]
    out = desk.transmit_queue.take(at)
    desk.control = [b"<now>"]
    out += desk.transmit_queue.take(100)
    begin = 6 if at < 6 else len(bulk)
    assert out == bulk[:begin] + b"<now>" + bulk[begin:]


def test_a_control_frame_is_never_interrupted() -> None:
    desk = _Desk(nest=True)
    desk.control = [b"<one>"]
    out = desk.transmit_queue.take(2)
    desk.control = [b"<two>"]
    desk.bulk = [b"bulk"]
    assert out + desk.transmit_queue.take(100) == b"<one><two>bulk"


def test_a_peer_that_takes_no_frames_inside_frames_gets_none() -> None:
    desk = _Desk(nest=False)
    desk.bulk = [b"bulkbulk"]
    out = desk.transmit_queue.take(3)
    desk.control = [b"<now>"]
    assert out + desk.transmit_queue.take(100) == b"bulkbulk<now>"


@given(st.lists(st.integers(1, 20)))
def test_an_outbox_gives_at_most_what_is_asked(budgets: list[int]) -> None:
    desk = _Desk(nest=True)
    desk.bulk = [b"0123456789"] * 5
    out = b""
    for budget in budgets:
        piece = desk.transmit_queue.take(budget)
        assert len(piece) == min(budget, 50 - len(out))
        out += piece
    assert (b"0123456789" * 5).startswith(out)
