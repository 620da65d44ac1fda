"""Conversations over time for tests/vectors/conversations.json: loss, duplicates, silence and restarts.

Each conversation is a list of steps in the order of their times, in seconds since the first hello of the hub:

- ``hub``: the hub sends this frame.
- ``answer``: the hub sends an ack with the number of the endpoint's last poll, and these numbers as ``next`` of the two lanes.
- ``endpoint``: the endpoint has sent a frame of this kind since the last step of the hub, or since the time ``since``.
  ``begins`` is the beginning of its body, and ``payload`` is a part of the payload of a data frame.
- ``never``: the endpoint has sent no frame of these kinds since the last step of the hub.

``hub`` numbers: 0 is the first hub, 1 is another hub with other nonces.
"""

from __future__ import annotations

from typing import Any

from linesync.wire.framing import frames
from linesync.wire.framing.check import session_seed
from linesync.wire.framing.digits import counted
from linesync.wire.framing.frames import Hello, Lane
from tools.protocol_examples import AGENT, HUB

__all__ = ["BOOT", "HUBS", "conversations_file"]

BOOT = "Bt7xA2mN"
HUBS = (HUB, "Zk3wQ8_n")
_HUB_BOOTS = ("hUb4-Ee1", "hUb5-Ff2")
Step = dict[str, Any]


def _frame(at: float, kind: bytes, body: bytes, hub: int = 0, *, seed: int | None = None) -> Step:
    text = frames.encode(kind, body, session_seed(HUBS[hub], AGENT) if seed is None else seed)
    return {"at": at, "hub": text.decode()}


def _hello(at: float, hub: int = 0) -> Step:
    ends: dict[str, Any] = {"role": "l", "nonce": HUBS[hub], "peer": AGENT, "boot": _HUB_BOOTS[hub]}
    hello = Hello(oldest=1, newest=1, **ends, frame=127, credit=1024, flags="")
    return _frame(at, b"H", hello.body(), seed=0)


def _message(at: float, number: int, text: str, *, ack: int = 1) -> Step:
    payload = b"mA" + counted(len(text)) + text.encode()
    return _frame(at, frames.data_kind(Lane.PROMPT), frames.data_body(number, ack, payload, eight=False))


def _answer(at: float, prompt: int) -> Step:
    return {"at": at, "answer": {"prompt": prompt, "bulk": 0}}


def _sent(at: float, kind: str, hub: int = 0, **more: str | float) -> Step:
    return {"at": at, "endpoint": kind, "session": hub, **more}


def _never(at: float, kinds: str, hub: int = 0) -> Step:
    return {"at": at, "never": kinds, "session": hub}


_REGISTER = f"1 register sut {BOOT}"
_BEGIN = [
    _hello(0.0),
    _sent(0.45, "P"),
    _sent(0.45, "c", begins="AAAA", payload=_REGISTER),
    _answer(0.5, 1),
    _message(0.6, 0, f"1 ok {_HUB_BOOTS[0]}"),
    _sent(1.0, "A"),
]
_CONVERSATIONS: dict[str, tuple[str, list[Step]]] = {
    "a session begins": ("4.4, 8.3", _BEGIN),
    "the first request is lost": (
        "5.4, 5.5",
        [
            *_BEGIN[:3],
            _answer(0.5, 0),
            _answer(1.2, 0),
            _sent(2.0, "c", since=0.5, begins="AAAA", payload=_REGISTER),
        ],
    ),
    "a frame of the hub is lost": (
        "5.2",
        [
            *_BEGIN,
            _message(2.0, 2, "8 activity"),
            _never(2.6, "c"),
            _message(2.7, 1, "7 activity"),
            _sent(3.2, "c", payload="7 ok 0"),
            _answer(3.25, 2),
            _message(3.3, 2, "8 activity", ack=2),
            _sent(4.5, "c", since=2.7, payload="8 ok 0"),
        ],
    ),
    "a frame of the hub arrives twice": (
        "5.2",
        [
            *_BEGIN,
            _message(2.0, 1, "7 activity"),
            _sent(2.4, "c", begins="AB", payload="7 ok 0"),
            _answer(2.45, 2),
            _message(2.5, 1, "7 activity", ack=2),
            _sent(3.0, "A"),
            _never(3.0, "c"),
        ],
    ),
    "the hub is silent, and returns": (
        "4.6, 4.7",
        [
            *_BEGIN[:-1],
            _sent(9.0, "P"),
            _sent(10.0, "H", begins=f"c.{AGENT}.{HUB}.{BOOT}."),
            _frame(12.0, b"K", b""),
            _sent(12.5, "P"),
            _frame(12.6, b"P", frames.poll_body(4)),
            _sent(13.0, "A"),
            _never(14.0, "H"),
        ],
    ),
    "the hub restarts": (
        "4.4, A.1",
        [
            *_BEGIN[:-1],
            _sent(10.0, "H", begins=f"c.{AGENT}.{HUB}.{BOOT}."),
            _hello(12.0, 1),
            _sent(12.45, "P", 1),
            _sent(12.45, "c", 1, begins="AAAA", payload=_REGISTER),
        ],
    ),
    "an old hello in a session": (
        "4.4",
        [
            *_BEGIN,
            _hello(2.0, 1),
            _never(3.0, "PAKcd", 1),
            _frame(3.1, b"P", frames.poll_body(4)),
            _sent(3.5, "A"),
        ],
    ),
    "the hub says goodbye": (
        "4.9",
        [
            *_BEGIN,
            _frame(2.0, b"X", b""),
            _sent(4.0, "H"),
            _never(4.0, "PAKcd"),
        ],
    ),
}


def conversations_file() -> dict[str, Any]:
    return {
        "about": "4 and 5 over time; an endpoint with the name sut on a serial line, which has called with its first hello;"
        " tests/vectors/README.md describes the steps; `at` is in seconds",
        "nonce": AGENT,
        "boot": BOOT,
        "hubs": list(HUBS),
        "cases": [
            {"name": name, "section": section, "steps": steps} for name, (section, steps) in _CONVERSATIONS.items()
        ],
    }
