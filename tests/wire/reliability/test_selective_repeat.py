"""One lane compared with a model. The line loses and doubles frames but keeps their order; acknowledgements arrive late."""

from __future__ import annotations

from collections import deque

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from linesync import limits
from linesync.wire.reliability.selective_repeat import SelectiveRepeatReceiver, SelectiveRepeatSender, SentPayload

from ..kit.profiles import examples


class LaneMachine(RuleBasedStateMachine):
    """The model is the list of sent payloads. The delivered payloads are always its beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.sender, self.receiver = SelectiveRepeatSender(), SelectiveRepeatReceiver()
        # close to the greatest sequence number, after which the numbers begin again
        self.sender.next_seq = self.sender.base = self.receiver.expected = limits.SEQ_MOD - 5
        self.pushed: list[bytes] = []
        self.delivered: list[bytes] = []
        self.line: deque[tuple[int, int, bytes]] = deque()
        self.acks: deque[tuple[int, int, tuple[tuple[int, int], ...]]] = deque()
        self.count = 0
        self.arrived = -1

    def _transmit(self, sent: SentPayload) -> None:
        self.count += 1
        self.sender.transmitted(sent, self.count, 0.0, len(sent.payload))
        self.line.append((self.count, sent.seq % limits.SEQ_MOD, sent.payload))

    @precondition(lambda self: self.sender.window_open and len(self.pushed) < 300)
    @rule(copies=st.integers(1, 12))
    def push(self, copies: int) -> None:
        for _ in range(copies):
            payload = b"payload %d" % len(self.pushed)
            self.pushed.append(payload)
            self._transmit(self.sender.push(payload))

    @precondition(lambda self: self.sender.has_lost)
    @rule()
    def repeat(self) -> None:
        sent = self.sender.next_lost()
        if sent is not None:
            self._transmit(sent)

    @precondition(lambda self: self.line)
    @rule(times=st.integers(0, 2))
    def arrive(self, times: int) -> None:
        """Let the next frame on the line be lost, arrive once, or arrive twice."""
        count, seq, payload = self.line.popleft()
        for _ in range(times):
            self.delivered += self.receiver.receive(seq, payload) or ()
            self.arrived = count
        expected, ranges = self.receiver.report()
        self.acks.append((self.arrived, expected, ranges))

    @precondition(lambda self: self.acks)
    @rule(lost=st.booleans())
    def acknowledge(self, lost: bool) -> None:
        """Send an acknowledgement, which is lost or reports the missing frames."""
        count, expected, ranges = self.acks.popleft()
        if not lost:
            assert self.sender.acknowledged(expected, ranges) is not None
            self.sender.lose_before(count)

    @rule()
    def lose_the_line(self) -> None:
        self.line.clear()
        self.acks.clear()
        self.sender.lose_all()

    @invariant()
    def delivered_payloads_are_the_beginning_of_the_sent_payloads(self) -> None:
        assert self.delivered == self.pushed[: len(self.delivered)]

    @invariant()
    def unacknowledged_payloads_are_kept(self) -> None:
        acknowledged = self.sender.base - (limits.SEQ_MOD - 5)
        assert acknowledged <= len(self.delivered)
        assert self.sender.bytes_in_flight >= 0
        assert self.sender.outstanding == (self.sender.bytes_in_flight > 0)

    def teardown(self) -> None:
        """If the line has no faults from now on, everything arrives."""
        self.lose_the_line()
        for _ in range(3 * len(self.pushed) + 3):
            if self.sender.has_lost:
                self.repeat()
            while self.line:
                self.arrive(1)
            while self.acks:
                self.acknowledge(False)
        assert self.delivered == self.pushed
        assert not self.sender.outstanding


TestLaneMachine = LaneMachine.TestCase
TestLaneMachine.settings = examples(60, 5000, steps=60)


def test_an_acknowledgement_of_unsent_payloads_is_invalid() -> None:
    sender = SelectiveRepeatSender()
    sender.push(b"x")
    assert sender.acknowledged(2, ()) is None
    assert sender.acknowledged(0, ((1, 5),)) is None
    assert sender.acknowledged(1, ()) is not None


def test_only_transmissions_before_an_arrival_are_lost() -> None:
    sender = SelectiveRepeatSender()
    sent = [sender.push(b"%d" % n) for n in range(5)]
    for count, one in enumerate(sent):
        sender.transmitted(one, count, 0.0, 10)
    assert [s.seq for s in sender.acknowledged(0, ((2, 1),)) or ()] == [2]
    assert [s.seq for s in sender.lose_before(2)] == [0, 1]
    assert [sender.next_lost().seq for _ in range(2)] == [0, 1]  # type: ignore[union-attr]
    assert sender.next_lost() is None and sender.repeated == 2


def test_a_report_has_at_most_eight_ranges() -> None:
    receiver = SelectiveRepeatReceiver()
    for seq in range(1, 60, 2):
        receiver.receive(seq, b"")
    assert receiver.report() == (0, ((1, 1),) * limits.ACK_RANGES)


def test_frames_beyond_the_window_are_not_kept() -> None:
    receiver = SelectiveRepeatReceiver()
    assert receiver.receive(limits.WINDOW_FRAMES, b"") is None
    assert receiver.receive(limits.WINDOW_FRAMES - 1, b"") == []


def test_frames_behind_a_gap_are_kept_up_to_the_window_in_bytes() -> None:
    receiver, payload = SelectiveRepeatReceiver(), bytes(limits.WINDOW_BYTES // 4)
    assert [receiver.receive(seq, payload) for seq in range(1, 8)] == [[]] * 4 + [None] * 3
    assert receiver.receive(0, payload) == [payload] * 5, "the payload that fills the gap is always taken"
    assert receiver.receive(6, payload) == []
