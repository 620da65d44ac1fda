"""Rules for both roles: which bytes are frames, and which frames count."""

from __future__ import annotations

from ...wire.framing import frames
from .rules import BOTH, Failed, RuleList, Skipped
from .station import PATIENCE, Station

__all__ = ["READING"]

READING = RuleList(BOTH)
_FLOOD = 20_000  # bytes
_PIECE = 500


def _poll(station: Station) -> tuple[int, bytes]:
    """The number and the frame of the next poll."""
    session = station.up
    session.poll = session.poll % 31 + 1
    station.monitor.polled.add(session.poll)
    return session.poll, station.text(frames.POLL, frames.poll_body(session.poll))


def _found(station: Station, before: bytes, what: str, after: bytes = b"\n") -> None:
    """Check that a poll behind these bytes is answered.

    :param after: the newline of the poll.
    """
    number, poll = _poll(station)
    station.send_raw(before + poll[:-1] + after)
    if not station.pump(1.0, lambda: station.up.answered == number):
        raise Failed(f"the endpoint did not find the frame {what}")


def _not_found(station: Station, data: bytes, what: str) -> None:
    """Check that bytes that are not a valid frame of the session get no answer."""
    station.pump(0.3)
    before = station.count(b"A")
    station.send_raw(data)
    station.pump(0.7)
    if station.count(b"A") > before:
        raise Failed(f"the endpoint answered {what}")


@READING.add("text-around", "3.1", "sends a poll between lines of text")
def _text(station: Station) -> None:
    station.use_session()
    for text in (b"sut login: ", b"U-Boot 2023.01\r\n=> ", b"[   12.345678] usb 1-1: new device\r\n"):
        _found(station, text, f"behind the text {text!r}", b"\n" + text)
    for text in (b"ls^C\r\n", b"^ ^^ a^b\r\n", b"^^", b"^1", b"x^"):
        _found(station, text, f"behind the start characters {text!r}")


@READING.add("newlines", "2", "sends polls that end with CR LF, CR, blanks and LF, or nothing")
def _newlines(station: Station) -> None:
    station.use_session()
    for end in (b"\r\n", b"\r", b"  \t\n", b""):
        _found(station, b"", f"that ends with {end!r}", end)
        _found(station, _poll(station)[1][:-1] + end, f"behind a frame that ends with {end!r}")


@READING.add("one-byte-at-a-time", "3.1", "sends a poll in pieces of one byte")
def _bytes(station: Station) -> None:
    station.use_session()
    number, poll = _poll(station)
    for at in range(len(poll)):
        station.send_raw(poll[at : at + 1])
        station.pump(0.02)
    if not station.pump(1.0, lambda: station.up.answered == number):
        raise Failed("the endpoint did not find a frame that arrived byte by byte")


@READING.add("after-damage", "3.2", "sends damaged and incomplete frames, and a poll behind each of them")
def _after_damage(station: Station) -> None:
    station.use_session()
    data = station.text(b"d", frames.data_body(9, 0, bytes(60), eight=False))
    for piece in (data[:40], data[:20] + b"?" + data[21:], data[:30] + data[31:], b"^dhA", b"^d", b"^A___"):
        _found(station, piece, f"behind the damaged frame {piece[:24]!r}")


@READING.add("gives-up", "3.1", "sends the beginning of a frame, waits 0.6 s, and polls")
def _gives_up(station: Station) -> None:
    station.use_session()
    if not station.shared:
        raise Skipped("a clean pipe does not lose bytes")
    station.send_raw(b"^djA")
    station.pump(0.6)
    _found(station, b"", "behind a frame whose end did not arrive")


@READING.add("wrong-check", "2.1", "sends polls with wrong checks")
def _wrong_check(station: Station) -> None:
    station.use_session()
    number, poll = _poll(station)
    digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    damaged = []
    for at in range(1, len(poll) - 1):
        if at != 2:  # another length changes the place of the check
            other = bytearray(poll)
            other[at] = digits[(digits.index(other[at]) + 1) % 64]
            damaged.append(bytes(other))
    _not_found(station, b"".join(damaged), "a frame with a wrong check")
    _found(station, b"", "behind frames with wrong checks")


