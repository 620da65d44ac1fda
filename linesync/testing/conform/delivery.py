"""Rules for both roles: acknowledgement, order, loss and credit."""

from __future__ import annotations

from ... import limits
from ...wire.framing import frames
from ...wire.framing.digits import counted
from .rules import BOTH, Failed, RuleList
from .station import PATIENCE, Station, record

__all__ = ["DELIVERY"]

DELIVERY = RuleList(BOTH)
_LATE = 0.3  # seconds that an immediate answer may need
_WRAP = 4200  # payloads; more than the number of sequence numbers
_WRAP_AHEAD = 8


@DELIVERY.add("answers-polls", "5.3, 5.5", "polls with each number from 1 to 31 and then 1, and expects an ack of each")
def _polls(station: Station) -> None:
    station.use_session()
    for number in (*range(1, 32), 1):
        station.poll(number)
        if not station.pump(1.0, lambda: station.up.answered == number):  # noqa: B023
            raise Failed(f"the endpoint did not answer poll {number} within 1 s")


@DELIVERY.add("malformed-poll", "6.4", "sends polls 0 and 32, and expects acks with the number of the poll before")
def _malformed_poll(station: Station) -> None:
    station.use_session()
    for body in (counted(0), counted(32), b""):
        station.poll(5)
        station.pump(1.0, lambda: station.up.answered == 5)
        before = station.count(b"A")
        station.send(frames.POLL, body)
        if not station.pump(1.0, lambda: station.count(b"A") > before) or station.up.answered != 5:  # noqa: B023
            raise Failed(f"the answer to the malformed poll {body!r} does not have the number of the poll before")


@DELIVERY.add("acknowledges", "5.3", "sends a request, and expects its acknowledgement within the longest delay")
def _acknowledges(station: Station) -> None:
    station.use_session()
    for lane, payload in ((b"c", record(b"m", 0, b"- conform")), (b"d", record(b"x", 4094, b"no"))):
        if lane == b"c":
            station.up.credit -= len(b"- conform") + 4
        with station.mute():
            number = station.deliver(payload, lane)
            delay = limits.ACK_DELAY if lane == b"c" else limits.ACK_DELAY_MAX
            acked = (number + 1) % limits.SEQ_MOD
            if not station.pump(delay + _LATE, lambda: station.up.acked[lane] == acked):  # noqa: B023
                raise Failed(f"the endpoint did not acknowledge payload {number} of lane {lane.decode()} in time")


@DELIVERY.add(
    "duplicate", "5.2", "sends a request twice with one number, and expects one reply and two acknowledgements"
)
def _duplicate(station: Station) -> None:
    station.use_session()
    number = station.request("conform")
    station.reply(number)
    sequence = station.up.next[b"c"] - 1
    station.pump(0.5)
    before = station.count(b"A")
    station.replies.clear()
    station.send_data(sequence, record(b"m", 0, f"{number} conform".encode()))
    station.pump(1.0)
    if number in station.replies:
        raise Failed("the endpoint executed a payload twice that arrived twice")
    if station.count(b"A") == before:
        raise Failed("the endpoint did not acknowledge a duplicate again")
    station.check_alive("a duplicate")


@DELIVERY.add("order", "5.2", "sends two requests in reverse order, and expects replies to both, in order")
def _order(station: Station) -> None:
    station.use_session()
    session = station.up
    station.pump(0.3)
    first, early = f"{_id(station)} conform", f"{_id(station)} conform"
    session.credit -= len(first) + len(early) + 8
    number = session.next[b"c"]
    station.monitor.sent[b"c"] = (number + 2) % limits.SEQ_MOD
    station.send_data(number + 1, record(b"m", 0, early.encode()))
    station.pump(0.7)
    if early.split(" ")[0] in station.replies:
        raise Failed("the endpoint delivered a payload before an earlier one had arrived")
    if session.acked[b"c"] != number:
        raise Failed(f"the endpoint expects payload {session.acked[b'c']}, but payload {number} has not arrived")
    station.deliver(record(b"m", 0, first.encode()))
    station.deliver(record(b"m", 0, early.encode()))
    station.reply(first.split(" ")[0])
    station.reply(early.split(" ")[0])


def _id(station: Station) -> str:
    return f"o{station.rng.randrange(10**6)}"


