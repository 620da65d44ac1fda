"""Rules for callers: how an agent or another endpoint calls, begins sessions, keeps the line alive and comes back."""

from __future__ import annotations

from itertools import pairwise

from ... import limits
from ...wire.framing import frames
from ...wire.framing.check import session_seed
from ...wire.framing.frames import Hello
from .rules import CALLER, SHOULD, Failed, RuleList, Skipped
from .station import PATIENCE, Station

__all__ = ["BEGIN", "RETURN"]

BEGIN, RETURN = RuleList(CALLER), RuleList(CALLER)
_WHILE_CALLING = 1.2  # seconds in which a caller that calls slowly sends a hello
_FIRST_POLL = 0.4  # seconds; later, an endpoint polls because its first request was not acknowledged
_SLACK = 0.5  # seconds that an endpoint may be late
_KEEPALIVE_SLACK = 0.15  # the same for a keepalive; a hub is silent 0.2 s after the time of a keepalive (4.3)


def _ignored(station: Station, hello: Hello, body: bytes, what: str, *, damage: bool = False) -> None:
    """Check that the caller continues to call after a hello that it must not accept.

    :param hello: the hello of the caller.
    :param body: the body of the answer.
    :param damage: whether to send the answer with a wrong check.
    """
    nonce = body.split(b".")[1].decode()
    station.listen_for((session_seed(hello.nonce, nonce),))
    before, start = len(station.hellos()), station.wire.now()
    answer = bytearray(frames.encode(frames.HELLO, body, 0))
    if damage:
        answer[-7] = ord("B" if answer[-7] != ord("B") else "C")
    station.send_raw(bytes(answer))
    station.pump(_WHILE_CALLING + _SLACK)
    if station.count(b"APKcd", since=start):
        raise Failed(f"the endpoint began a session with {what}")
    if len(station.hellos()) == before:
        raise Failed(f"the endpoint stopped calling after {what}")


@BEGIN.add("calls", "4.2", "waits for a hello without a peer, and for two more with the same nonce")
def _calls(station: Station) -> None:
    station.await_call()
    if not station.pump(PATIENCE, lambda: len(_fresh(station)) >= 3):
        raise Failed("the endpoint did not call three times with one nonce that names no peer")


def _fresh(station: Station) -> list[Hello]:
    """The last hellos that have one nonce and name no peer."""
    hellos = station.hellos()
    return [hello for hello in hellos if (hello.nonce, hello.peer) == (hellos[-1].nonce, "")]


@BEGIN.add("ignores-other-answer", "4.4", "answers with a hello that names another nonce")
def _other_answer(station: Station) -> None:
    hello = station.await_call()
    _ignored(station, hello, station.hello(station.token(), station.token()), "a hello that names another nonce")


@BEGIN.add("ignores-damaged-answer", "2.1", "answers with a hello whose check has a wrong digit")
def _damaged_answer(station: Station) -> None:
    hello = station.await_call()
    _ignored(station, hello, station.hello(station.token(), hello.nonce), "a damaged hello", damage=True)


@BEGIN.add("ignores-echo", "4.4", "sends the hello of the endpoint back to it")
def _echo(station: Station) -> None:
    hello = station.await_call()
    _ignored(station, hello, hello.body(), "its own hello")
    _ignored(station, hello, station.hello(hello.nonce, hello.nonce), "a hello with its own nonce")


@BEGIN.add("refuses-version", "4.8", "answers with a hello that supports only the versions 2 to 3")
def _version(station: Station) -> None:
    hello = station.await_call()
    _ignored(
        station, hello, station.hello(station.token(), hello.nonce, oldest=2, newest=3), "a hello of another version"
    )


@BEGIN.add("refuses-capital-flag", "4.8", "answers with a hello that has an unknown capital flag")
def _capital(station: Station) -> None:
    hello = station.await_call()
    _ignored(station, hello, station.hello(station.token(), hello.nonce, flags="Y"), "a hello with the flag Y")


