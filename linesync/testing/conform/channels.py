"""Rules for both roles: records, requests, openings, and violations of the protocol."""

from __future__ import annotations

from collections.abc import Callable

from ...wire.framing import frames
from ...wire.framing.digits import counted, fixed
from .rules import BOTH, SHOULD, Failed, RuleList
from .station import PATIENCE, Station, record

__all__ = ["CHANNELS"]

CHANNELS = RuleList(BOTH)


@CHANNELS.add("unknown-request", "8.1, 9, A.1", "sends a request with an unknown verb, and expects err and a sentence")
def _unknown_request(station: Station) -> None:
    station.use_session()
    reply = station.ask("conform more words")
    if len(reply.split(" ")) < 3 or not reply.startswith("err "):
        raise Failed(f"the reply to an unknown request is {reply!r}")


@CHANNELS.add("notes", "8.1, 9", "sends an unknown note, and replies to requests that do not exist")
def _notes(station: Station) -> None:
    station.use_session()
    for text in ("- conform more", "999999 ok", "999999 err failed no"):
        station.message(text)
    station.pump(1.0)
    if station.replies:
        raise Failed(f"the endpoint answered a note or a reply: {next(iter(station.replies.items()))!r}")
    station.check_alive("unknown notes and replies")


@CHANNELS.add("pieces", "6.1", "sends a request in three pieces")
def _pieces(station: Station) -> None:
    station.use_session()
    station.up.credit -= len("p1 conform") + 3 * 4
    station.deliver(record(b"f", 0, b"p1 ") + record(b"f", 0, b"con"))
    station.deliver(record(b"m", 0, b"form"))
    station.reply("p1")


@CHANNELS.add("several-records", "6.1", "sends two requests in one payload, and an empty payload")
def _several(station: Station) -> None:
    station.use_session()
    station.up.credit -= 2 * (len("s1 conform") + 4)
    station.deliver(record(b"m", 0, b"s1 conform") + record(b"w", 0, counted(0)) + record(b"m", 0, b"s2 conform"))
    station.deliver(b"")
    for number in ("s1", "s2"):
        station.reply(number)


@CHANNELS.add("closed-channels", "6.1", "sends records of channels that do not exist, and malformed credit")
def _closed(station: Station) -> None:
    station.use_session()
    channel = _channel(station, 1000)
    for payload in (record(b"1", channel, b"late") + record(b"e", channel), record(b"x", channel, b"no"),
                    record(b"w", channel, counted(9)), record(b"w", 0, b""), record(b"w", 0, b"=")):  # fmt: skip
        station.deliver(payload)
    station.check_alive("records of channels that do not exist")


def _channel(station: Station, least: int) -> int:
    """An unused channel number that the tester may open."""
    session = station.up
    used = {channel for _, channel, _ in station.records}
    first = least + (least % 2 == (1 if session.own < session.peer.nonce else 0))
    return next(number for number in range(first, first + 2000, 2) if number not in used)


def _refusals(station: Station, channel: int) -> int:
    """The number of refusals of a channel: resets, or errors with an end."""
    return sum(kind in (b"x", b"e") for kind, number, _ in station.records if number == channel)


@CHANNELS.add("refuses-openings", "6.2, 8.4, A.1", "opens unknown channels in both lanes, also in pieces")
def _openings(station: Station) -> None:
    station.use_session()
    least = 10
    for lane in (b"c", b"d"):
        for pieces in ((b"conform it",), (b"conform ", b"it ", b"now")):
            channel = _channel(station, least)
            least = channel + 2
            for piece in pieces[:-1]:
                station.deliver(record(b"p", channel, piece), lane)
            station.deliver(record(b"o", channel, pieces[-1]), lane)
            if not station.pump(PATIENCE, lambda: _refusals(station, channel) > 0):  # noqa: B023
                raise Failed(f"the endpoint did not answer the opening of channel {channel} with x or err")
            reset = any(kind == b"x" for kind, number, _ in station.records if number == channel)
            if not reset:
                station.deliver(record(b"e", channel), lane)
            station.pump(0.3)
            if _refusals(station, channel) > 1:
                raise Failed(f"the endpoint refused the opening of channel {channel} more than once")
    station.check_alive("unknown openings")


# -- violations ------------------------------------------------------------------------------------------------------


def _raw_data(station: Station, body: bytes) -> None:
    station.send(b"c", body)


def _own_channel(station: Station) -> None:
    channel = 7 if station.up.peer.nonce > station.up.own else 8
    station.deliver(record(b"o", channel, b"conform"))


_VIOLATIONS: dict[str, tuple[str, Callable[[Station], None]]] = {
    "payload": ("a data frame with a malformed payload", lambda s: _raw_data(s, b"AAAAA")),
    "numbers": ("a data frame without its numbers", lambda s: _raw_data(s, b"AA")),
    "record": ("a record that extends beyond its payload", lambda s: _deliver(s, b"mAZ1 hosts")),
    "record-kind": ("an unknown record on channel 0", lambda s: _deliver(s, record(b"z", 0, b"a"))),
    "end-of-zero": ("the end of channel 0", lambda s: _deliver(s, record(b"e", 0))),
    "own-channel": ("the opening of a channel that belongs to the endpoint", _own_channel),
    "unsent": ("an acknowledgement of a payload that was never sent",
               lambda s: s.send(frames.ACK, b"AA" + fixed(s.up.expected[b"c"] + 900) + b"AAAA")),
}  # fmt: skip


def _deliver(station: Station, payload: bytes) -> None:
    station.deliver(payload)


def _violation(name: str) -> None:
    what, violate = _VIOLATIONS[name]

    @CHANNELS.add(f"violation-{name}", "6.4", f"sends {what}, and expects the end of the session", level=SHOULD)
    def _check(station: Station) -> None:
        station.use_session()
        session = station.up
        station.pump(0.3)
        with station.mute():
            violate(station)
            station.pump(1.0, lambda: station.session is None)
        if station.session is session:
            with station.mute():
                answered = station.polls_answered(1.5)
            station.end_session()
            if answered:
                raise Failed(f"the endpoint continued the session after {what}")


for _name in _VIOLATIONS:
    _violation(_name)
