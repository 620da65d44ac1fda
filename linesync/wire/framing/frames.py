"""Frames and their bodies as text (section 2 of docs/protocol.md).

A frame consists of ``^``, kind, length, body, check and newline. The kind is one letter. The length is the length of the body
as a counted number. The check covers kind, length and body with a seed (:mod:`linesync.wire.framing.check`). The newline ends
the frame for people and terminals. A receiver finds the end by the length, so a damaged newline does not damage the frame.
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
"""The size of a text in bytes from which the code avoids a copy of it."""


class Lane(Enum):
    """The two lanes of a session: prompt messages and bulk data. Each lane has its own sequence numbers, so the lanes do not
    wait for each other."""

    PROMPT = 0
    BULK = 1

    __hash__ = (
        object.__hash__
    )  # faster than the method of Enum, which is a Python call for each use as a dictionary key


# Kinds of frames (section 2.4 of docs/protocol.md), and the section that describes each body.
HELLO = b"H"  # 4.1
ACK = b"A"  # 5.3
SHORT_ACK = b"a"  # 5.3
POLL = b"P"  # 5.5
KEEP = b"K"  # 4.6
BYE = b"X"  # 4.9
PROBE, PROBED = b"T", b"R"  # 7
TRY, TRIED = b"V", b"U"  # 7.1
RATE = b"S"  # 7.2

BASE64, EIGHT, MASKED = "base64", "eight", "masked"
"""The forms of payloads (:mod:`linesync.wire.framing.payload`; section 2.3)."""

DATA_KINDS: dict[bytes, tuple[Lane, str]] = {
    b"c": (Lane.PROMPT, BASE64),
    b"d": (Lane.BULK, BASE64),
    b"C": (Lane.PROMPT, EIGHT),
    b"D": (Lane.BULK, EIGHT),
    b"b": (Lane.PROMPT, MASKED),
    b"B": (Lane.BULK, MASKED),
}
"""The kinds of data frames, each with its lane and the form of its payload."""

_KIND_OF = {key: kind for kind, key in DATA_KINDS.items()}
BULK_KINDS = frozenset((b"d", b"D", b"B", PROBE, TRY))
"""The kinds of frames that a control frame may interrupt. They are never inside another frame."""
REPAIRABLE = b"B"
"""The kind of frame with a second check, in which one wrong bit may be repaired."""
KINDS = frozenset((HELLO, ACK, SHORT_ACK, POLL, KEEP, BYE, PROBE, PROBED, TRY, TRIED, RATE, *DATA_KINDS))


_put = object.__setattr__


class Frame(Record):
    """One frame as the decoder found it."""

    kind: bytes
    """The kind, one letter."""
    body: bytes
    """The bytes between the length and the check."""
    seed: int
    """The seed with which the check was correct."""

    def __init__(
        self, kind: bytes, body: bytes, seed: int
    ) -> None:  # faster than that of Record; there is one call for each frame
        _put(self, "kind", kind)
        _put(self, "body", body)
        _put(self, "seed", seed)


def encode(kind: bytes, body: bytes, seed: int) -> bytes:
    """The complete frame with its newline."""
    head = kind + digits.counted(len(body))
    if len(body) < LONG:
        covered = head + body
        return START + covered + check_text(covered, seed) + b"\n"
    return b"".join((START, head, body, check_text(body, crc32(head, seed)), b"\n"))  # copied only once


def overhead(body_length: int) -> int:
    """The number of bytes of a frame in addition to a body of this length."""
    return 3 + len(digits.counted(body_length)) + limits.CHECK_SIZE


def data_body_room(frame: int) -> int:
    """The maximum number of payload characters in a data frame of at most ``frame`` bytes. The sequence number and the
    acknowledgement are not counted."""
    return frame - overhead(frame) - 4


# -- data -------------------------------------------------------------------------------------------------------------


class Data(Record):
    """The body of a data frame."""

    lane: Lane
    seq: int
    """Its sequence number, modulo 4096."""
    ack: int
    """The next sequence number that the speaker expects in the same lane, modulo 4096."""
    payload: bytes

    def __init__(self, lane: Lane, seq: int, ack: int, payload: bytes) -> None:
        _put(self, "lane", lane)
        _put(self, "seq", seq)
        _put(self, "ack", ack)
        _put(self, "payload", payload)


def data_kind(lane: Lane, *, eight: bool = False, masked: bool = False) -> bytes:
    """The kind of a data frame in a form; base64 by default."""
    return _KIND_OF[lane, MASKED if masked else EIGHT if eight else BASE64]


def data_body(seq: int, ack: int, data: bytes, *, eight: bool) -> bytes:
    """The body of a data frame in the eight form or in base64."""
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
    """The upper twelve bits of the CRC-16 of a payload (``xmodem`` in crcmod) as a fixed number."""
    return digits.fixed(crc_hqx(data, 0) >> 4)


def read_data(kind: bytes, body: bytes) -> Data | None:
    """Read the body of a data frame. Return None if its digits, its payload or its second check are wrong."""
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
    """A full acknowledgement: the sequence numbers that the speaker (its sender) has received in both lanes."""

    age: int
    """Milliseconds between the arrival of the newest frame and this acknowledgement, at most 1023."""
    poll: int
    """The number of the last received poll, 1 to 31; 0 before the first poll."""
    prompt: tuple[int, tuple[tuple[int, int], ...]]
    """The prompt lane: the next expected sequence number, and the ranges after it. A range is the number of missing frames
    and the number of received frames after them."""
    bulk: tuple[int, tuple[tuple[int, int], ...]]
    """The same for the bulk lane."""

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
    """The body of a short acknowledgement: the lower six bits of the next expected sequence number of each lane.

    :param prompt: the next expected sequence number of the prompt lane.
    :param bulk: the next expected sequence number of the bulk lane; None to omit it.
    """
    numbers = (prompt,) if bulk is None else (prompt, bulk)
    return bytes(digits.ALPHABET[number % 64] for number in numbers)


def read_short_ack(body: bytes) -> list[int] | None:
    """The six bits of each lane; None if the body is malformed."""
    numbers = [digits.ALPHABET.find(body[at : at + 1]) for at in range(len(body))]
    return numbers if 1 <= len(numbers) <= 2 and min(numbers) >= 0 else None


def poll_body(number: int) -> bytes:
    """The body of a poll, which asks for an acknowledgement of all earlier frames.

    :param number: 1 to 31; the number after 31 is 1.
    """
    return digits.counted(number)


def read_poll(body: bytes) -> int | None:
    number, at = digits.read_counted(body, 0, 1)
    return number if number > 0 and at == len(body) else None


def probe_body(size: int) -> bytes:
    """The body of a probe frame. It repeats the alphabet, so that every bit takes both values.

    :param size: the length of the frame in bytes, including the newline.
    """
    body = size - overhead(size)
    while overhead(body) + body < size:  # the length of the body may have fewer digits than the length of the frame
        body += 1
    return (digits.ALPHABET * (body // 64 + 1))[:body]


def probe_text(size: int) -> bytes:
    """The text of a probe of this length, from its kind on and without its check."""
    body = probe_body(size)
    return PROBE + digits.counted(len(body)) + body


def probed_body(size: int) -> bytes:
    """The body of the answer to a probe: the length of the received probe in bytes."""
    return digits.counted(size)


def read_probed(body: bytes) -> int:
    return digits.read_counted(body, 0)[0]


def try_body(group: int, tried: bytes) -> bytes:
    """The body of a try, which tests whether a group of bytes arrives (:mod:`linesync.wire.framing.transparency`)."""
    return digits.counted(group) + tried


def tried_body(group: int) -> bytes:
    """The body of the answer to a try, which reports that the group arrived."""
    return digits.counted(group)


def read_group(body: bytes) -> int:
    """Read the group of a try or of its answer; negative if the body is malformed."""
    return digits.read_counted(body, 0, 1)[0]


class Hello(Record):
    """A hello, which opens or resumes a session (section 4.1). Its check has the seed 0. Its frame has at most 127 bytes."""

    oldest: int
    """The oldest protocol version that the speaker knows."""
    newest: int
    """The newest protocol version that the speaker knows."""
    role: str
    """The role of the speaker: ``c`` calls, ``l`` listens."""
    nonce: str
    """The session nonce of the speaker, eight digits."""
    peer: str
    """The session nonce of the receiver; empty if the speaker does not know it."""
    boot: str
    """The boot id of the speaker's process, eight digits."""
    frame: int
    """The longest frame that the speaker accepts, in bytes."""
    credit: int
    """The credit that the speaker gives to each new channel, in bytes."""
    flags: str
    """The abilities of the speaker, as letters of :mod:`linesync.wire.framing.hello_flags`."""

    def body(self) -> bytes:
        numbers = b"".join(digits.counted(n) for n in (self.oldest, self.newest, self.frame, self.credit))
        texts = (self.role, self.nonce, self.peer, self.boot, self.flags)
        return ".".join(texts).encode("ascii") + b"." + numbers

    @classmethod
    def read(cls, body: bytes) -> Hello | None:
        parts = body.split(b".")
        if len(parts) < 6:
            return None
        role, nonce, peer, boot, flags, numbers = parts[:6]  # further fields of a newer peer are ignored
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
    """The seed with which the check is correct, or None.

    One CRC would be enough for all seeds, because a seed changes the CRC of all texts of one length by the same value. Each
    seed is tried nevertheless, because zlib is faster than this calculation in Python.
    """
    for seed in seeds:
        if check_text(covered, seed) == check:
            return seed
    return None


def crc(covered: bytes, seed: int) -> int:
    """The check as a number, for tools."""
    return crc32(covered, seed)


# -- description ------------------------------------------------------------------------------------------------------

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
    """A description of a frame in one line, for people. An empty kind stands for a text from a compressed record."""
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
    return f"{name:6} {body.decode('ascii', 'replace')}".rstrip()
