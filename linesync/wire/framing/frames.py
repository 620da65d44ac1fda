"""Frames and their bodies: the text of every frame, and nothing about when it is sent.

``^`` kind length body check newline. The kind is one letter; the length is that of the body, as a counted number; the
check covers kind, length and body under a seed (:mod:`linesync.wire.framing.check`). The newline ends the frame for people and
for terminals; a receiver knows the end by the length, so a damaged newline costs nothing.
"""

from __future__ import annotations

from binascii import crc_hqx
from enum import Enum
from zlib import crc32

from ... import limits
from ...frozen_record import Record
from . import digits, payload
from .check import check_text
from .encoded import Encoded

__all__ = [
    "BULK_KINDS",
    "DATA_KINDS",
    "KINDS",
    "LONG",
    "START",
    "Ack",
    "Data",
    "Frame",
    "Hello",
    "Lane",
    "data_body",
    "encode",
    "poll_body",
    "probe_body",
    "probed_body",
    "read_data",
    "read_poll",
    "read_probed",
]

START = b"^"
LONG = 4096
"""Bytes of a text from which on a copy costs more than the care to do without it."""


class Lane(Enum):
    """Two sequences that do not wait for each other: what a person or a wait hangs on, and everything big."""

    PROMPT = 0
    BULK = 1

    __hash__ = (
        object.__hash__
    )  # members are themselves; Enum's own is a call in Python, for each look into a dictionary


HELLO, ACK, POLL, KEEP, BYE = b"H", b"A", b"P", b"K", b"X"
SHORT_ACK = b"a"
PROBE, PROBED = b"T", b"R"
TRY, TRIED = b"V", b"U"
RATE = b"S"

BASE64, EIGHT, MASKED = "base64", "eight", "masked"
"""Payload forms (:mod:`linesync.wire.framing.payload`)."""

DATA_KINDS: dict[bytes, tuple[Lane, str]] = {
    b"c": (Lane.PROMPT, BASE64),
    b"d": (Lane.BULK, BASE64),
    b"C": (Lane.PROMPT, EIGHT),
    b"D": (Lane.BULK, EIGHT),
    b"b": (Lane.PROMPT, MASKED),
    b"B": (Lane.BULK, MASKED),
}
"""Data kinds: the lane, and the form of the payload."""

_KIND_OF = {key: kind for kind, key in DATA_KINDS.items()}
BULK_KINDS = frozenset((b"d", b"D", b"B", PROBE, TRY))
"""Frames that another frame may interrupt. None of these ever stands inside another frame."""
REPAIRABLE = b"B"
"""The kind with a second check, in which one wrong bit may be mended."""
KINDS = frozenset((HELLO, ACK, SHORT_ACK, POLL, KEEP, BYE, PROBE, PROBED, TRY, TRIED, RATE, *DATA_KINDS))


_put = object.__setattr__


class Frame(Record):
    """One frame as the decoder found it: its check was right under ``seed``."""

    kind: bytes
    """One letter."""
    body: bytes
    """What stands between the length and the check."""
    seed: int
    """The seed under which the check was right."""

    def __init__(self, kind: bytes, body: bytes, seed: int) -> None:  # by hand: there is one for each frame
        _put(self, "kind", kind)
        _put(self, "body", body)
        _put(self, "seed", seed)


def encode(kind: bytes, body: bytes, seed: int) -> bytes:
    """The whole frame, newline included."""
    head = kind + digits.counted(len(body))
    if len(body) < LONG:
        covered = head + body
        return START + covered + check_text(covered, seed) + b"\n"
    return b"".join((START, head, body, check_text(body, crc32(head, seed)), b"\n"))  # copied just once


def overhead(body_length: int) -> int:
    """Bytes around a body of that length."""
    return 3 + len(digits.counted(body_length)) + limits.CHECK_SIZE


def data_body_room(frame: int) -> int:
    """Characters of payload in a data frame of at most ``frame`` bytes (sequence, acknowledgement and frame off)."""
    return frame - overhead(frame) - 4


# -- data -------------------------------------------------------------------------------------------------------------


class Data(Record):
    """A piece of a lane."""

    lane: Lane
    seq: int
    """Modulo 4096."""
    ack: int
    """The next sequence number the speaker expects in the same lane, modulo 4096."""
    payload: bytes

    def __init__(self, lane: Lane, seq: int, ack: int, payload: bytes) -> None:
        _put(self, "lane", lane)
        _put(self, "seq", seq)
        _put(self, "ack", ack)
        _put(self, "payload", payload)


def data_kind(lane: Lane, *, eight: bool = False, masked: bool = False) -> bytes:
    return _KIND_OF[lane, MASKED if masked else EIGHT if eight else BASE64]


def data_body(seq: int, ack: int, data: bytes, *, eight: bool) -> bytes:
    text = payload.encode_eight(data) if eight else payload.encode_base64(data)
    return digits.fixed(seq) + digits.fixed(ack) + text


