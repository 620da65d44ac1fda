"""Checks rules of docs/protocol.md on a real link, with a peer whose frames the tests write by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from linesync import limits
from linesync.wire.events import Event, FrameFound, LineQuiet, OtherStationHeard, Refused, SessionEnded, SessionUp
from linesync.wire.framing import digits, frames
from linesync.wire.framing.check import session_seed
from linesync.wire.framing.decoder import Decoder
from linesync.wire.framing.frames import Ack, Frame, Hello, Lane
from linesync.wire.link import Link
from linesync.wire.reliability.handshake import LocalParameters

OURS, THEIRS = "link-non", "hand-non"  # the nonces of the link under test and of the hand-written peer


class Hand:
    """A peer controlled by the test, and the link that it talks to, on a clock that only :meth:`wait` advances."""

    def __init__(self, role: str, *, shared: bool = True, flags: str = "") -> None:
        nonces = iter((OURS, "link-no2", "link-no3", "link-no4"))
        local = LocalParameters(role=role, boot="link-bot", frame=127, credit=1000, flags=flags)
        self.link = Link(local, lambda: next(nonces))
        self.role = "l" if role == "c" else "c"
        self.now = 0.0
        self.events: list[Event] = []
        self.said: list[tuple[float, Frame]] = []
        self.flags = flags
        self.decoder = Decoder(longest=4096)
        self.decoder.seeds = (session_seed(OURS, THEIRS), session_seed("link-no2", THEIRS))
        self.link.line_up(0.0, shared=shared)

    def hello(self, peer: str = "", **changes: object) -> Hello:
        usual = {"oldest": 1, "newest": 1, "role": self.role, "nonce": THEIRS, "peer": peer, "boot": "hand-bot"}
        return Hello(**(usual | {"frame": 127, "credit": 1000, "flags": self.flags} | changes))  # type: ignore[arg-type]

    def say(self, kind: bytes, body: bytes = b"", *, seed: int | None = None, ours: str = OURS) -> None:
        self.raw(frames.encode(kind, body, session_seed(THEIRS, ours) if seed is None else seed))

    def raw(self, data: bytes) -> None:
        self.events += self.link.receive_data(data, self.now)
        self.listen()

    def greet(self, hello: Hello) -> None:
        self.say(b"H", hello.body(), seed=0)

    def listen(self) -> None:
        while data := self.link.data_to_send(self.now):
            self.said += [
                (self.now, e.frame) for e in self.decoder.receive(data, self.now) if isinstance(e, FrameFound)
            ]

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        self.listen()
        while (when := self.link.next_timer(self.now)) is not None and when <= until:
            self.now = max(when, self.now + 1e-4)
            self.events += self.link.handle_timer(self.now)
            self.listen()
        self.now = until

    def kinds(self) -> str:
        """The kinds of the frames that the link has sent since the last call."""
        said, self.said = self.said, []
        return b"".join(frame.kind for _, frame in said).decode()

    def seen(self, kind: type[Event]) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    @property
    def up(self) -> bool:
        return self.link.session is not None


def _standing(role: str = "l", **how: object) -> Hand:
    hand = Hand(role, **how)  # type: ignore[arg-type]
    if role == "c":
        hand.wait(0.01)
        hand.greet(hand.hello(OURS))
    else:
        hand.greet(hand.hello())
        hand.say(b"K")
    assert hand.up
    hand.say(b"A", Ack(age=0, poll=1, prompt=(0, ()), bulk=(0, ())).body())
    hand.kinds()
    return hand


# -- 4: calling, silence, keeping alive -------------------------------------------------------------------------------


def test_4_2_a_caller_calls_immediately_then_fast_then_slowly() -> None:
    hand = Hand("c")
    hand.wait(8.0)
    times = [when for when, _ in hand.said]
    assert hand.kinds() == "H" * len(times)
    gaps = [round(b - a, 2) for a, b in pairwise(times)]
    fast = limits.CALL_FAST_COUNT - 1
    assert times[0] < 0.001
    assert gaps == [limits.CALL_FAST] * fast + [limits.CALL_SLOW] * (len(gaps) - fast)


def test_4_3_a_listener_sends_nothing_before_a_valid_frame_or_3_s_after_the_last() -> None:
    hand = Hand("l")
    hand.raw(b"login: ^PBBAAAAAA\n")
    hand.wait(30)
    assert hand.kinds() == ""
    hand.greet(hand.hello())
    assert hand.kinds() == "H"
    hand.wait(30)
    hand.say(b"K")
    hand.wait(0.5)
    said, hand.said = hand.said, []
    assert said and all(when < hand.now for when, _ in said)
    hand.now += 3.1
    hand.link.mux.send_message(0, b"waiting data")
    hand.wait(5)
    assert hand.kinds() == ""


@pytest.mark.parametrize(
    ("role", "shared", "period"),
    [
        ("c", True, limits.KEEPALIVE_CALLER),
        ("l", False, limits.KEEPALIVE_PIPE),
        ("c", False, limits.KEEPALIVE_PIPE),
    ],
)
def test_4_6_an_idle_end_sends_a_keepalive_in_time(role: str, shared: bool, period: float) -> None:
    hand = _standing(role, shared=shared)
    start = hand.now
    hand.wait(period + 0.1)
    (keep,) = [when for when, frame in hand.said if frame.kind == b"K"]
    assert keep - start == pytest.approx(period, abs=0.05)


def test_4_6_4_7_a_caller_polls_after_7_5_s_and_calls_1_s_later_with_both_nonces() -> None:
    hand = _standing("c")
    hand.wait(limits.POLL_IDLE - 0.1)
    assert "P" not in hand.kinds()
    hand.wait(0.2)
    assert "P" in hand.kinds() and not hand.seen(LineQuiet)
    hand.wait(limits.QUIET_AFTER)
    assert hand.seen(LineQuiet)
    hello, *_ = [Hello.read(frame.body) for _, frame in hand.said if frame.kind == b"H"]
    assert hello is not None and (hello.nonce, hello.peer) == (OURS, THEIRS)


def test_4_7_a_listener_considers_its_line_quiet_after_8_s() -> None:
    hand = _standing()
    hand.wait(limits.QUIET_LISTENER - 0.1)
    assert not hand.seen(LineQuiet)
    hand.wait(0.2)
    assert hand.seen(LineQuiet) and hand.up


def test_4_4_a_hello_that_names_both_nonces_is_answered_with_an_ack() -> None:
    hand = _standing()
    hand.greet(hand.hello(OURS))
    assert hand.kinds() == "AP"


def test_4_4_a_frame_keyed_by_the_offer_replaces_the_session_and_a_hello_alone_does_not() -> None:
    hand = _standing()
    hand.greet(hand.hello(nonce="hand-no2"))
    assert hand.kinds() == "H" and hand.seen(SessionUp) == 1
    hand.raw(frames.encode(b"K", b"", session_seed("hand-no2", "link-no2")))
    assert hand.seen(SessionUp) == 2


def test_4_4_a_second_listener_on_the_line_is_reported_and_not_answered() -> None:
    hand = _standing()
    hand.greet(hand.hello(nonce="hand-no2", boot="other-bt", role="l"))
    assert hand.kinds() == "" and hand.seen(OtherStationHeard) == 1


@pytest.mark.parametrize("changes", [{"oldest": 2, "newest": 3}, {"flags": "nZ"}])
def test_4_8_an_incompatible_hello_is_refused_and_answered_once(changes: dict[str, object]) -> None:
    hand = Hand("l")
    hand.greet(hand.hello(**changes))
    assert hand.seen(Refused) == 1 and hand.kinds() == "H" and not hand.up
    hand.greet(hand.hello(OURS, **changes))
    assert hand.kinds() == "" and not hand.up


def test_4_1_an_unknown_lower_case_flag_is_ignored() -> None:
    hand = Hand("l")
    hand.greet(hand.hello(flags="qz"))
    hand.say(b"K")
    assert hand.up


def test_4_9_after_a_bye_a_caller_calls_a_second_later_with_a_new_nonce() -> None:
    hand = _standing("c")
    hand.say(b"X", b"ZG9uZQ")
    assert not hand.up and hand.seen(SessionEnded)
    hand.wait(limits.CALL_SLOW + 0.1)
    hello, *_ = [Hello.read(frame.body) for _, frame in hand.said if frame.kind == b"H"]
    assert hello is not None and (hello.nonce, hello.peer) == ("link-no2", "")


# -- 5: acknowledgement -----------------------------------------------------------------------------------------------


def _data(seq: int, payload: bytes, kind: bytes = b"c", ack: int = 0) -> tuple[bytes, bytes]:
    return kind, frames.data_body(seq, ack, payload, eight=False)


def test_5_3_a_poll_is_answered_immediately_and_a_data_frame_within_its_delay() -> None:
    hand = _standing()
    hand.say(b"P", digits.counted(9))
    (ack,) = [Ack.read(frame.body) for _, frame in hand.said]
    assert ack is not None and ack.poll == 9
    hand.kinds()
    hand.say(*_data(0, b"mAH1 hosts"))
    assert hand.kinds() == ""
    hand.wait(limits.ACK_DELAY + 0.001)
    assert hand.kinds() == "A"


def test_5_3_a_gap_is_reported_immediately() -> None:
    hand = _standing()
    hand.now += 0.01
    hand.say(*_data(2, b"mAH1 hosts"))
    (ack,) = [Ack.read(frame.body) for _, frame in hand.said]
    assert ack is not None and ack.prompt == (0, ((2, 1),))


def test_5_4_a_payload_missing_in_a_polls_answer_is_retransmitted_unchanged() -> None:
    hand = _standing()
    hand.link.mux.send_message(0, b"1 hosts")
    hand.wait(0.001)
    (sent,) = [frame.body for _, frame in hand.said]
    hand.kinds()
    hand.wait(1.5)
    asked = [frames.read_poll(frame.body) for _, frame in hand.said if frame.kind == b"P"]
    assert asked and "c" not in hand.kinds(), "a timer alone never causes a retransmission"
    hand.say(b"A", Ack(age=0, poll=asked[-1] or 0, prompt=(0, ()), bulk=(0, ())).body())
    (again,) = [frame.body for _, frame in hand.said if frame.kind == b"c"]
    assert again == sent


# -- 6.4 and 9: the effect of each malformed input ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body"),
    [(b"Z", b"later"), (b"A", b"AAAA"), (b"R", b"^"[:0]), (b"K", b"more"), (b"P", b"A"), (b"R", b"=")],
    ids=["unknown kind", "short ack", "empty probed", "keep with a body", "poll 0", "malformed probed"],
)
def test_9_a_malformed_control_frame_is_ignored_and_counts_as_heard(kind: bytes, body: bytes) -> None:
    hand = _standing()
    hand.now += 2.0
    hand.say(kind, body)
    assert hand.up and hand.link.heard_at == hand.now
    assert hand.kinds() == ("A" if kind == b"P" else "")


def test_9_a_malformed_hello_is_ignored() -> None:
    hand = Hand("l")
    hand.say(b"H", b"c.short", seed=0)
    assert hand.kinds() == "" and not hand.events


_FAULTS: dict[str, Callable[[Hand], None]] = {
    "payload": lambda hand: hand.say(b"c", b"AAAAA"),
    "numbers": lambda hand: hand.say(b"d", b"AA"),
    "acknowledgement in data of something never sent": lambda hand: hand.say(*_data(0, b"", ack=1)),
    "acknowledgement of something never sent": lambda hand: hand.say(
        b"A", Ack(age=0, poll=0, prompt=(1, ()), bulk=(0, ())).body()
    ),
    "record": lambda hand: hand.say(*_data(0, b"mAZ1 hosts")),
    "record kind": lambda hand: hand.say(*_data(0, b"zAA")),
    "number": lambda hand: hand.say(*_data(0, b"oAAoBA" if hand.link.mux.open(Lane.BULK, b"") % 2 else b"oAA")),
}


@pytest.mark.parametrize("fault", _FAULTS)
def test_6_4_a_protocol_violation_ends_the_session_with_a_bye(fault: str) -> None:
    hand = _standing()
    _FAULTS[fault](hand)
    assert not hand.up and hand.seen(SessionEnded) == 1
    hand.wait(1.0)
    assert hand.kinds().count("X") == 1


def test_7_a_probe_is_answered_with_its_length() -> None:
    hand = _standing()
    hand.say(b"T", frames.probe_body(120))
    (answer,) = [frame for _, frame in hand.said]
    assert (answer.kind, frames.read_probed(answer.body)) == (b"R", 120)


def test_3_3_frames_to_a_peer_without_flag_n_are_never_interrupted() -> None:
    hand = _standing()
    assert hand.link.session is not None and not hand.link.session.nest
