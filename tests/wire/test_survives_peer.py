"""The link works with peers that restart, are slow, send hostile bytes, have another version, or do not know linesync."""

from __future__ import annotations

import random
import tracemalloc
from itertools import pairwise

import pytest

from linesync import limits
from linesync.testing.faults import Faults
from linesync.testing.virtual_line import VirtualLine
from linesync.wire.events import (
    ChannelClosed,
    ChannelData,
    ChannelMessage,
    LineBack,
    LineQuiet,
    OtherStationHeard,
    Refused,
    Restarted,
    SessionEnded,
    SessionUp,
)
from linesync.wire.framing import frames
from linesync.wire.framing.decoder import Decoder
from linesync.wire.framing.frames import Hello, Lane
from linesync.wire.link import Link

from .kit.bus import Bus
from .kit.traffic import answer_pings, endless_bulk, percentile, ready, received, round_trips, send_all

# -- restarts, stale frames, other stations ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_peer_that_restarts_ends_the_session_and_begins_a_new_session(name: str) -> None:
    line = ready()
    survivor, restarting = (line.b, line.a) if name == "a" else (line.a, line.b)
    channel = survivor.link.mux.open(Lane.BULK, b"run")
    line.run(0.2)
    before = survivor.link.session.peer.boot
    restarting.restart()
    assert line.run_until(lambda: restarting.up and survivor.link.session.peer.boot != before, 10), line.transcript()
    (restarted,) = survivor.seen(Restarted)
    assert restarted.old_boot == before
    assert [e.reason for e in survivor.seen(ChannelClosed) if e.channel == channel] == ["the peer restarted"]
    survivor.link.mux.send_message(0, b"new session")
    line.run(0.5)
    assert restarting.messages(0)[-1:] == [b"new session"]


def test_a_hub_that_restarts_under_traffic_has_a_session_with_its_agent_within_2_s() -> None:
    for seed in range(8):
        line = ready(seed)
        endless_bulk(line, line.a)
        line.run(line.random.random())
        line.b.restart()
        back = line.run_until(lambda line=line: line.b.up and line.b.link.session is not None, 2.0)
        assert back, line.transcript()


def test_an_agent_that_restarts_after_minutes_of_silence_is_answered() -> None:
    line = ready()
    line.a.line_down()
    line.run(120)
    line.a.restart()
    assert line.run_until(lambda: line.a.up and line.b.up, 1.0), line.transcript()


@pytest.mark.parametrize("disconnected", ["a", "b", "ab"])
def test_the_session_continues_after_a_lost_line_is_restored(disconnected: str) -> None:
    line = ready()
    nonce = line.a.link.session.nonce
    channel = endless_bulk(line, line.a)
    line.run(0.5)
    for end in line.ends:
        if end.name in disconnected:
            end.line_down()
    line.run(12)
    before = received(line.b)
    for end in line.ends:
        if end.name in disconnected:
            end.line_up()
    assert line.run_until(lambda: received(line.b) > before + 5000, 3), line.transcript()
    assert line.a.link.session.nonce == nonce and line.a.link.mux.is_open(channel)
    assert not line.b.seen(Restarted) and len(line.b.seen(SessionUp)) == 1


def test_a_session_moves_to_another_line_if_its_owner_has_it() -> None:
    line = ready(local={"flags": "n"})
    channel = line.a.link.mux.open(Lane.BULK, b"x")
    line.run(0.2)
    line.a.line_down()
    line.b.line_down()
    line.run(1)
    line.a.line_up()  # the agent uses a line where the hub has a new link
    session, old = line.b.link.session, line.b.link
    stranger = line.b._new_link()
    stranger.line_up(line.now, byte_rate=line.nominal, shared=True)
    hello = old.handshake.hello()
    assert hello.nonce == session.nonce
    line.b.line_up()  # ResumeAsked: the owner puts the old link on the line and feeds it the same bytes
    assert line.run_until(lambda: line.a.up and line.b.up, 2), line.transcript()
    assert line.b.link.session is session and line.a.link.mux.is_open(channel)