def masked_body(lane: Lane, seq: int, ack: int, data: bytes, text: bytes) -> bytes:
    """The body of a data frame in the masked form.

    :param data: the payload.
    :param text: its masked form.
    """
    check = second_check(data) if lane is Lane.BULK else b""
    return digits.fixed(seq) + digits.fixed(ack) + check + text


def second_check(data: bytes) -> bytes:
    """The upper twelve bits of a payload's CRC-16, the one that crcmod calls ``xmodem``, as a fixed number."""
    return digits.fixed(crc_hqx(data, 0) >> 4)


def read_data(kind: bytes, body: bytes) -> Data | None:
    """Read a data frame's body; None when its digits, its payload or its second check are wrong."""
    lane, form = DATA_KINDS[kind]
    seq, ack = digits.read_fixed(body, 0), digits.read_fixed(body, 2)
    if seq < 0 or ack < 0:
        return None
    if form == MASKED:
        at = 6 if kind == REPAIRABLE else 4
        data = payload.decode_masked(body[at:])
        if data is not None and kind == REPAIRABLE and body[4:6] != second_check(data):
            return None
    elif form == EIGHT:
        text = body[4:]
        data = payload.decode_eight(text)
        if data is not None and len(text) >= LONG and lane is Lane.BULK:
            data = Encoded.of(data, text)
    else:
        data = payload.decode_base64(body[4:])
    return None if data is None else Data(lane, seq, ack, data)


# -- link control -----------------------------------------------------------------------------------------------------


class Ack(Record):
    """What the speaker has received, in both lanes."""

    age: int
    """Milliseconds between the newest frame's arrival and this acknowledgement, at most 1023."""
    poll: int
    """Number of the last poll received, 1..31; 0 before the first."""
    prompt: tuple[int, tuple[tuple[int, int], ...]]
    """Prompt lane: (next expected sequence, ranges), each range (frames missing, frames received after them)."""
    bulk: tuple[int, tuple[tuple[int, int], ...]]
    """Bulk lane, likewise."""

    def body(self) -> bytes:
        out = digits.counted(min(self.age, 1023)) + digits.counted(self.poll)
        for expected, ranges in (self.prompt, self.bulk):
            out += digits.fixed(expected) + digits.counted(len(ranges))
            for missing, received in ranges:
                out += digits.counted(missing) + digits.counted(received)
        return out

    @classmethod
    def read(cls, body: bytes) -> Ack | None:
        age, at = digits.read_counted(body, 0)
        poll, at = digits.read_counted(body, at)
        lanes: list[tuple[int, tuple[tuple[int, int], ...]]] = []
        for _ in Lane:
            expected = digits.read_fixed(body, at)
            count, at = digits.read_counted(body, at + 2)
            if expected < 0 or not 0 <= count <= limits.ACK_RANGES:
                return None
            ranges = []
            for _ in range(count):
                missing, at = digits.read_counted(body, at)
                received, at = digits.read_counted(body, at)
                if missing < 1 or received < 1:
                    return None
                ranges.append((missing, received))
            lanes.append((expected, tuple(ranges)))
        if age < 0 or poll < 0 or at != len(body):
            return None
        return cls(age=age, poll=poll, prompt=lanes[0], bulk=lanes[1])


def short_ack_body(prompt: int, bulk: int | None) -> bytes:
    """The body of a short acknowledgement: the next sequence number expected in each lane, six bits of it.

    :param bulk: None leaves the bulk lane out.
    """
    numbers = (prompt,) if bulk is None else (prompt, bulk)
    return bytes(digits.ALPHABET[number % 64] for number in numbers)


def read_short_ack(body: bytes) -> list[int] | None:
    """The six bits of each lane told; None when it is malformed."""
    numbers = [digits.ALPHABET.find(body[at : at + 1]) for at in range(len(body))]
    return numbers if 1 <= len(numbers) <= 2 and min(numbers) >= 0 else None


def poll_body(number: int) -> bytes:
    """A poll asks what has arrived of all that was sent before it; its number is 1..31 and counts round."""
    return digits.counted(number)


def read_poll(body: bytes) -> int | None:
    number, at = digits.read_counted(body, 0, 1)
    return number if number > 0 and at == len(body) else None


