"""Checks rules of docs/protocol.md on a real link. The number in a test's name is the section of the rule.

The tests write the frames of the peer by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from linesync import limits
from linesync.wire.autobaud.rate_frames import RateFrame
from linesync.wire.events import (
    ChannelClosed,
    Event,
    FrameFound,
    LineQuiet,
    OtherStationHeard,
    Refused,
    SessionEnded,
    SessionUp,
)
from linesync.wire.framing import digits, frames
from linesync.wire.framing.check import session_seed
from linesync.wire.framing.decoder import Decoder
from linesync.wire.framing.frames import Ack, Frame, Hello, Lane
from linesync.wire.link import Link
from linesync.wire.reliability.handshake import LocalParameters

LINK_NONCE, PEER_NONCE = "link-non", "hand-non"  # the nonces of the link under test and of the peer


class ManualPeer:
    """A link under test, and a peer whose frames the test writes. Only :meth:`wait` advances the clock.

    :ivar received: the frames that the link has sent, with their times.
    """

    def __init__(self, role: str, *, shared: bool = True, flags: str = "") -> None:
        nonces = iter((LINK_NONCE, "link-no2", "link-no3", "link-no4"))
        local = LocalParameters(role=role, boot="link-bot", frame=127, credit=1000, flags=flags)
        self.link = Link(local, lambda: next(nonces))
        self.role = "l" if role == "c" else "c"
        self.now = 0.0
        self.events: list[Event] = []
        self.received: list[tuple[float, Frame]] = []
        self.flags = flags
        self.decoder = Decoder(longest=4096)
        self.decoder.seeds = (session_seed(LINK_NONCE, PEER_NONCE), session_seed("link-no2", PEER_NONCE))
        self.link.line_up(0.0, shared=shared)

    def hello(self, peer: str = "", **changes: object) -> Hello:
        usual = {"oldest": 1, "newest": 1, "role": self.role, "nonce": PEER_NONCE, "peer": peer, "boot": "hand-bot"}
        return Hello(**(usual | {"frame": 127, "credit": 1000, "flags": self.flags} | changes))  # type: ignore[arg-type]

    def send(self, kind: bytes, body: bytes = b"", *, seed: int | None = None, link_nonce: str = LINK_NONCE) -> None:
        self.send_bytes(frames.encode(kind, body, session_seed(PEER_NONCE, link_nonce) if seed is None else seed))

    def send_bytes(self, data: bytes) -> None:
        self.events += self.link.receive_data(data, self.now)
        self.receive()

    def send_hello(self, hello: Hello) -> None:
        self.send(b"H", hello.body(), seed=0)

    def receive(self) -> None:
        while data := self.link.data_to_send(self.now):
            self.received += [
                (self.now, e.frame) for e in self.decoder.receive(data, self.now) if isinstance(e, FrameFound)
            ]

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        self.receive()
        while (timer := self.link.next_timer(self.now)) is not None and timer <= until:
            self.now = max(timer, self.now + 1e-4)
            self.events += self.link.handle_timer(self.now)
            self.receive()
        self.now = until

    def received_kinds(self) -> str:
        """Return the kinds of the frames that the link has sent since the last call, and forget these frames."""
        received, self.received = self.received, []
        return b"".join(frame.kind for _, frame in received).decode()

    def count(self, kind: type[Event]) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    @property
    def up(self) -> bool:
        return self.link.session is not None


def _peer_with_session(role: str = "l", **opening: object) -> ManualPeer:
    peer = ManualPeer(role, **opening)  # type: ignore[arg-type]
    if role == "c":
        peer.wait(0.01)
        peer.send_hello(peer.hello(LINK_NONCE))
    else:
        peer.send_hello(peer.hello())
        peer.send(b"K")
    assert peer.up
    peer.send(b"A", Ack(age=0, poll=1, prompt=(0, ()), bulk=(0, ())).body())
    peer.received_kinds()
    return peer


# -- 4: calling, silence, keeping alive --------------------------------------------------------------------------------


def test_4_2_a_caller_calls_immediately_then_at_short_intervals_then_at_long_ones() -> None:
    peer = ManualPeer("c")
    peer.wait(8.0)
    times = [received_at for received_at, _ in peer.received]
    assert peer.received_kinds() == "H" * len(times)
    gaps = [round(b - a, 2) for a, b in pairwise(times)]
    fast = limits.CALL_FAST_COUNT - 1
    assert times[0] < 0.001
    assert gaps == [limits.CALL_FAST] * fast + [limits.CALL_SLOW] * (len(gaps) - fast)


def test_4_3_a_listener_sends_nothing_before_a_valid_frame_or_3_s_after_the_last() -> None:
    peer = ManualPeer("l")
    peer.send_bytes(b"login: ^PBBAAAAAA\n")
    peer.wait(30)
    assert peer.received_kinds() == ""
    peer.send_hello(peer.hello())
    assert peer.received_kinds() == "H"
    peer.wait(30)
    peer.send(b"K")
    peer.wait(0.5)
    received, peer.received = peer.received, []
    assert received and all(received_at < peer.now for received_at, _ in received)
    peer.now += 3.1
    peer.link.mux.send_message(0, b"waiting data")
    peer.wait(5)
    assert peer.received_kinds() == ""


@pytest.mark.parametrize(
    ("role", "shared", "period"),
    [
        ("c", True, limits.KEEPALIVE_CALLER),
        ("l", False, limits.KEEPALIVE_PIPE),
        ("c", False, limits.KEEPALIVE_PIPE),
    ],
)
def test_4_6_an_idle_end_sends_a_keepalive_after_its_period(role: str, shared: bool, period: float) -> None:
    peer = _peer_with_session(role, shared=shared)
    start = peer.now
    peer.wait(period + 0.1)
    (sent_at,) = [received_at for received_at, frame in peer.received if frame.kind == b"K"]
    assert sent_at - start == pytest.approx(period, abs=0.05)


def test_4_6_4_7_a_caller_polls_after_7_5_s_and_calls_1_s_later_with_both_nonces() -> None:
    peer = _peer_with_session("c")
    peer.wait(limits.POLL_IDLE - 0.1)
    assert "P" not in peer.received_kinds()
    peer.wait(0.2)
    assert "P" in peer.received_kinds() and not peer.count(LineQuiet)
    peer.wait(limits.QUIET_AFTER)
    assert peer.count(LineQuiet)
    hello, *_ = [Hello.read(frame.body) for _, frame in peer.received if frame.kind == b"H"]
    assert hello is not None and (hello.nonce, hello.peer) == (LINK_NONCE, PEER_NONCE)


def test_4_7_a_listener_considers_its_line_quiet_after_8_s() -> None:
    peer = _peer_with_session()
    peer.wait(limits.QUIET_LISTENER - 0.1)
    assert not peer.count(LineQuiet)
    peer.wait(0.2)
    assert peer.count(LineQuiet) and peer.up


def test_4_4_a_hello_that_names_both_nonces_is_answered_with_an_ack() -> None:
    peer = _peer_with_session()
    peer.send_hello(peer.hello(LINK_NONCE))
    assert peer.received_kinds() == "AP"


def test_4_4_a_frame_with_the_seed_of_the_offered_session_replaces_the_session_and_a_hello_does_not() -> None:
    peer = _peer_with_session()
    peer.send_hello(peer.hello(nonce="hand-no2"))
    assert peer.received_kinds() == "H" and peer.count(SessionUp) == 1
    peer.send_bytes(frames.encode(b"K", b"", session_seed("hand-no2", "link-no2")))
    assert peer.count(SessionUp) == 2


def test_4_4_a_second_listener_on_the_line_is_reported_and_not_answered() -> None:
    peer = _peer_with_session()
    peer.send_hello(peer.hello(nonce="hand-no2", boot="other-bt", role="l"))
    assert peer.received_kinds() == "" and peer.count(OtherStationHeard) == 1


@pytest.mark.parametrize("changes", [{"oldest": 2, "newest": 3}, {"flags": "nZ"}])
def test_4_8_an_incompatible_hello_is_refused_and_answered_once(changes: dict[str, object]) -> None:
    peer = ManualPeer("l")
    peer.send_hello(peer.hello(**changes))
    assert peer.count(Refused) == 1 and peer.received_kinds() == "H" and not peer.up
    peer.send_hello(peer.hello(LINK_NONCE, **changes))
    assert peer.received_kinds() == "" and not peer.up


def test_4_1_an_unknown_lower_case_flag_is_ignored() -> None:
    peer = ManualPeer("l")
    peer.send_hello(peer.hello(flags="qz"))
    peer.send(b"K")
    assert peer.up


def test_4_9_a_caller_calls_with_a_new_nonce_one_second_after_a_bye() -> None:
    peer = _peer_with_session("c")
    peer.send(b"X", b"ZG9uZQ")
    assert not peer.up and peer.count(SessionEnded)
    peer.wait(limits.CALL_SLOW + 0.1)
    hello, *_ = [Hello.read(frame.body) for _, frame in peer.received if frame.kind == b"H"]
    assert hello is not None and (hello.nonce, hello.peer) == ("link-no2", "")


# -- 5: acknowledgement ------------------------------------------------------------------------------------------------


def _data(seq: int, payload: bytes, kind: bytes = b"c", ack: int = 0) -> tuple[bytes, bytes]:
    return kind, frames.data_body(seq, ack, payload, eight=False)


def test_5_3_a_poll_is_answered_immediately_and_a_data_frame_within_its_delay() -> None:
    peer = _peer_with_session()
    peer.send(b"P", digits.counted(9))
    (ack,) = [Ack.read(frame.body) for _, frame in peer.received]
    assert ack is not None and ack.poll == 9
    peer.received_kinds()
    peer.send(*_data(0, b"mAH1 hosts"))
    assert peer.received_kinds() == ""
    peer.wait(limits.ACK_DELAY + 0.001)
    assert peer.received_kinds() == "A"


def test_5_3_a_gap_is_reported_immediately() -> None:
    peer = _peer_with_session()
    peer.now += 0.01
    peer.send(*_data(2, b"mAH1 hosts"))
    (ack,) = [Ack.read(frame.body) for _, frame in peer.received]
    assert ack is not None and ack.prompt == (0, ((2, 1),))


def test_5_4_a_payload_that_the_answer_to_a_poll_does_not_acknowledge_is_retransmitted_unchanged() -> None:
    peer = _peer_with_session()
    peer.link.mux.send_message(0, b"1 hosts")
    peer.wait(0.001)
    (sent,) = [frame.body for _, frame in peer.received]
    peer.received_kinds()
    peer.wait(1.5)
    asked = [frames.read_poll(frame.body) for _, frame in peer.received if frame.kind == b"P"]
    assert asked and "c" not in peer.received_kinds(), "a timer alone never causes a retransmission"
    peer.send(b"A", Ack(age=0, poll=asked[-1] or 0, prompt=(0, ()), bulk=(0, ())).body())
    (retransmitted,) = [frame.body for _, frame in peer.received if frame.kind == b"c"]
    assert retransmitted == sent


def test_5_2_a_payload_that_the_receiver_drops_is_retransmitted_until_the_receiver_takes_it() -> None:
    peer = _peer_with_session()
    number = peer.link.mux.open(Lane.PROMPT, b"run sut true")
    bodies = set()
    for _ in range(5):
        peer.wait(1.5)
        bodies |= {frame.body for _, frame in peer.received if frame.kind == b"c"}
        poll = [frames.read_poll(frame.body) for _, frame in peer.received if frame.kind == b"P"][-1]
        assert poll is not None
        peer.received_kinds()
        peer.send(b"A", Ack(age=0, poll=poll, prompt=(0, ()), bulk=(0, ())).body())
        assert [frame.body for _, frame in peer.received if frame.kind == b"c"] == list(bodies)
    assert peer.up and number


def test_5_5_a_repeated_poll_takes_the_next_number() -> None:
    peer = _peer_with_session()
    peer.link.mux.send_message(0, b"1 hosts")
    peer.wait(2.5)
    polls = [frames.read_poll(frame.body) for _, frame in peer.received if frame.kind == b"P"]
    assert polls[:2] == [2, 3]


def test_6_1_a_bulk_channel_is_reset_by_an_x_in_the_prompt_lane() -> None:
    peer = _peer_with_session()
    number = peer.link.mux.open(Lane.BULK, b"run sut true")
    peer.wait(0.1)
    peer.send(*_data(0, b"x" + digits.counted(number) + digits.counted(2) + b"no"))
    assert peer.up and peer.count(ChannelClosed) == 1


def test_7_2_a_question_about_a_rate_without_the_flag_is_ignored_or_answered_with_no() -> None:
    peer = _peer_with_session()
    peer.send(b"S", RateFrame(step="a", number=1, rate=230400, value=6).body())
    answers = [RateFrame.read(frame.body) for _, frame in peer.received if frame.kind == b"S"]
    assert peer.up and all(answer is not None and answer.step == "n" for answer in answers)


@pytest.mark.parametrize("kind", [b"K", None])
def test_4_4_the_table_of_the_caller(kind: bytes | None) -> None:
    restarted = {"nonce": "hand-no2", "boot": "hand-bo2"}
    peer = ManualPeer("c")
    peer.wait(0.01)
    peer.send_hello(peer.hello("another8"))
    peer.send_hello(peer.hello(LINK_NONCE, nonce=LINK_NONCE))
    assert not peer.up
    peer.send_hello(peer.hello(LINK_NONCE))
    peer.received_kinds()
    peer.send_hello(peer.hello(LINK_NONCE, **restarted))
    assert peer.count(SessionUp) == 1, "the session is alive"
    peer.send_hello(peer.hello(LINK_NONCE))
    assert "A" in peer.received_kinds()
    peer.wait(20)
    assert peer.received_kinds().endswith("H")
    if kind is not None:
        peer.send(kind)
        peer.wait(0.01)
        assert "P" in peer.received_kinds() and peer.count(SessionUp) == 1
    else:
        peer.decoder.seeds = (session_seed(LINK_NONCE, restarted["nonce"]),)
        peer.send_hello(peer.hello(LINK_NONCE, **restarted))
        assert "P" in peer.received_kinds() and peer.count(SessionUp) == 2


# -- 6.4 and 9: the effect of each malformed input ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body"),
    [(b"Z", b"later"), (b"A", b"AAAA"), (b"R", b"^"[:0]), (b"K", b"more"), (b"P", b"A"), (b"R", b"=")],
    ids=["unknown kind", "short ack", "empty probed", "keep with a body", "poll 0", "malformed probed"],
)
def test_9_a_malformed_control_frame_has_no_effect_except_that_the_peer_was_heard(kind: bytes, body: bytes) -> None:
    peer = _peer_with_session()
    peer.now += 2.0
    peer.send(kind, body)
    assert peer.up and peer.link.heard_at == peer.now
    assert peer.received_kinds() == ("A" if kind == b"P" else "")


def test_9_a_malformed_hello_is_ignored() -> None:
    peer = ManualPeer("l")
    peer.send(b"H", b"c.short", seed=0)
    assert peer.received_kinds() == "" and not peer.events


_VIOLATIONS: dict[str, Callable[[ManualPeer], None]] = {
    "payload": lambda peer: peer.send(b"c", b"AAAAA"),
    "numbers": lambda peer: peer.send(b"d", b"AA"),
    "acknowledgement in data of something never sent": lambda peer: peer.send(*_data(0, b"", ack=1)),
    "acknowledgement of something never sent": lambda peer: peer.send(
        b"A", Ack(age=0, poll=0, prompt=(1, ()), bulk=(0, ())).body()
    ),
    "record": lambda peer: peer.send(*_data(0, b"mAZ1 hosts")),
    "record kind": lambda peer: peer.send(*_data(0, b"zAA")),
    "number": lambda peer: peer.send(*_data(0, b"oAAoBA" if peer.link.mux.open(Lane.BULK, b"") % 2 else b"oAA")),
}


@pytest.mark.parametrize("violation", _VIOLATIONS)
def test_6_4_a_protocol_violation_ends_the_session_with_a_bye(violation: str) -> None:
    peer = _peer_with_session()
    _VIOLATIONS[violation](peer)
    assert not peer.up and peer.count(SessionEnded) == 1
    peer.wait(1.0)
    assert peer.received_kinds().count("X") == 1


def test_7_a_probe_is_answered_with_its_length() -> None:
    peer = _peer_with_session()
    peer.send(b"T", frames.probe_body(120))
    (answer,) = [frame for _, frame in peer.received]
    assert (answer.kind, frames.read_probed(answer.body)) == (b"R", 120)


def test_3_3_frames_to_a_peer_without_flag_n_are_never_interrupted() -> None:
    peer = _peer_with_session()
    assert peer.link.session is not None and not peer.link.session.nest