def test_stale_frames_of_an_earlier_session_change_nothing() -> None:
    line = VirtualLine(3)
    recorded = bytearray()
    feed = line.cable.feed

    def note(end: str, data: bytes, now: float) -> None:
        if end == "a":
            recorded.extend(data)
        feed(end, data, now)  # type: ignore[arg-type]

    line.cable.feed = note  # type: ignore[method-assign, assignment]
    line.establish()
    line.a.link.mux.send_message(0, b"old")
    line.run(1)
    old = bytes(recorded)
    line.a.restart()
    line.run(3)
    nonce, before = line.b.link.session.nonce, len(line.b.messages(0))
    for _ in range(5):  # hellos, data and polls of the old session
        line.inject("b", old)
        line.run(1)
    line.a.link.mux.send_message(0, b"still there")
    line.run(4)
    assert line.b.link.session.nonce == nonce
    assert line.b.messages(0)[before:] == [b"still there"]


def test_both_ends_may_call_at_the_same_time() -> None:
    for seed in range(10):
        line = VirtualLine(seed, local_b={"role": "c"}, faults=Faults(delay=0.02 * (seed % 3)))
        line.establish(3)
        line.run(3)
        assert len(line.a.seen(SessionUp)) == len(line.b.seen(SessionUp)) == 1, line.transcript()


def test_another_station_is_reported_and_gets_no_session() -> None:
    bus = Bus(agent="c", hub="l")
    bus.run(2)
    session = bus.links["hub"].session
    bus.add("stranger", "c")
    bus.run(10)
    assert bus.links["hub"].session is session
    assert bus.seen("hub", OtherStationHeard) or bus.seen("agent", OtherStationHeard)
    bus.links["agent"].mux.send_message(0, b"we two")
    bus.run(1)
    assert [e.data for e in bus.seen("hub", ChannelMessage)] == [b"we two"]


def test_one_of_two_hubs_on_a_line_serves_and_the_other_is_reported() -> None:
    bus = Bus(hub="l", other="l", agent="c")
    bus.run(10)
    standing = [name for name in ("hub", "other") if bus.links[name].session is not None]
    peer = bus.links["agent"].session.peer.boot
    served = [name for name in standing if bus.links[name].local.boot == peer]
    assert len(served) == 1
    bus.links["agent"].mux.send_message(0, b"one of you")
    bus.run(1)
    assert [e.data for e in bus.seen(served[0], ChannelMessage)] == [b"one of you"]
    assert bus.seen("agent", OtherStationHeard)


# -- slow receivers, prompt control ------------------------------------------------------------------------------------


def test_an_unread_channel_does_not_stop_the_others() -> None:
    line = ready()
    line.b.consume = False
    stuck = endless_bulk(line, line.a)
    line.run(20)
    kept = sum(len(e.data) for e in line.b.seen(ChannelData) if e.channel == stuck)
    assert kept <= line.b.link.local.credit
    line.b.consume = True
    send_all(line, line.a, bytes(30_000))
    line.a.link.mux.send_message(0, b"prompt")
    line.run(0.2)
    assert line.b.messages(0) == [b"prompt"]
    assert sum(len(e.data) for e in line.b.seen(ChannelData) if e.channel == stuck) == kept


@pytest.mark.long
@pytest.mark.parametrize("real", [1.0, 0.98])
@pytest.mark.parametrize(("baud", "count", "gap"), [(9600, 120, 0.05), (115200, 120, 0.05), (921600, 80, 0.02)])
def test_control_frames_are_sent_between_the_bytes_of_bulk_frames(
    baud: int, count: int, gap: float, real: float
) -> None:
    times = []
    for loaded in (False, True):
        line = ready(settle=3 + 5000 / baud * 10, byte_rate=baud / 10 * real, nominal=baud / 10)
        answer_pings(line.b)
        if loaded:
            endless_bulk(line, line.a)
            endless_bulk(line, line.b)
            line.run(12 if baud < 20_000 else 6)
            line.a.ahead = line.b.ahead = 0
        times.append(round_trips(line, count, gap))
    idle, busy = (percentile(delays, 0.99) for delays in times)
    assert busy <= idle + 0.045, f"{baud} baud: idle {idle * 1e3:.1f} ms, busy {busy * 1e3:.1f} ms"
    if baud > 20_000:
        assert max(line.a.ahead, line.b.ahead) / (baud / 10) < 0.020


@pytest.mark.parametrize("baud", [300, 1200, 2400])
def test_slow_lines_are_paced_too(baud: int) -> None:
    line = VirtualLine(1, byte_rate=baud / 10)
    line.establish(60)
    line.a.link.mux.send_message(0, b"slow but sure")
    assert line.run_until(lambda: line.b.messages(0) == [b"slow but sure"], 60), line.transcript()
    assert line.a.ahead <= max(1, 0.02 * baud / 10)