@BEGIN.add("ignores-malformed-hello", "4.1", "answers with hellos that break a rule of the table of fields")
def _malformed(station: Station) -> None:
    hello = station.await_call()
    valid = station.hello(station.token(), hello.nonce)
    for body in (valid.rpartition(b".")[0], station.hello(station.token(), hello.nonce, credit=63)):
        _ignored(station, hello, body, "a malformed hello")


@BEGIN.add("accepts-later-hello", "4.1", "answers with unknown small flags, further digits and further parts")
def _later(station: Station) -> None:
    hello = station.await_call()
    station.later = b"AB.later.parts"
    try:
        station.answer(hello, flags="xy")
    finally:
        station.later = b""
    station.check_alive("a hello with later parts")


@BEGIN.add("polls-first", "4.4", "waits for a poll after the answer to a hello")
def _first_poll(station: Station) -> None:
    station.begin_session()
    if not station.pump(_FIRST_POLL, lambda: station.count(b"P") > 0):
        raise Failed(f"the endpoint did not poll within {_FIRST_POLL} s of the begin of the session")


@BEGIN.add("registers", "8.3, A.1", "waits for register with the boot id of the hello as the first request")
def _registers(station: Station) -> None:
    hello = station.begin_session()
    _registered(station, hello)


def _registered(station: Station, hello: Hello) -> None:
    if not station.pump(PATIENCE, lambda: bool(station.requests)):
        raise Failed(f"the endpoint sent no request within {PATIENCE:g} s of the begin of the session")
    words = station.requests[0].split(" ")
    if words[1:2] != ["register"] or len(words) < 4:
        raise Failed(f"the first request of the session is not register: {station.requests[0]!r}")
    if words[3] != hello.boot:
        raise Failed(f"the boot id of the request is {words[3]!r}, and that of the hello is {hello.boot!r}")


@BEGIN.add("activity", "8.3, A.1", "asks activity, also with an unknown option, and expects ok")
def _activity(station: Station) -> None:
    station.use_session()
    for text in ("activity", "activity colour=blue"):
        reply = station.ask(text)
        if not reply.startswith("ok"):
            raise Failed(f"the reply to {text!r} is {reply!r}")


# -- keeping alive, silence, restarts --------------------------------------------------------------------------------


@RETURN.add("keepalive", "4.6", "sends only a keepalive every 2 s, and measures the pauses of the endpoint")
def _keepalive(station: Station) -> None:
    station.use_session()
    most = limits.KEEPALIVE_CALLER if station.shared else limits.KEEPALIVE_PIPE
    station.pump(1.0)
    start = station.wire.now()
    station.pump(2.5 * most)
    times = [start, *(at for at, _ in station.frames if at > start), station.wire.now()]
    longest = max(b - a for a, b in pairwise(times))
    if longest > most + _KEEPALIVE_SLACK:
        raise Failed(f"the endpoint sent nothing for {longest:.2f} s; it must send something every {most:g} s")


def _fall_silent(station: Station) -> None:
    """Send nothing until the endpoint calls with the nonces of the session."""
    station.use_session()
    session = station.up
    names = (session.peer.nonce, session.own)

    def called() -> bool:
        return any((hello.nonce, hello.peer) == names for hello in station.hellos())

    # the time of the rule, and a margin for an endpoint that is slower than our constants
    most = (
        limits.POLL_IDLE + limits.QUIET_AFTER if station.shared else 2 * limits.KEEPALIVE_PIPE + limits.QUIET_AFTER_PIPE
    )
    if not station.pump(most + 4.0, called):
        raise Failed(f"the endpoint did not call with the nonces of the session after {most + 4:g} s of silence")


@RETURN.add("quiet-polls", "4.6, 4.7", "sends nothing, and expects polls before the first hello")
def _quiet_polls(station: Station) -> None:
    station.use_session()
    station.pump(0.5)
    start = station.wire.now()
    with station.mute():
        _fall_silent(station)
        if not station.count(b"P", since=start):
            raise Failed("the endpoint called without a poll before")


