"""Generates tests/vectors/*.json: valid and invalid encodings for other implementations of docs/protocol.md.

    python -m tools.protocol_vectors            lists the files that differ from the generated files
    python -m tools.protocol_vectors --write    writes the generated files

This file defines the cases, and linesync's own code computes the results. The tests also check the results with an endpoint
that does not use linesync's code. tests/vectors/README.md describes the files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from linesync import limits, protocol
from linesync.errors import LinesyncError
from linesync.model.hosts import members
from linesync.protocol import escaping
from linesync.wire.autobaud.rate_frames import RateFrame, rate_set
from linesync.wire.channels.mux import Mux
from linesync.wire.events import (
    ChannelClosed,
    ChannelData,
    ChannelEnded,
    ChannelMessage,
    ChannelOpened,
    Damaged,
    Echo,
    Event,
    ForeignText,
    FrameFound,
)
from linesync.wire.framing import check, digits, frames, payload, transparency
from linesync.wire.framing.decoder import Decoder
from linesync.wire.framing.frames import Ack, Hello, Lane
from linesync.wire.framing.payload import MaskedForm
from tools.protocol_conversations import conversations_file
from tools.protocol_examples import AGENT, HUB, SHORT_FORMS, TO_AGENT, TO_HUB

__all__ = ["FILES", "FOLDER", "OPERATIONS", "decoded", "fields_of", "mux_events"]

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "vectors"
OPERATIONS: tuple[type[protocol.Message], ...] = tuple(
    cls for name in protocol.__all__ if hasattr(cls := getattr(protocol, name), "VERB")
)
Case = dict[str, Any]


# -- numbers, check, payload -------------------------------------------------------------------------------------------


def digits_file() -> dict[str, Any]:
    fixed = (0, 1, 25, 26, 51, 52, 61, 62, 63, 64, 127, 2048, 4094, 4095)
    counted = (0, 1, 31, 32, 33, 63, 64, 127, 256, 1023, 1024, 32767, 32768, 65536, 1_000_000, (1 << 20) - 1)
    invalid = {
        "": "empty",
        "g": "a leading zero, and the number does not end",
        "gA": "a leading zero",
        "h": "the number does not end",
        "hhhhA": "five digits",
        "hh^A": "a byte that is not a digit",
        "=": "a byte that is not a digit",
        " B": "a space",
    }
    return {
        "about": "1.2 and 1.3; texts that contain only the number",
        "fixed": [{"number": n, "text": digits.fixed(n).decode()} for n in fixed],
        "counted": [{"number": n, "text": digits.counted(n).decode()} for n in counted],
        "bad_fixed": [{"text": text} for text in ("", "A", "A=", "^A")],
        "bad_counted": [{"text": text, "why": why} for text, why in invalid.items()],
    }


def check_file() -> dict[str, Any]:
    pairs = ((AGENT, HUB), (HUB, AGENT), ("AAAAAAAA", "AAAAAAAA"), ("________", "--------"))
    covered = (b"123456789", b"KA", b"PBB", b"", b"\x00\xff\x80")
    return {
        "about": "2.1 and 2.2; crc is a number in hex, check is its six digits",
        "seed": [{"speaker": a, "listener": b, "seed": f"{check.session_seed(a, b):08x}"} for a, b in pairs],
        "check": [
            {
                "covered": text.hex(),
                "seed": f"{seed:08x}",
                "crc": f"{frames.crc(text, seed):08x}",
                "check": check.check_text(text, seed).decode(),
            }
            for text in covered
            for seed in (0, TO_HUB, TO_AGENT, 0xFFFFFFFF)
        ],
    }


def payload_file() -> dict[str, Any]:
    plain = (b"", b"\x00", b"f", b"fo", b"foo", b"\xfb\xff\xfe", bytes(range(84)))
    bad_base64 = {
        "A": "one digit does not make a byte",
        "AAAAA": "one digit does not make a byte",
        "AA A": "a space",
        "AA\n": "a newline",
        "AA^A": "a byte that is not a digit",
    }
    raw = (b"plain", b"\n", b"\r", b"^", b"=", b"=3", b"==^^\r\n", bytes(range(256)))
    bad_eight = {
        b"=": "ends within an escape",
        b"=3": "ends within an escape",
        b"a==3D": "an invalid escape",
        b"=3G": "an invalid escape",
        b"=\n": "a newline",
        b"=3D\r": "a carriage return",
    }
    loose_eight = {"3d": "=3d", "41": "=41", "ff00": "=fF=00"}
    return {
        "about": "2.3; data is in hex, and so is the text of the eight form",
        "base64": [{"data": data.hex(), "text": payload.encode_base64(data).decode()} for data in plain],
        "loose_base64": [{"data": data, "text": text} for data, text in (("00", "AB"), ("0000", "AAB"))],
        "bad_base64": [{"text": text, "why": why} for text, why in bad_base64.items()],
        "eight": [{"data": data.hex(), "text": payload.encode_eight(data).hex()} for data in raw],
        "loose_eight": [{"data": data, "text": text.encode().hex()} for data, text in loose_eight.items()],
        "bad_eight": [{"text": text.hex(), "why": why} for text, why in bad_eight.items()],
    }


# -- frames and bodies -------------------------------------------------------------------------------------------------

_HELLO: Case = {"role": "c", "nonce": AGENT, "peer": "", "boot": "Bt7xA2mN", "flags": "", "oldest": 1, "newest": 1}
_HELLO |= {"frame": 127, "credit": 2048}


def hellos_file() -> dict[str, Any]:
    changes: tuple[dict[str, Any], ...] = (
        {},
        {"role": "l", "nonce": HUB, "peer": AGENT, "flags": "nq", "frame": 2048, "credit": 65536},
        {"peer": HUB, "flags": "nqp", "frame": 65536, "credit": 1_000_000},
        {"flags": "nqZ", "oldest": 0, "newest": 1023},
        {"flags": "5-_", "credit": 64},
    )
    valid = [_HELLO | change for change in changes]
    body = Hello(**_HELLO).body().decode()
    texts = body[: body.rindex(".") + 1]
    numbers = body.removeprefix(texts)
    invalid = {
        "": "empty",
        body.replace("c.", "x.", 1): "a role that is neither c nor l",
        body.replace(AGENT, AGENT[:7]): "a nonce of seven digits",
        body.replace("..", ".A.", 1): "a peer of one digit",
        body.replace("Bt7x", "Bt=x"): "a byte that is not a digit",
        texts + "CB" + numbers[2:]: "oldest above newest",
        texts + "BB" + digits.counted(126).decode() + numbers[4:]: "a frame below 127",
        texts + "BBjf" + digits.counted(63).decode(): "a credit below 64",
        texts + "BBjf": "no credit",
        texts: "no numbers",
        texts + "BBjf^A": "a malformed number",
        texts.removesuffix("."): "five parts",
    }
    later = body + "A.more.parts"
    return {
        "about": "4.1; the bodies of H frames",
        "good": [{"body": Hello(**hello).body().decode(), **hello} for hello in valid],
        "later": [{"body": later, **_HELLO, "why": "a reader ignores what follows the four numbers"}],
        "bad": [{"body": text, "why": why} for text, why in invalid.items()],
    }


def acks_file() -> dict[str, Any]:
    valid = (
        Ack(age=0, poll=0, prompt=(0, ()), bulk=(0, ())),
        Ack(age=3, poll=1, prompt=(7, ()), bulk=(4094, ((1, 2), (3, 40)))),
        Ack(age=1023, poll=31, prompt=(4095, ((1, 1023),)), bulk=(1, tuple((n, n) for n in range(1, 9)))),
    )
    invalid = {
        "": "empty",
        "AAAAA": "ends before the bulk lane",
        "AAAAAAAAA": "continues after the bulk lane",
        "AAAABAB": "ends within a range",
        "AAAABAAAAA": "a range with 0 missing payloads",
        "AAAABBAAAA": "a range with 0 received payloads",
        "AAAAJ" + "BB" * 9 + "AAA": "nine ranges",
        "=AAAAAAA": "a byte that is not a digit",
        "gAAAAAAA": "a malformed age",
    }
    return {
        "about": "5.3; the bodies of A frames; a lane is [next, [[missing, received], ...]]",
        "good": [
            {"body": ack.body().decode(), "age": ack.age, "poll": ack.poll, "prompt": ack.prompt, "bulk": ack.bulk}
            for ack in valid
        ],
        "loose": [
            {
                "body": "hgAhAAAAAAA",
                "age": 1024,
                "poll": 32,
                "prompt": [0, []],
                "bulk": [0, []],
                "why": "numbers too great",
            }
        ],
        "bad": [{"body": text, "why": why} for text, why in invalid.items()],
    }


def rates_file() -> dict[str, Any]:
    every = frozenset(limits.CLIMB_RATES)
    valid = (
        RateFrame(step="a", number=1, rate=230400, value=rate_set(every)),
        RateFrame(step="y", number=31, rate=4000000, value=rate_set(frozenset((115200, 4000000)))),
        RateFrame(step="n", number=2, rate=921600),
        RateFrame(step="h", number=2, rate=921600),
        RateFrame(step="t", number=2, rate=460800, value=11),
        RateFrame(step="r", number=2, rate=460800, value=12),
        RateFrame(step="k", number=2, rate=38400),
        RateFrame(step="b", number=2, rate=300),
        RateFrame(step="w", number=0, rate=921600),
    )
    invalid = {
        "": "empty",
        "a": "the number is missing",
        "aBoA": "no value",
        "aB=AA": "a byte that is not a digit",
        "ahAoAA": "a number of two digits",
        "qBoAA": "an unknown step",
        "aBgAA": "a rate with a leading zero",
    }
    later = valid[0].body() + b"more"
    return {
        "about": "7.2; the bodies of S frames; rates in bits a second",
        "good": [{"body": frame.body().decode(), **frame.as_dict()} for frame in valid],
        "later": [{"body": later.decode(), **valid[0].as_dict()}],
        "bad": [{"body": text, "why": why} for text, why in invalid.items()],
    }


def frames_file() -> dict[str, Any]:
    record = b"1DGhello\n"
    valid = (
        (b"H", Hello(**_HELLO).body(), 0),
        (b"K", b"", TO_HUB),
        (b"P", frames.poll_body(31), TO_HUB),
        (b"A", Ack(age=3, poll=1, prompt=(7, ()), bulk=(4094, ((1, 2),))).body(), TO_HUB),
        (b"X", payload.encode_base64(b"done"), TO_HUB),
        (b"T", frames.probe_body(127), TO_HUB),
        (b"R", frames.probed_body(256), TO_HUB),
        (b"S", RateFrame(step="a", number=1, rate=230400, value=6).body(), TO_HUB),
        (b"c", frames.data_body(0, 0, b"mAH1 hosts", eight=False), TO_HUB),
        (b"d", frames.data_body(4095, 5, record, eight=False), TO_HUB),
        (b"C", frames.data_body(5, 4095, record, eight=True), TO_HUB),
        (b"D", frames.data_body(5, 4095, record + b"^}\r", eight=True), TO_HUB),
        (b"b", frames.masked_body(Lane.PROMPT, 5, 4095, record, MaskedForm().encode(record)), TO_HUB),
        (b"B", frames.masked_body(Lane.BULK, 5, 4095, record, MaskedForm(b"\x11").encode(record)), TO_HUB),
        (b"V", frames.try_body(3, transparency.GROUPS[2]), TO_HUB),
        (b"U", frames.tried_body(3), TO_HUB),
        (b"Z", b"of a later version", TO_HUB),
    )
    keep = frames.encode(b"K", b"", TO_HUB)
    poll = frames.encode(b"P", b"B", TO_HUB)
    invalid = {
        frames.encode(b"K", b"", 0): "the check has seed 0",
        frames.encode(b"K", b"", TO_AGENT): "the other direction's seed",
        frames.encode(b"H", Hello(**_HELLO).body(), TO_HUB): "a hello has seed 0",
        keep.replace(b"K", b"k"): "the check is for another kind",
        keep[:-2] + b"x\n": "the low bits of the last digit are not 0",
        poll.replace(b"BB", b"BC"): "the check is for another body",
        b"^3" + keep[2:]: "a kind that is not a letter",
        poll.replace(b"PB", b"PhB"): "a length beyond the end of the stream",
        poll.replace(b"PB", b"PgB"): "a length with a leading zero",
        frames.encode(b"d", b"A" * 130, TO_HUB): "longer than 127 bytes",
        b"\n^\n^^^\n": "start characters alone",
    }
    return {
        "about": "2; frames in hex as they appear on the line; for a receiver that has this seed and announced 127 bytes."
        " A receiver finds the frames with unchanged = true only while it reads bytes unchanged (7.1), or on a clean pipe. Every"
        " other receiver drops or changes some of their bytes (rule 1 of 3.1), and finds no frame",
        "seed": f"{TO_HUB:08x}",
        "good": [
            {
                "kind": kind.decode(),
                "body": body.hex(),
                "seed": f"{seed:08x}",
                "frame": frames.encode(kind, body, seed).hex(),
                "unchanged": any(byte in (0, 0x11, 0x13, 0x7F) or byte > 0x7F for byte in body),
            }
            for kind, body, seed in valid
        ],
        "bad": [{"stream": text.hex(), "why": why} for text, why in invalid.items()],
    }


def data_file() -> dict[str, Any]:
    valid = (
        (b"c", 0, 0, b"mAH1 hosts"),
        (b"d", 4095, 5, b""),
        (b"C", 5, 4095, b"1DB^"),
        (b"D", 1, 2, bytes(range(256))),
    )
    masked = (
        (Lane.PROMPT, b"", 0, b"mAH1 hosts"),
        (Lane.BULK, b"", 0, bytes(range(256)) + b"^}"),
        (Lane.BULK, b"\x11\x13\xff", 0, bytes(range(256))),
        (Lane.BULK, b"", 1, b"under the second best mask\n"),
    )
    invalid = {
        (b"c", b""): "no numbers",
        (b"c", b"AAA"): "one and a half numbers",
        (b"c", b"AA=A"): "a byte that is not a digit",
        (b"d", b"AAAAA"): "one digit does not make a byte",
        (b"d", b"AAAAA^"): "a byte that is not a digit",
        (b"D", b"AAAA="): "ends within an escape",
        (b"b", b"AAAAAab}"): "ends within an escape",
        (b"b", b"AAAA=ab"): "a mask that is not a digit",
        (b"b", b"AAAAA" + bytes(256) + b"=a"): "a second mask that is not a digit",
        (b"B", b"AAAAAAAab"): "a wrong second check",
        (b"B", b"AAAAA"): "half a second check",
    }
    return {
        "about": "5.2; the bodies of data frames, in hex",
        "good": [
            {
                "kind": kind.decode(),
                "body": frames.data_body(seq, ack, data, eight=frames.DATA_KINDS[kind][1] == frames.EIGHT).hex(),
                "sequence": seq,
                "acknowledgement": ack,
                "payload": data.hex(),
            }
            for kind, seq, ack, data in valid
        ]
        + [
            {
                "kind": frames.data_kind(lane, masked=True).decode(),
                "body": frames.masked_body(lane, 1, 2, data, MaskedForm(harmed).encode(data, other)).hex(),
                "sequence": 1,
                "acknowledgement": 2,
                "payload": data.hex(),
            }
            for lane, harmed, other, data in masked
        ],
        "bad": [{"kind": kind.decode(), "body": body.hex(), "why": why} for (kind, body), why in invalid.items()],
    }


# -- records -----------------------------------------------------------------------------------------------------------


def _record(kind: bytes, channel: int, body: bytes = b"") -> bytes:
    return kind + digits.counted(channel) + digits.counted(len(body)) + body


def _event(event: Event) -> list[Any]:
    if isinstance(event, ChannelOpened):
        return ["opened", event.channel, event.lane.name.lower(), event.words.hex()]
    if isinstance(event, ChannelData):
        return ["data", event.channel, event.stream, event.data.hex()]
    if isinstance(event, ChannelMessage):
        return ["message", event.channel, event.data.hex()]
    if isinstance(event, ChannelEnded):
        return ["ended", event.channel]
    assert isinstance(event, ChannelClosed)
    return ["closed", event.channel, event.reason]


def mux_events(credit: int, payloads: Sequence[bytes], *, expand: bool = False) -> tuple[list[list[Any]], bool]:
    """The events of a receiver that gets these payloads on the prompt lane and opens channels with odd numbers.

    :param credit: the receiver's credit for each channel in bytes.
    :param expand: whether the receiver accepts compressed records.
    :returns: the events, and whether the last payload is a protocol violation.
    """
    mux = Mux(odd=True, send_credit=1000, receive_window=credit, expand=expand)
    valid = all(mux.receive(Lane.PROMPT, data) for data in payloads)
    return [_event(event) for event in mux.events], not valid


def records_file() -> dict[str, Any]:
    opened = _record(b"o", 2, b"run sut true")
    cases: dict[str, Sequence[bytes]] = {
        "a message on channel 0": [_record(b"m", 0, b"1 hosts")],
        "an empty payload": [b""],
        "a message in three pieces": [_record(b"f", 0, b"1 h") + _record(b"f", 0, b"os"), _record(b"m", 0, b"ts")],
        "a channel: opening, streams, end": [
            opened,
            _record(b"0", 2, b"in") + _record(b"3", 2, b"x"),
            _record(b"e", 2),
        ],
        "an opening in two pieces, with another record between them": [
            _record(b"p", 2, b"run sut "),
            _record(b"m", 0, b"2 status") + _record(b"o", 2, b"true"),
        ],
        "a reset": [opened, _record(b"x", 2, b"gave up")],
        "a reset without a reason": [opened, _record(b"x", 2)],
        "a reset of an incomplete opening": [_record(b"p", 4, b"run"), _record(b"x", 4, b"gave up")],
        "records of a channel that is over": [opened, _record(b"x", 2), _record(b"1", 2, b"late") + _record(b"e", 2)],
        "records of a channel that never existed": [_record(b"1", 6, b"a"), _record(b"w", 6, b"B"), _record(b"e", 7)],
        "credit": [opened, _record(b"w", 2, digits.counted(4096)) + _record(b"w", 0, digits.counted(33554432))],
        "malformed credit grants nothing": [_record(b"w", 0, b"") + _record(b"w", 0, b"^")],
        "a message that uses all the credit": [_record(b"m", 0, bytes(96))],
        "an empty message": [_record(b"m", 0)],
        "channel numbers may have gaps": [_record(b"o", 2046, b"a") + _record(b"o", 4, b"b")],
    }
    violations: dict[str, Sequence[bytes]] = {
        "a kind without the rest of the record": [b"m"],
        "a length beyond the payload": [b"mAH1 host"],
        "a malformed channel": [b"m^B1"],
        "a malformed length": [b"mAgA"],
        "an unknown kind": [_record(b"z", 0, b"a")],
        "a stream that does not exist": [opened, _record(b"4", 2, b"a")],
        "channel 0 is opened": [_record(b"o", 0, b"a")],
        "a number that only the receiver may open": [_record(b"o", 3, b"a")],
        "a channel is opened twice": [opened, opened],
        "channel 0 ends": [_record(b"e", 0)],
        "channel 0 is reset": [_record(b"x", 0, b"no")],
        "a second end": [opened, _record(b"e", 2), _record(b"e", 2)],
        "one byte beyond the credit": [_record(b"m", 0, bytes(97))],
        "beyond the credit, by the cost of records": [_record(b"m", 0, b"a") * 21],
    }
    valid: list[Case] = []
    invalid: list[Case] = []
    for results, is_violation, all_cases in ((valid, False, cases), (invalid, True, violations)):
        for name, payloads in all_cases.items():
            events, violation = mux_events(100, payloads)
            assert violation is is_violation, name
            results.append({"name": name, "payloads": [data.hex() for data in payloads], "events": events})
    return {
        "about": "6; payloads of the prompt lane in hex, and the events at a receiver that opens odd numbers and gave 100"
        " bytes of credit; under bad, the last payload is a protocol violation and ends the session",
        "good": valid,
        "bad": invalid,
    }


# -- words and messages ------------------------------------------------------------------------------------------------


def words_file() -> dict[str, Any]:
    samples = (
        b"boot",
        b"",
        b"a b",
        b"50%",
        b"k=v",
        "K\u00f6ln \u2713".encode(),
        b"caf\xe9",
        b"\x00\n\x7f",
        b"%.",
        b"a/b-c_d.e~",
    )
    invalid = {
        "": "empty",
        "%": "a malformed escape",
        "a%4": "a malformed escape",
        "%zz": "a malformed escape",
        "a%.": "the empty word inside another word",
        "a b": "a space",
        "a=b": "an equals sign",
        "\u00f6": "a byte that a writer must escape",
        "\x7f": "a byte that a writer must escape",
    }
    valid = [{"bytes": data.hex(), "word": escaping.quote(data.decode("utf-8", "surrogateescape"))} for data in samples]
    return {"about": "8.1; bytes in hex", "good": valid, "bad": [{"word": w, "why": why} for w, why in invalid.items()]}


_MESSAGES = (
    "register sut Bt7xA2mN capabilities=kvm%1Fusb published=ip%3D10.0.0.7%1Fos%3Dlinux",
    "register sut Bt7xA2mN",
    "continue R9dLs3uE kT4vWq0Z",
    "sem ready -1 timeout=5",
    "sem ready 1",
    "sem %25 0 ns=a%20b timeout=0.25 arrival=x1",
    "barrier boot%20phase 3 ns=nightly member=sut#1",
    "barrier up 0 timeout=60 arrival=x2 within=x1 who=1 Members=hub,sut[1-2]#1 Reuse=linger%3D5 Tolerate=1",
    "barrier up 3 Members=hub,sut[1-2] Abort=no%20power",
    "sem slots -2 arrival=x1 Hold=1 Bound=4",
    "lock flash timeout=0 arrival=x1 Keep=1",
    "unlock flash 1700000000001 ns=nightly",
    "giveback x1",
    "event up",
    "event a%20b c ns=nightly arrival=x3 Clear=1",
    "await a%20b c timeout=30 Any=1",
    "send ready",
    "send ready ip%3D10.0.0.7 %. member=sut#1 arrival=x4",
    "receive ready 1",
    "receive ready 3 timeout=0.5 member=sut#1 within=x1 most=1000 Others=1",
    "gather ready",
    "gather ready timeout=60 Role=client",
    "reset",
    "reset up flash ns=nightly",
    "drain",
    "drain timeout=0",
    "namespace @Ab3dE6gH",
    "namespace run17 pid=812 begin=48211 command=bash%20test.sh watched=1",
    "endnamespace run17",
    "ownergone 812 48211",
    "exchange keys hub,sut[1-2] 11",
    "exchange keys hub,sut[1-2] 0 timeout=60 member=sut1 arrival=x5 within=x1",
    "part hub 11 total=40",
    "part sut1 0",
    "revoked 7 x1 the%20host%20was%20lost",
    "revoked - %. the%20session%20is%20over",
    "concurrent",
    "activity",
    "commit 2",
    "commit 2.7 arrival=x1",
    "confirm 2",
    "withdraw 2.7 arrival=x1",
    "goingdown",
    "join web",
    'join web ns=night tag=2 Services=[{"id":1,"name":"net"}]',
    'join web Terms={"quorum":3} Passive=1',
    "leave web tag=2",
    'announce 7 [{"id":1,"name":"net"}]',
    "next 7 12",
    "next 7 12 done=11 result=failed text=no%20route",
    "cast 7 3 thello",
    "cast 7 3 bAAE%3D Part=1 More=1",
    "cast 7 3 tstate State=1",
    "post cluster thello tag=2",
    "members web 3 timeout=5",
    "rerun web",
    "rerun web service=4",
    "stop web",
    "group web",
    "gone 7",
    "note waiting%20for%20the%20hub",
    "lease",
    "hosts",
    "status",
    "namespaces",
    "policy hub sut run user=1000",
    "links",
    'run sut sh -c echo%201%202 cwd=/tmp env={"A":%20"b"} stdin=1 timeout=1.5',
    "run sut caf%E9 %. -x",
    "get sut /etc/hostname",
    "put sut /tmp a%20file 3 mode=493",
    "console sut follow=1 type=1",
    "trace /dev/ttyS0",
    "changes",
    "run sut sleep 60 tell=1",
    "started 812",
    "exit -9",
    "kill 15",
    "connect sut localhost:22",
    "connect sut unix:/run/a%20b",
    "connected",
    "listen sut [::1]:0",
    "listening x3Gh_9aZ [::1]:40123",
    "accepted 1 peer=[::1]:51234",
    "accepted 2",
    "accept sut x3Gh_9aZ 1",
    "refuse 2",
    "widen",
    "widen key=Qm4-7bTs",
    "wide sut Qm4-7bTs",
    "turn",
    "policy ctl sut forward Connect=localhost:22",
    'run sut vim env={"TERM":%20"xterm"} tell=1 Terminal=80x24',
    "resize 100 40",
    "eof",
    "received 65536",
    "run sut cat stdin=1 tell=1 id=4894061 Got=3072 age=8.25",
    "run sut make%20all Detach=1 id=4894062",
    "detached 3 812",
    "processes sut",
    "attach sut 3",
    "attach sut 3 output=1 follow=1 since=4096",
    "attach sut 3 output=1 follow=1 tail=10 stdin=1",
    "at 4096 dropped=1024",
    "at 0",
    "signal sut 3",
    "signal sut 3 signal=15",
    "file 3 420",
    "got 65536",
    "put sut /tmp file 3 tell=1",
    "get sut /dev/mmcblk0 Device=1",
    "put sut /dev/mmcblk0 card.img 3 mode=384 Device=1",
    "put sut /dev/mmcblk0 card.img 3 tell=1 Device=2",
    "getall sut /etc ~/notes Recursive=1 Preserve=1",
    "getall sut /home/a%20file User=mira Rate=20000",
    "putall sut /tmp tests . Recursive=1 Into=1 tell=1",
    "putall sut /tmp %FF Preserve=1 User=mira",
    "file 3 384 device=1",
    "done ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "done %.",
    "post cluster thello tag=2",
    "connect sut localhost:22",
    "connected",
    "listen sut unix:/run/test/bus",
    "listening x3Gh_9aZ unix:/run/test/bus",
    "accepted 1",
    "accept sut x3Gh_9aZ 1",
    "refuse 2",
    "widen key=Qm4-7bTs",
    "wide sut Qm4-7bTs",
    "turn",
)
_LOOSE = {
    "sem ready 1 colour=blue": "a reader ignores an option that it does not know",
    "sem ready 1 more words": "a reader ignores fields beyond the last one",
    "sem ready 1 ns=default": "a writer may write a default",
    "run sut true stdin=0": "a writer may write a default",
}
_BAD_MESSAGES = {
    "": "no verb",
    "frobnicate now": "an unknown verb",
    "sem ready 1 Sure=1": "an option that a reader must not ignore",
    "barrier up 2 Tolerate=yes": "a malformed truth value",
    "lock flash Hold=1": "an option of another operation, which a reader must not ignore",
    "unlock flash": "a field is missing",
    "unlock flash first": "a malformed number",
    "exchange keys hub": "a field is missing",
    "sem ready": "a field is missing",
    "sem ready one": "a malformed number",
    "sem  ready 1": "two spaces",
    " sem ready 1": "a space at the start",
    "sem ready 1 ": "a space at the end",
    "sem ready 1 ns=a ns=b": "an option twice",
    "sem ns=a ready 1": "a field follows an option",
    "sem re%4 1": "a malformed escape",
    "sem ready 1 timeout=soon": "a malformed number",
}


def fields_of(message: protocol.Message) -> dict[str, Any]:
    """The fields and options of an operation, as JSON values."""
    fields = {name: getattr(message, name) for name in message.FIELDS}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def messages_file() -> dict[str, Any]:
    def case(text: str) -> Case:
        message = protocol.decode(text, *OPERATIONS)
        return {"text": text, "verb": message.VERB, "fields": fields_of(message)}

    def code(text: str) -> str:
        try:
            protocol.decode(text, *OPERATIONS)
        except LinesyncError as error:
            return error.code
        return ""

    return {
        "about": "8; operations without their ids; a byte that is not valid UTF-8 is a lone surrogate (\\udc80 to \\udcff)",
        "good": [case(text) for text in _MESSAGES],
        "loose": [{**case(text), "why": why} for text, why in _LOOSE.items()],
        "bad": [{"text": text, "error": code(text), "why": why} for text, why in _BAD_MESSAGES.items()],
    }


# -- lists of members --------------------------------------------------------------------------------------------------

_FOLDED = (
    "hub",
    "sut[1-3]",
    "sut[1,3]#[1-2],hub",
    "n[08-11]",
    "rack[1-2]n[01-02]",
    "a,b,a",
    "a[1-2,2-3]",
    "x[0-2]",
    "x[000000001]",
    "7[1-2]",
)
_BAD_FOLDED = {
    "": "a member is missing",
    "a,": "a member is missing after the comma",
    "a[1-": "a bracket that is not closed",
    "a]1[": "a bracket that was not opened",
    "a[1[2]]": "a bracket in a bracket",
    "a[]": "a number is missing",
    "a[x]": "a malformed number",
    "a[1-2-3]": "a malformed range",
    "a[2-1]": "a range that counts downwards",
    "a[1-10001]": "more than 10000 members",
    "a[0-9][0-999][0-9]": "more than 10000 members",
    "a[1234567890]": "a number of more than nine digits",
    "a b": "a space",
    "a#": "an empty tag",
    "a#1#2": "two tags",
    "h\u00f6st": "a letter that a host name must not contain",
    "a" * 65: "a name of more than 64 characters",
}


def members_file() -> dict[str, Any]:
    def code(text: str) -> str:
        try:
            members.unfold(text)
        except LinesyncError as error:
            return error.code
        return ""

    return {
        "about": "8.3, folded lists: a list, its members in the order written, and the list as this implementation folds it",
        "good": [
            {"list": text, "members": list(found := members.unfold(text)), "folded": members.fold(found)}
            for text in _FOLDED
        ],
        "bad": [{"list": text, "error": code(text), "why": why} for text, why in _BAD_FOLDED.items()],
    }


# -- streams -----------------------------------------------------------------------------------------------------------


def decoded(data: bytes, case: Mapping[str, Any], chunk: int) -> dict[str, Any]:
    """Decode a complete stream.

    :param case: the parameters of the receiver: ``longest``, ``eight``, ``seed`` and ``echo``.
    :param chunk: the size in bytes of the pieces in which the stream arrives.
    :returns: ``frames``, ``echoes``, ``text`` and ``damaged``, as in tests/vectors/streams.json.
    """
    decoder = Decoder(longest=case["longest"], eight=case["eight"])
    decoder.seeds, decoder.echo_seeds = (int(case["seed"], 16),), (int(case["echo"], 16),)
    events = [
        event for start in range(0, len(data), chunk) for event in decoder.receive(data[start : start + chunk], 0.0)
    ]
    events += decoder.receive_eof()
    return {
        "frames": [[e.frame.kind.decode(), e.frame.body.hex()] for e in events if isinstance(e, FrameFound)],
        "echoes": [event.length for event in events if isinstance(event, Echo)],
        "text": b"".join(event.data for event in events if isinstance(event, ForeignText)).hex(),
        "damaged": b"".join(event.data for event in events if isinstance(event, Damaged)).hex(),
    }


def _streams() -> dict[str, bytes]:
    poll, keep = frames.encode(b"P", b"B", TO_HUB), frames.encode(b"K", b"", TO_HUB)
    echo = frames.encode(b"K", b"", TO_AGENT)
    hello = frames.encode(b"H", Hello(**_HELLO).body(), 0)
    bulk = frames.encode(b"d", frames.data_body(3, 4, bytes(60), eight=False), TO_HUB)
    printk = b"[   12.345678] usb 1-1: new high-speed USB device number 2\r\n"
    parity = bytes(byte | 0x80 if byte.bit_count() % 2 else byte for byte in poll)
    noisy = bytes(b for byte in poll for b in (byte, 0x11, 0x00))
    return {
        "frames one after the other": poll + keep + hello,
        "line ends CR LF": poll[:-1] + b"\r\n" + keep[:-1] + b"\r\n",
        "line ends CR": poll[:-1] + b"\r" + keep[:-1] + b"\r",
        "no line ends": poll[:-1] + keep[:-1] + bulk[:-1] + keep,
        "spaces before the line end": poll[:-1] + b"  \t\n" + keep,
        "a prompt before a frame": b"sut login: " + poll,
        "text between, and at the end": b"U-Boot 2023.01\r\n" + poll + b"=> " + keep + b"boot\r\n",
        "a start character in text": b"ls^C\r\n^ ^^ a^b\r\n" + poll,
        "a kernel line inside a frame": bulk[:40] + printk + bulk[40:] + keep,
        "two kernel lines inside a frame": bulk[:40] + printk + printk + bulk[40:] + keep,
        "a kernel line inside a frame, right after its header": bulk[:4] + printk + bulk[4:] + keep,
        "a control frame inside a bulk frame": bulk[:40] + poll + bulk[40:],
        "two control frames inside a bulk frame, one right after the header": bulk[:4]
        + poll
        + bulk[4:50]
        + keep
        + bulk[50:],
        "a control frame and a kernel line inside a bulk frame": bulk[:30]
        + poll
        + bulk[30:60]
        + printk
        + bulk[60:]
        + keep,
        "a bulk frame is cut off, the next one begins": bulk[:40] + bulk,
        "a frame is cut off at the end of the line": keep + bulk[:40],
        "a damaged frame, and a good one": bulk[:20] + b"?" + bulk[21:] + keep,
        "a byte is lost": bulk[:20] + bulk[21:] + keep,
        "a byte is doubled": bulk[:20] + bulk[19:] + keep,
        "our own echo": echo + poll,
        "our own echo inside text": b"$ " + echo + b"$ " + echo,
        "the parity bit is set": parity,
        "NUL and XON after each byte": noisy,
        "a frame of another session": frames.encode(b"K", b"", 12345) + poll,
        "an unknown kind": frames.encode(b"Z", b"of a later version", TO_HUB) + keep,
        "longer than announced": frames.encode(b"d", b"A" * 140, TO_HUB) + poll,
        "binary": bytes(range(256)) + poll,
    }


def streams_file() -> dict[str, Any]:
    usual: Case = {"longest": 127, "eight": False, "seed": f"{TO_HUB:08x}", "echo": f"{TO_AGENT:08x}"}
    cases = []
    for name, data in _streams().items():
        cases.append({"name": name, "stream": data.hex(), **usual, **decoded(data, usual, len(data))})
    wide = usual | {"longest": 4096, "eight": True}
    eight = frames.encode(b"D", frames.data_body(1, 0, bytes(range(256)), eight=True), TO_HUB)
    poll = frames.encode(b"P", b"B", TO_HUB)
    for name, data in {
        "the eight form": eight + poll,
        "the eight form, a control frame inside": eight[:100] + poll + eight[100:],
        "the eight form, a text line before": b"caf\xe9\r\n" + eight,
    }.items():
        cases.append({"name": name, "stream": data.hex(), **wide, **decoded(data, wide, len(data))})
    return {
        "about": "3; each stream is in hex and then ends; frames are [kind, body in hex], in order; echoes are lengths,"
        " newline included; text and damaged pieces are joined and in hex. A receiver without repair (3.2) finds fewer"
        " frames in the streams with a kernel line inside a frame, and may report damaged pieces as text",
        "cases": cases,
    }


# -- compressed records ------------------------------------------------------------------------------------------------

# zlib made these bytes. Another implementation of deflate may produce different bytes with the same meaning.
_HELLO_THRICE = bytes.fromhex("ca48cdc9c957c840905c00000000ffff")  # data: "hello hello hello\n"
_READY = bytes.fromhex("32049345a98929950aba860000")  # text: "1 sem ready -1"
_RUN = bytes.fromhex("02692906ba14acaba4a8341500")  # text: "run sut /bin/true"
_THOUSAND = bytes.fromhex("62601805a360140c7700000000ffff")  # data: 1000 bytes of 0x00
_ENDED = bytes.fromhex("4a04000000ffff0300")  # data: "a", and the end of the stream


def compressed_file() -> dict[str, Any]:
    opened = _record(b"o", 2, b"x")
    short_forms = [bytes.fromhex(text) for text in SHORT_FORMS]
    cases: dict[str, Sequence[bytes]] = {
        "data": [opened, _record(b"4", 2, _HELLO_THRICE)],
        "data in two pieces, on a stream each": [opened,
            _record(b"5", 2, _HELLO_THRICE[:6]) + _record(b"6", 2, _HELLO_THRICE[6:])],
        "data that repeats earlier data": [opened, _record(b"4", 2, _HELLO_THRICE), _record(b"0", 2, b"raw"),
            _record(b"4", 2, bytes.fromhex("cac01001000000ffff"))],
        "the first byte of a piece gives no data yet": [opened, _record(b"7", 2, _HELLO_THRICE[:1])],
        "a message": [_record(b"M", 0, _READY)],
        "texts in short form": short_forms,
        "a message in short form, on another channel": [_record(b"M", 0, _READY), opened + b"rC\x80\x10"],
        "an opening, and another one in short form": [_record(b"O", 2, _RUN), b"RE\x80"],
        "numbers beyond the end of a payload are unchanged": [_record(b"M", 0, _READY), b"\x80"],
        "a text of a channel that never existed is stored": [_record(b"M", 8, _READY), b"\x80\x10"],
        "a number in full": [_record(b"M", 0, _READY), b"\x80\xf3\xb9\xac\x9f\xf0"],
    }  # fmt: skip
    violations: dict[str, Sequence[bytes]] = {
        "data that is not valid deflate": [opened, _record(b"4", 2, b"\xff\xff\xff")],
        "a text that is not valid deflate": [_record(b"M", 0, b"\xff\xff\xff")],
        "a data stream that ends": [opened, _record(b"4", 2, _ENDED)],
        "data beyond the credit after decompression": [opened, _record(b"4", 2, _THOUSAND)],
        "a text beyond the credit after decompression": [_record(b"F", 0, _THOUSAND[:-4])],
        "a short form before any shape is stored": [b"\x80"],
        "a place that holds no shape yet": [_record(b"M", 0, _READY), b"\x81"],
        "a piece is not stored as a shape": [_record(b"F", 0, _READY), b"\x80"],
        "a short form without its place": [b"rA"],
        "a place byte below 128": [_record(b"M", 0, _READY), b"rA\x00"],
        "an opening of a channel that is open": [_record(b"O", 2, _RUN), b"RC\x80"],
    }
    valid: list[Case] = []
    invalid: list[Case] = []
    for results, is_violation, all_cases in ((valid, False, cases), (invalid, True, violations)):
        for name, payloads in all_cases.items():
            events, violation = mux_events(600, payloads, expand=True)
            assert violation is is_violation, name
            results.append({"name": name, "payloads": [data.hex() for data in payloads], "events": events})
    return {
        "about": "6.5; payloads of the prompt lane in hex, and the events at a receiver that opens odd numbers and gave 600"
        " bytes of credit; under bad, the last payload is a protocol violation and ends the session",
        "good": valid,
        "bad": invalid,
    }


# -- files -------------------------------------------------------------------------------------------------------------

FILES: dict[str, Callable[[], dict[str, Any]]] = {
    "digits": digits_file,
    "check": check_file,
    "payload": payload_file,
    "hellos": hellos_file,
    "acks": acks_file,
    "rates": rates_file,
    "frames": frames_file,
    "data": data_file,
    "records": records_file,
    "compressed": compressed_file,
    "words": words_file,
    "messages": messages_file,
    "members": members_file,
    "streams": streams_file,
    "conversations": conversations_file,
}


def as_text(content: Mapping[str, Any]) -> str:
    """The content as JSON text, with one line for each case."""
    parts = []
    for key, value in content.items():
        if isinstance(value, list):
            lines = ",\n".join("  " + json.dumps(case) for case in value)
            parts.append(f" {json.dumps(key)}: [\n{lines}\n ]")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> int:
    wrong = []
    for name, make in FILES.items():
        path, text = FOLDER / f"{name}.json", as_text(make())
        if "--write" in sys.argv[1:]:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            wrong.append(path.name)
    print(f"differ from the code: {', '.join(wrong)}" if wrong else "tests/vectors agrees with the code")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