# -- loss --------------------------------------------------------------------------------------------------------------


def test_a_gap_is_reported_immediately_and_only_the_missing_frame_is_repeated() -> None:
    line = ready()
    endless_bulk(line, line.a)
    line.run(2)
    sender = line.a.link.session.senders[Lane.BULK]
    assert sender.repeated == 0
    for expected in range(1, 6):
        line.inject("b", b"#")  # one byte in the middle of one frame
        before = line.now
        assert line.run_until(lambda expected=expected: sender.repeated >= expected, 1), line.transcript()
        # This time covers the rest of that frame, the next one, an acknowledgement and the frame in progress, but no timer.
        assert line.now - before < 3.2 * 2048 / 11520
        line.run(1)
        assert sender.repeated == expected


def test_timers_adapt_to_the_line() -> None:
    for baud, delay in ((9600, 0.0), (115200, 0.0), (115200, 0.15)):
        line = ready(settle=8, byte_rate=baud / 10, faults=Faults(delay=delay))
        answer_pings(line.b)
        round_trips(line, 20, 0.2)
        trip = line.a.link.session.round_trip
        assert 2 * delay <= trip.value < 2 * delay + 0.03 + 120 / (baud / 10)
        assert trip.probe_timeout(0.0) < 4 * delay + 0.5 + 500 / (baud / 10)


def test_the_last_message_is_repeated_until_it_arrives() -> None:
    line = ready(4, faults=Faults(cuts=((5.0, 60.0),)))
    line.run_until(lambda: line.now > 5.0, 10)
    line.a.link.mux.send_message(0, b"the last one")
    line.run(58)
    (quiet,) = line.a.seen(LineQuiet)
    assert quiet.silent_for < 10
    assert line.run_until(lambda: line.b.messages(0) == [b"the last one"], 6), line.transcript()
    assert line.a.seen(LineBack)
    line.run(20)
    assert line.b.messages(0) == [b"the last one"]


def test_an_idle_session_costs_5_bytes_a_second_and_notices_a_lost_line() -> None:
    line = ready(settle=5)
    before = line.a.link.counters.bytes_out + line.b.link.counters.bytes_out
    line.run(600)
    after = line.a.link.counters.bytes_out + line.b.link.counters.bytes_out
    assert after - before <= 600 * 5 + 20
    assert not line.a.seen(LineQuiet) and not line.b.seen(LineQuiet)
    line.cable.pull(line.now)
    line.run(10)
    assert line.a.seen(LineQuiet) and line.b.seen(LineQuiet)