def probe_body(size: int) -> bytes:
    """The body of a probe frame that is ``size`` bytes long, newline included: the alphabet over and over, so that
    every bit is turned both ways."""
    body = size - overhead(size)
    while overhead(body) + body < size:  # the length digits of the body may be fewer than those of the frame
        body += 1
    return (digits.ALPHABET * (body // 64 + 1))[:body]


def probe_text(size: int) -> bytes:
    """A probe of that length as it stands on the line, from the kind on, without its check."""
    body = probe_body(size)
    return PROBE + digits.counted(len(body)) + body


def probed_body(size: int) -> bytes:
    """The answer to a probe: its length as it arrived."""
    return digits.counted(size)


def read_probed(body: bytes) -> int:
    return digits.read_counted(body, 0)[0]


def try_body(group: int, tried: bytes) -> bytes:
    """The body of a question whether the bytes of a group come through (:mod:`linesync.wire.framing.transparency`)."""
    return digits.counted(group) + tried


def tried_body(group: int) -> bytes:
    """The answer: they do."""
    return digits.counted(group)


def read_group(body: bytes) -> int:
    """The group that a try or its answer is about, -1 when it is malformed."""
    return digits.read_counted(body, 0, 1)[0]


class Hello(Record):
    """Opens a session or takes one up again. Its check has seed 0, and it is at most 127 bytes long."""

    oldest: int
    """Oldest protocol version the speaker can speak."""
    newest: int
    """Newest one."""
    role: str
    """``c`` calls, ``l`` listens."""
    nonce: str
    """The speaker's session nonce, eight digits."""
    peer: str
    """The listener's nonce as far as the speaker knows it, else empty."""
    boot: str
    """Identity of the speaker's process life, eight digits."""
    frame: int
    """Longest frame the speaker can receive."""
    credit: int
    """Credit the speaker gives each new channel, bytes."""
    flags: str
    """Letters: ``n`` takes frames inside frames, ``q`` takes the eight form, ``p`` calls its line a clean pipe,
    ``m`` takes the masked form on a line that turns out to carry it, ``z`` takes compressed records, ``a`` takes short
    acknowledgements. A
    capital letter that the receiver does not know means that it must not go on."""

    def body(self) -> bytes:
        numbers = b"".join(digits.counted(n) for n in (self.oldest, self.newest, self.frame, self.credit))
        texts = (self.role, self.nonce, self.peer, self.boot, self.flags)
        return ".".join(texts).encode("ascii") + b"." + numbers

    @classmethod
    def read(cls, body: bytes) -> Hello | None:
        parts = body.split(b".")
        if len(parts) < 6:
            return None
        role, nonce, peer, boot, flags, numbers = parts[:6]  # what a newer peer adds after these is left unread
        values, at = [], 0
        for _ in range(4):
            value, at = digits.read_counted(numbers, at)
            values.append(value)
        sizes_right = len(nonce) == len(boot) == limits.NONCE_SIZE and len(peer) in (0, limits.NONCE_SIZE)
        digits_right = not (nonce + peer + boot + flags).translate(None, digits.ALPHABET)
        if min(values) < 0 or role not in (b"c", b"l") or not sizes_right or not digits_right:
            return None
        if values[2] < limits.BASIC_FRAME or values[3] < limits.CREDIT_LEAST or values[0] > values[1]:
            return None
        return cls(
            oldest=values[0],
            newest=values[1],
            role=role.decode(),
            nonce=nonce.decode(),
            peer=peer.decode(),
            boot=boot.decode(),
            frame=values[2],
            credit=values[3],
            flags=flags.decode(),
        )


def checks_out(covered: bytes | bytearray | memoryview, check: bytes | bytearray, seeds: tuple[int, ...]) -> int | None:
    """The seed under which the check text is right, or None. The CRC is computed once: a seed changes the result of
    an equally long text by a value of its own, but zlib is quicker than that algebra, so each seed is simply tried."""
    for seed in seeds:
        if check_text(covered, seed) == check:
            return seed
    return None


def crc(covered: bytes, seed: int) -> int:
    """The check as a number, for tools."""
    return crc32(covered, seed)


# -- for people -------------------------------------------------------------------------------------------------------

_NAMES = {
    HELLO: "hello",
    ACK: "ack",
    SHORT_ACK: "short",
    POLL: "poll",
    KEEP: "keep",
    BYE: "bye",
    PROBE: "probe",
    PROBED: "probed",
    TRY: "try",
    TRIED: "tried",
    RATE: "rate",
}


def describe(kind: bytes, body: bytes) -> str:
    """One line for people about a frame; without a kind, about a text that stood compressed in one."""
    if not kind:
        return f"says   {body.decode('ascii', 'replace')}"
    if kind in DATA_KINDS:
        data = read_data(kind, body)
        if data is None:
            return "data, malformed"
        shown = data.payload[:60].decode("ascii", "replace")
        text = "".join(char if char.isprintable() else "." for char in shown)
        return f"{data.lane.name.lower():6} seq={data.seq} ack={data.ack} {len(data.payload)} bytes: {text}"
    name = _NAMES.get(kind, f"unknown kind {kind.decode('ascii', 'replace')}")
    if kind == ACK:
        ack = Ack.read(body)
        if ack is not None:
            return f"ack    prompt={ack.prompt} bulk={ack.bulk} poll={ack.poll} age={ack.age}ms"
    if kind == HELLO:
        hello = Hello.read(body)
        if hello is not None:
            return f"hello  {hello.role} nonce={hello.nonce} peer={hello.peer or '-'} boot={hello.boot}"
    if kind == PROBE:
        return f"probe  {len(body)} bytes"
    return f"{name:6} {body.decode('ascii', 'replace')}"