@READING.add("seed", "2.2", "sends polls under seed 0, under the seed of the other direction and under another seed")
def _seed(station: Station) -> None:
    station.use_session()
    session = station.up
    for seed, what in ((0, "under seed 0"), (session.seed_in, "that it sent itself"), (12345, "of another session")):
        _not_found(station, station.text(frames.POLL, frames.poll_body(7), seed=seed), f"a poll {what}")
    hello = frames.encode(frames.HELLO, station.hello(station.token(), session.peer.nonce), session.seed_out)
    station.send_raw(hello)
    station.check_alive("frames with wrong seeds")
    if station.session is not session:
        raise Failed("the endpoint took a hello with the seed of a session")


@READING.add("too-long", "3.1", "sends a frame that is longer than the endpoint announced, and a poll in its place")
def _too_long(station: Station) -> None:
    station.use_session()
    if station.up.peer.frame > 4096:
        raise Skipped(f"the endpoint accepts frames of {station.up.peer.frame} bytes")
    longest = 2 * station.up.peer.frame + 64
    body = b"A" * longest
    _found(station, station.text(b"d", body)[:-1], "behind a frame that is too long")
    _found(station, b"^d_____f" + b"^dgA", "behind a malformed length")


@READING.add("unknown-kind", "2", "sends frames of unknown kinds")
def _unknown(station: Station) -> None:
    station.use_session()
    for kind, body in ((b"Z", b"of a later version"), (b"q", b""), (b"K", b"more")):
        station.send(kind, body)
    _found(station, b"", "behind a frame of an unknown kind")


@READING.add("malformed-control", "6.4, 9", "sends malformed acks, hellos and answers to probes")
def _malformed(station: Station) -> None:
    station.use_session()
    session = station.up
    for kind, body in (
        (b"A", b"AAAA"),
        (b"A", b""),
        (b"A", b"=AAAAAAA"),
        (b"R", b""),
        (b"R", b"="),
        (b"A", b"AAAAJAAA"),
    ):
        station.send(kind, body)
    station.send(b"H", b"c.short", seed=0)
    station.send(b"H", b"", seed=0)
    station.check_alive("malformed control frames")
    if station.session is not session:
        raise Failed("a malformed control frame ended the session")


@READING.add("seven-bits", "3.1", "sets the eighth bit and inserts NUL, XON, XOFF and DEL")
def _seven(station: Station) -> None:
    station.use_session()
    if not station.shared:
        raise Skipped("a clean pipe carries every byte unchanged")
    number, poll = _poll(station)
    parity = bytes(byte | 0x80 if byte.bit_count() % 2 else byte for byte in poll)
    station.send_raw(parity)
    if not station.pump(1.0, lambda: station.up.answered == number):
        raise Failed("the endpoint did not find a frame with parity bits")
    number, poll = _poll(station)
    station.send_raw(bytes(byte for digit in poll for byte in (digit, 0x11, 0x00, 0x13, 0x7F)))
    if not station.pump(1.0, lambda: station.up.answered == number):
        raise Failed("the endpoint did not find a frame with NUL, XON, XOFF and DEL between its bytes")


@READING.add("flood", "3.1", f"sends {_FLOOD} random bytes with many start characters, and then polls")
def _flood(station: Station) -> None:
    station.use_session()
    session = station.up
    for _ in range(_FLOOD // _PIECE):
        piece = bytearray(station.rng.randbytes(_PIECE))
        for at in range(0, _PIECE, 17):
            piece[at : at + 2] = b"^" + station.rng.choice((b"c", b"d", b"A", b"H", b"D", b"B"))
        station.send_raw(bytes(piece))
        station.pump(0.02 if not station.shared else _PIECE / 11_000)
    station.pump(0.7)
    if not station.polls_answered(PATIENCE):
        raise Failed("the endpoint did not answer a poll after a flood of random bytes")
    station.check_alive("a flood")
    if station.session is not session:
        raise Failed("a flood of random bytes ended the session")
