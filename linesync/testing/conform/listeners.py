"""Rules for listeners: how a hub answers calls, is silent, and begins and continues sessions."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ... import limits
from ...wire.framing import frames
from ...wire.framing.check import session_seed
from ...wire.framing.frames import Hello
from .rules import LISTENER, Failed, RuleList, Skipped
from .station import Station

__all__ = ["ANSWER", "SILENCE"]

ANSWER, SILENCE = RuleList(LISTENER), RuleList(LISTENER)
_SLACK = 0.5  # seconds that an endpoint may be late


def _only_shared(station: Station) -> None:
    if not station.shared:
        raise Skipped("the line is a clean pipe")


@ANSWER.add("silent-first", "4.3", "waits for 4 s, and then expects that the hub sends nothing for 4 s")
def _silent_first(station: Station) -> None:
    _only_shared(station)
    station.drop_session()
    station.pump(4.0)
    start = station.wire.now()
    station.pump(4.0)
    if station.count(b"HAPKXcd", since=start):
        raise Failed("the hub sent a frame although it was not called")


@ANSWER.add("answers", "4.4", "calls, and expects a hello with the role l that names the nonce")
def _answers(station: Station) -> None:
    hello = station.call()
    if hello.role != "l" or hello.nonce == hello.peer:
        raise Failed(f"the role of the answer is {hello.role!r}")
    station.prove(hello)
    station.check_alive("the first call")


@ANSWER.add("same-offer", "4.4", "calls twice with one nonce, and expects two answers with one nonce")
def _same_offer(station: Station) -> None:
    first = station.call()
    station.pump(0.3)
    if station.call_as(first.peer).nonce != first.nonce:
        raise Failed("the answers to two equal hellos have different nonces")
    station.prove(first)


@ANSWER.add("registers", "8.3", "registers, and expects ok and the boot id of the hello")
def _registers(station: Station) -> None:
    hello = station.begin_session()
    words = station.registered.split(" ")
    if words[:2] != ["ok", hello.boot]:
        raise Failed(f"the reply to register is {station.registered!r}, and the boot id of the hello is {hello.boot!r}")


@ANSWER.add("polls-first", "4.4", "proves itself with a keepalive, and expects a poll")
def _polls_first(station: Station) -> None:
    hello = station.call()
    station.send(frames.KEEP, seed=session_seed(hello.peer, hello.nonce))
    station.listen_for((session_seed(hello.nonce, hello.peer),))
    station.expect(b"P", 1.0, "a poll")
    station.prove(hello)


@ANSWER.add("refuses-version", "4.8", "calls with the versions 2 to 3, and expects a hello and no session")
def _version(station: Station) -> None:
    _refused(station, oldest=2, newest=3)


@ANSWER.add("refuses-capital-flag", "4.8", "calls with an unknown capital flag, and expects a hello and no session")
def _capital(station: Station) -> None:
    _refused(station, flags="Y")


def _refused(station: Station, **changes: Any) -> None:
    hello = station.call(**changes)
    station.listen_for((session_seed(hello.nonce, hello.peer),))
    station.send(frames.POLL, frames.poll_body(3), seed=session_seed(hello.peer, hello.nonce))
    station.pump(1.0)
    if station.count(b"APK"):
        raise Failed("the hub began a session that it must refuse")


@ANSWER.add("accepts-later-hello", "4.1", "calls with unknown small flags, further digits and further parts")
def _later(station: Station) -> None:
    station.later = b"AB.later.parts"
    try:
        hello = station.call(flags="xy")
    finally:
        station.later = b""
    station.prove(hello)


@ANSWER.add("unknown-session", "4.4", "calls with the nonces of a session that does not exist, and expects an offer")
def _unknown_session(station: Station) -> None:
    hello = station.call(station.token())
    station.prove(hello)
    station.check_alive("a call with an unknown session")


@ANSWER.add(
    "needs-proof",
    "4.4",
    "calls with a new nonce in a session, and expects that only the proof of the offer replaces the session",
)
def _needs_proof(station: Station) -> None:
    station.use_session()
    session = station.up
    hello = station.call_as(station.token())
    if hello.nonce == session.peer.nonce:
        raise Failed("the hub offered the nonce of its session")
    if not station.polls_answered(2.0) or station.session is not session:
        raise Failed("the hub left its session for a hello")
    station.prove(hello)
    station.listen_for((session.seed_in,))
    station.pump(0.5)
    start = station.wire.now()
    station.send(frames.POLL, frames.poll_body(3), seed=session.seed_out)
    station.pump(0.7)
    if _acks(station, session.seed_in, start):
        raise Failed("the hub answered a poll of the session that was replaced")
    station.check_alive("a new session")


def _acks(station: Station, seed: int, since: float) -> bool:
    return any(frame.kind == b"A" and frame.seed == seed and at >= since for at, frame in station.frames)


@ANSWER.add("resumes", "4.4", "calls with both nonces of the session, and expects an ack and no hello")
def _resumes(station: Station) -> None:
    station.use_session()
    session = station.up
    station.pump(0.5)
    start = station.wire.now()
    station.send(frames.HELLO, station.hello(session.own, session.peer.nonce), seed=0)
    station.expect(b"A", 1.0, "an ack")
    if station.count(b"H", since=start):
        raise Failed("the hub answered with a hello, so it did not continue the session")
    station.check_alive("a call with both nonces")


@ANSWER.add("second-listener", "4.4", "sends a hello of another listener into the session, and expects no answer")
def _second_listener(station: Station) -> None:
    station.use_session()
    station.check_alive()
    start = station.wire.now()
    body = Hello.read(station.hello(station.token(), ""))
    assert body is not None
    station.send(frames.HELLO, body.but(role="l", boot=station.token()).body(), seed=0)
    station.pump(1.0)
    if station.count(b"H", since=start):
        raise Failed("the hub answered another listener")
    station.check_alive("a hello of another listener")


@ANSWER.add("bye", "4.9", "ends the session with a bye, polls in it, and begins another session")
def _bye(station: Station) -> None:
    station.use_session()
    old = station.up
    station.end_session()
    station.pump(0.5)
    start = station.wire.now()
    station.listen_for((old.seed_in,))
    station.send(frames.POLL, frames.poll_body(3), seed=old.seed_out)
    station.pump(1.0)
    if _acks(station, old.seed_in, start):
        raise Failed("the hub answered a poll of the session that was over")
    station.begin_session()
    station.check_alive("a bye")


@SILENCE.add("keepalive", "4.6", "sends a keepalive every 2 s, and measures the pauses of the hub")
def _keepalive(station: Station) -> None:
    station.use_session()
    most = limits.KEEPALIVE_LISTENER if station.shared else limits.KEEPALIVE_PIPE
    station.pump(1.0)
    start = station.wire.now()
    station.pump(2.2 * most)
    times = [start, *(at for at, _ in station.frames if at > start), station.wire.now()]
    longest = max(b - a for a, b in pairwise(times))
    if longest > most + _SLACK:
        raise Failed(f"the hub sent nothing for {longest:.1f} s; it must send something every {most:g} s")


@SILENCE.add("silence", "4.3", "sends nothing for 12 s, and expects that the hub sends nothing after 3 s")
def _silence(station: Station) -> None:
    _only_shared(station)
    station.use_session()
    station.pump(0.5)
    with station.mute():
        start = station.wire.now()
        station.pump(12.0)
        if station.count(b"HAPKXcd", since=start + limits.SILENCE + _SLACK):
            raise Failed("the hub sent a frame more than 3 s after the last frame of the tester")


@SILENCE.add("sleeps", "4.7", "sends nothing for 30 s, calls with both nonces, and continues the session")
def _sleeps(station: Station) -> None:
    station.use_session()
    session = station.up
    with station.mute():
        station.pump(12.0 if not station.shared else 30.0)
    station.send(frames.HELLO, station.hello(session.own, session.peer.nonce), seed=0)
    station.expect(b"A", 2.0, "an ack")
    station.check_alive("a silence")
    if station.session is not session:
        raise Failed("the hub gave up the session")


@SILENCE.add("agent-restarts", "4.4", "is silent, and calls with another nonce and another boot id")
def _agent_restarts(station: Station) -> None:
    station.use_session()
    with station.mute():
        station.pump(10.0)
    station.drop_session()
    station.boot = station.token()
    station.begin_session()
    station.check_alive("a restart of the agent")