@DELIVERY.add("far-ahead", "5.2", "sends a payload 2000 numbers ahead, and expects that it is ignored")
def _far(station: Station) -> None:
    station.use_session()
    session = station.up
    number = session.next[b"c"]
    station.send_data(number + 2000, record(b"m", 0, b"far conform"))
    station.pump(0.5)
    station.check_alive("a payload far ahead")
    if "far" in station.replies or station.session is not session:
        raise Failed("the endpoint did not ignore a payload far ahead")


@DELIVERY.add("retransmits", "5.4", "does not acknowledge a reply, and expects it again after the answer to a poll")
def _retransmits(station: Station) -> None:
    station.use_session()
    station.pump(0.5)
    start = station.wire.now()
    session = station.up
    station.message(f"{_id(station)} conform")

    def sent() -> list[bytes]:
        return [frame.body for at, frame in station.frames if at >= start and frame.kind == b"c"]

    def repeated() -> bool:
        return len({body[:2] for body in sent()}) < len(sent())

    with station.mute():
        if not station.pump(PATIENCE, lambda: bool(sent())):
            raise Failed("the endpoint did not reply to a request")
        poll = _polls_after(station, station.wire.now())
        if repeated():
            raise Failed("the endpoint repeated a payload without an answer to a poll")
        if not poll:
            raise Failed("the endpoint did not poll twice for a payload that was not acknowledged")
        session.peer_poll = poll
        station.ack()
        if not station.pump(1.0, repeated):
            raise Failed("the endpoint did not repeat a payload that the answer to its poll did not acknowledge")
    payloads: dict[bytes, bytes] = {}
    if any(payloads.setdefault(body[:2], body[4:]) != body[4:] for body in sent()):
        raise Failed("the endpoint did not repeat the payload with the same bytes")
    station.pump(1.5)
    station.check_alive("a lost payload")


def _polls_after(station: Station, start: float) -> int:
    """Let the endpoint poll twice while the line is alive, and return the number of the last poll; 0 for none."""
    for _ in range(16):
        station.pump(0.25)
        station.send(frames.KEEP)
        polls = [frame.body for at, frame in station.frames if at >= start and frame.kind == b"P"]
        if len(polls) >= 2:
            return frames.read_poll(polls[-1]) or 0
    return 0


@DELIVERY.add(
    "lost-both-ways", "5", "loses a quarter of the frames in both directions, and expects replies to 20 requests"
)
def _lost(station: Station) -> None:
    station.use_session()
    session = station.up
    station.lost_out = station.lost_in = lambda: station.rng.random() < 0.25
    for _ in range(20):
        station.ask("conform", 30.0)
    station.lost_out = station.lost_in = lambda: False
    if station.session is not session:
        raise Failed("the endpoint lost its session because some frames were lost")


@DELIVERY.add("wraps", "5.1", f"sends {_WRAP} payloads, more than there are sequence numbers")
def _wraps(station: Station) -> None:
    station.use_session()
    payload = record(b"x", 4094, b"")
    for _ in range(_WRAP):
        if min(station.up.next[b"c"], limits.SEQ_MOD - station.up.next[b"c"]) < _WRAP_AHEAD:
            station.ask("conform")
            continue
        station.deliver(payload)
        if not station.pump(PATIENCE, lambda: len(station.up.unacked[b"c"]) < _WRAP_AHEAD):
            raise Failed(f"the endpoint stopped to acknowledge at payload {station.up.next[b'c']}")
    station.check_alive(f"{_WRAP} payloads")


@DELIVERY.add("credit-waits", "6.3", "gives 64 bytes of credit, returns none, and then all, for 20 replies")
def _credit_waits(station: Station) -> None:
    station.end_session()
    station.begin_session(credit=limits.CREDIT_LEAST)
    station.pump(0.5)
    station.grants = False
    numbers = [station.request("conform") for _ in range(4)]
    station.pump(1.5)
    if all(number in station.replies for number in numbers):
        raise Failed("the endpoint sent four replies with 64 bytes of credit")
    station.grants = True
    station.grant()
    for number in numbers:
        station.reply(number)
    for _ in range(16):
        station.ask("conform")


@DELIVERY.add("credit-returns", "6.3, A.1", "sends three times as many bytes as the endpoint gave credit for")
def _credit_returns(station: Station) -> None:
    station.begin_session()
    session = station.up
    wanted, used = min(3 * session.peer.credit, 20_000), 0
    text = "- " + "conform" * 8
    while used < wanted and session.credit < wanted:
        station.message(text)
        used += len(text) + 4
    station.check_alive(f"{used} bytes of messages")
    if session.credit > session.peer.credit:
        raise Failed("the endpoint returned more credit than the tester used")
    station.end_session()