# -- hostile bytes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("byte", [b"A", b"^", b"^d", b"^dzzzzA", b"^H", b"\xff", b"\r", b"^c\xff\n", b"^dgA"])
def test_a_megabyte_without_a_newline_costs_bounded_memory(byte: bytes) -> None:
    link = VirtualLine(1).b.link
    chunk = byte * (4096 // len(byte))
    for number in range(256):
        link.receive_data(chunk, number * 0.001)
        line = link._line
        assert line is not None
        held = len(line.decoder._view) + len(line.decoder._raw) + line.console.pending
        assert held < 2 * (2048 + limits.FOREIGN_IN_FRAME + 4096) + limits.HELD_BYTES


def test_a_megabyte_without_a_newline_leaks_no_memory() -> None:
    link = VirtualLine(1).b.link
    tracemalloc.start()
    for number in range(256):
        link.receive_data(b"^dh_U" + b"A" * 4091, number * 0.001)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000


def test_each_byte_is_counted_by_cause() -> None:
    rng = random.Random(10)
    line = ready(6, faults=Faults(ber=5e-5, printk=3, lf_to_crlf=True))
    endless_bulk(line, line.a)
    line.run(6)
    for _ in range(50):
        line.inject("b", rng.randbytes(rng.randrange(60)))
        line.run(0.05)
    line.cable.pull(line.now)
    line.run(6)
    counters = line.b.link.counters
    assert counters.text == len(line.b.text) and counters.noise == len(line.b.noise)
    console = line.b.link._line.console
    framed = line.b.link._line.decoder.framed
    inserted = line.b.link._line.decoder.inserted
    explained = console.explained
    assert console.pending == 0
    assert counters.bytes_in == framed + inserted + explained + counters.text + counters.noise


def test_a_malformed_record_ends_the_session_and_a_new_session_begins() -> None:
    line = ready()
    session = line.a.link.session
    bad = frames.data_body(session.senders[Lane.PROMPT].next_seq, 0, b"?nonsense", eight=False)
    line.inject("b", frames.encode(b"c", bad, session.seed_out))
    line.run(0.2)
    assert len(line.b.seen(SessionEnded)) == 1
    assert line.run_until(lambda: line.a.up and line.b.up and line.b.link.session is not None, 20), line.transcript()
    line.a.link.mux.send_message(0, b"new")
    line.run(2)
    assert line.b.messages(0) == [b"new"], line.transcript()
    assert len(line.b.seen(SessionEnded)) == 1


# -- peers without linesync --------------------------------------------------------------------------------------------


def test_a_listener_is_silent_before_and_3_s_after_valid_frames() -> None:
    line = VirtualLine(1)
    line.a.line_down()
    for second in range(20):
        line.at(second, lambda: line.inject("b", b"U-Boot 2023.01\r\nHit any key to stop autoboot: 3 ^H^H 2\r\n"))
    line.run(20)
    assert line.b.link.counters.bytes_out == 0
    line.a.line_up()
    line.establish(1)
    line.cable.pull(line.now)
    line.run(limits.SILENCE + 0.05)
    before = line.b.link.counters.bytes_out
    if line.b.link.session is not None:
        line.b.link.mux.send_message(0, b"keep this")
    line.run(300)
    assert line.b.link.counters.bytes_out == before


def test_a_caller_calls_every_200_ms_and_then_every_second() -> None:
    line = VirtualLine(1)
    line.b.line_down()
    calls: list[float] = []
    line.a.link.trace = lambda way, kind, body, length: calls.append(line.now) if kind == b"H" else None
    line.run(20)
    gaps = [round(after - before, 1) for before, after in pairwise(calls)]
    assert gaps[: limits.CALL_FAST_COUNT - 1] == [0.2] * (limits.CALL_FAST_COUNT - 1)
    assert set(gaps[limits.CALL_FAST_COUNT :]) == {1.0}


# -- two versions ------------------------------------------------------------------------------------------------------


def _receive_hello(link: Link, hello: Hello, extra: bytes = b"") -> list[object]:
    link.line_up(0.0, byte_rate=11520.0, shared=True)
    return list(link.receive_data(frames.encode(b"H", hello.body() + extra, 0), 1.0))


def _unknown_hello() -> Hello:
    return Hello(oldest=1, newest=1, role="c", nonce="N" * 8, peer="", boot="B" * 8, frame=512, credit=4096, flags="n")


def test_disjoint_version_ranges_are_refused_and_both_are_named() -> None:
    link = VirtualLine(1).b.link
    (refused,) = _receive_hello(link, _unknown_hello().but(oldest=limits.VERSION + 6, newest=limits.VERSION + 8))
    assert isinstance(refused, Refused)
    assert "versions 7 to 9" in refused.reason and "1 to 1" in refused.reason
    assert b"^H" in link.data_to_send(1.0)  # so that the other side can report the same


def test_an_unknown_mandatory_flag_is_refused_and_both_versions_are_named() -> None:
    (refused,) = _receive_hello(VirtualLine(1).b.link, _unknown_hello().but(newest=3, flags="nZ"))
    assert isinstance(refused, Refused)
    assert "Z" in refused.reason and "version 3" in refused.reason and "version 1" in refused.reason


def test_other_unknown_flags_frames_and_fields_are_ignored() -> None:
    link = VirtualLine(1).b.link
    assert _receive_hello(link, _unknown_hello().but(newest=4, flags="nqxy"), b".more.fields") == []
    assert b"^H" in link.data_to_send(1.0)
    line = ready()
    for kind in (b"Q", b"z", b"G"):
        line.inject("b", frames.encode(kind, b"whatever", line.a.link.session.seed_out))
    line.a.link.mux.send_message(0, b"go on")
    line.run(1)
    assert line.b.messages(0) == [b"go on"]
    assert not line.b.seen(SessionEnded) and not line.b.text


def test_a_decoder_accepts_frames_of_unknown_kinds() -> None:
    decoder = Decoder()
    decoder.seeds = (5,)
    (found,) = decoder.receive(frames.encode(b"Z", b"abc", 5), 0.0)
    assert found.frame.kind == b"Z"  # type: ignore[union-attr]