@RETURN.add("quiet-calls", "4.7, A.1", "sends nothing, and expects hellos with the nonces of the session, and no data")
def _quiet_calls(station: Station) -> None:
    station.use_session()
    with station.mute():
        _fall_silent(station)
        start = station.wire.now()
        station.pump(2.0)
        if station.count(b"cdAK", since=start):
            raise Failed("the endpoint sent other frames than hellos and polls while it called")


@RETURN.add("resumes", "4.4, 4.7", "is silent until the endpoint calls, and continues the session")
def _resumes(station: Station) -> None:
    station.use_session()
    session = station.up
    with station.mute():
        _fall_silent(station)
    station.send(frames.KEEP)
    station.expect(b"P", 1.0, "a poll after the first frame of the session")
    start = station.wire.now() + 0.2
    station.check_alive("a silence")
    if station.session is not session or any(at > start for at, f in station.frames if f.kind == b"H"):
        raise Failed("the endpoint called again although the session continued")


@RETURN.add("resumes-with-hello", "4.4", "answers the calls of a quiet line with both nonces, and expects an ack")
def _resumes_with_hello(station: Station) -> None:
    station.use_session()
    session = station.up
    with station.mute():
        _fall_silent(station)
        station.send(frames.HELLO, station.hello(session.own, session.peer.nonce), seed=0)
        station.expect(b"A", 1.0, "an ack")
    station.check_alive("a hello with both nonces")


@RETURN.add(
    "hub-restarts", "4.4, A.1", "is silent until the endpoint calls, and answers with another nonce and boot id"
)
def _hub_restarts(station: Station) -> None:
    station.use_session()
    with station.mute():
        _fall_silent(station)
    station.drop_session()
    station.boot = station.token()
    hello = station.hellos()[-1]
    station.answer(hello)
    _registered(station, hello)
    station.check_alive("a restart of the hub")


@RETURN.add("ignores-new-peer", "4.4", "sends a hello of another peer into a session that is alive")
def _new_peer(station: Station) -> None:
    station.use_session()
    station.check_alive()
    session = station.up
    station.send(frames.HELLO, station.hello(station.token(), session.peer.nonce, boot=station.token()), seed=0)
    station.pump(0.5)
    if station.session is not session or not station.polls_answered(2.0):
        raise Failed("the endpoint left a session that was alive for a hello")


@RETURN.add("sleeps", "4.2", "is silent for 40 s, counts the hellos of the last 10 s, and continues the session")
def _sleeps(station: Station) -> None:
    station.use_session()
    session = station.up
    with station.mute():
        station.pump(40.0)
    recent = station.count(b"H", since=station.wire.now() - 10.0)
    if not 8 <= recent <= 12:
        raise Failed(f"the endpoint sent {recent} hellos in 10 s; a caller calls every {limits.CALL_SLOW:g} s then")
    station.send(frames.KEEP)
    station.pump(0.5)
    station.check_alive("a silence of 40 s")
    if station.session is not session:
        raise Failed("the endpoint gave up its session after 40 s")


@RETURN.add("bye", "4.9, 4.2", "ends the session with a bye, and expects calls with a new nonce")
def _bye(station: Station) -> None:
    station.use_session()
    old = station.up
    hello = station.await_call()
    if hello.nonce == old.peer.nonce or hello.peer:
        raise Failed("the endpoint called with the nonce of the session that was over")
    station.listen_for((old.seed_in,))
    start = station.wire.now()
    station.send(frames.POLL, frames.poll_body(3), seed=old.seed_out)
    station.pump(1.0)
    if station.count(b"A", since=start):
        raise Failed("the endpoint answered a poll of the session that was over")


@RETURN.add("bye-pause", "4.2", "ends the session with a bye, and expects the first call after 1 s", level=SHOULD)
def _bye_pause(station: Station) -> None:
    station.use_session()
    if station.session is None:
        raise Skipped("there is no session")
    start = station.wire.now()
    station.await_call()
    pause = station.wire.now() - start
    if pause < limits.CALL_SLOW - 0.1:
        raise Failed(f"the first call came {pause:.2f} s after the bye")
