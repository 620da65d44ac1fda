"""A kernel prints whole lines into frames, and the machine may then stall. The console log must have all these lines."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from linesync import limits
from linesync.wire.console import Console
from linesync.wire.events import Damaged, Event, ForeignText, Noise
from linesync.wire.framing import frames
from linesync.wire.framing.decoder import Decoder, FrameFound

_SEED = 5  # the seed of the session's checks
_BYTE = 1 / 11520  # the duration of one byte, in seconds
_DIGITS = "0123456789abcdef" * 4
_MESSAGES = (
    "e1000 0000:00:03.0 eth0: link is up",
    "x",
    f"sha256 {_DIGITS}{_DIGITS}",
    _DIGITS,
    f"WARNING: at kernel/locking.c:123, see {_DIGITS} and {_DIGITS}",
    "^a ^^ ~. }{ %s",
    "usb 1-1: new high-speed USB device number 2 using xhci_hcd",
)
_CONTROL = frames.encode(b"a", b"BByy", _SEED)


class _Line:
    """Frames, with kernel messages, control frames and stalls at random places in them."""

    def __init__(self, rng: random.Random, kinds: str, stall: float) -> None:
        self.pieces: list[tuple[bytes, float]] = []
        """Pieces of bytes, each with the seconds of silence after it."""
        self.messages: list[bytes] = []
        for _ in range(6):
            probe = rng.choice(kinds) == "T"
            frame = self._probe(rng) if probe else self._data(rng)
            places = sorted(rng.sample(range(1, len(frame)), rng.randrange(6)))
            for begin, end in zip([0, *places], [*places, len(frame)], strict=True):
                self.pieces.append((frame[begin:end], 0.0))
                if end < len(frame) and rng.random() < 0.7:
                    self._print(rng, stall if rng.random() < 0.3 else 0.0)
                elif end < len(frame):
                    self.pieces.append((_CONTROL, 0.0))
            if not probe:
                self.pieces.append((frame, 0.0))  # sent again

    @staticmethod
    def _probe(rng: random.Random) -> bytes:
        return frames.encode(frames.PROBE, frames.probe_body(rng.choice(limits.PROBE_SIZES)), _SEED)

    @staticmethod
    def _data(rng: random.Random) -> bytes:
        body = frames.data_body(rng.randrange(100), 3, rng.randbytes(300), eight=False)
        return frames.encode(frames.data_kind(frames.Lane.BULK), body, _SEED)

    def _print(self, rng: random.Random, stall: float) -> None:
        message = f"[{10 + len(self.messages):12.6f}] noise {rng.choice(_MESSAGES)};".encode()
        self.messages.append(message)
        self.pieces.append((message + b"\r\n", stall))


class _Receiver:
    """The receiving end: the decoder, and the console that gets all bytes outside valid frames."""

    def __init__(self) -> None:
        self._decoder = Decoder(longest=limits.SERIAL_FRAME)
        self._decoder.seeds = (_SEED,)
        self._console = Console()
        self._now = 0.0
        self.log = b""

    def take(self, data: bytes, step: int) -> None:
        for at in range(0, len(data), step):
            self._now += step * _BYTE
            self._sort(self._decoder.receive(data[at : at + step], self._now))

    def rest(self, seconds: float) -> None:
        self._now += seconds
        self._sort(self._decoder.handle_timer(self._now))
        self._show(self._console.handle_timer(self._now))

    def _sort(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, ForeignText | Damaged):
                self._show(self._console.sort(event, self._now))
            elif isinstance(event, FrameFound) and event.frame.kind in frames.DATA_KINDS and self._console.holds:
                text = frames.encode(event.frame.kind, event.frame.body, 0)[1 : -limits.CHECK_SIZE - 1]
                self._show(self._console.good_copy(text))

    def _show(self, events: list[Event]) -> None:
        self.log += b"".join(event.data for event in events if isinstance(event, ForeignText | Noise))


def _lines(kinds: str, stall: float) -> Iterator[tuple[int, _Line]]:
    for seed in range(25):
        yield seed, _Line(random.Random(seed), kinds, stall)


@pytest.mark.parametrize("stall", [0.0, 0.4, 1.5])
@pytest.mark.parametrize("kinds", ["T", "d"])
def test_a_message_inside_a_frame_is_in_the_console_log_once(kinds: str, stall: float) -> None:
    for seed, line in _lines(kinds, stall):
        receiver = _Receiver()
        for data, silence in line.pieces:
            receiver.take(data, random.Random(seed).choice([1, 3, 16, 64]))
            receiver.rest(silence)
        receiver.rest(5.0)
        receiver.rest(5.0)
        wrong = [message for message in line.messages if receiver.log.count(message) != 1]
        assert not wrong, (seed, wrong, receiver.log)


@pytest.mark.parametrize("kinds", ["T", "d"])
def test_a_short_stall_behind_a_message_does_not_turn_the_rest_of_the_frame_into_text(kinds: str) -> None:
    messages = touched = 0
    for _, line in _lines(kinds, 0.4):
        receiver = _Receiver()
        for data, silence in line.pieces:
            receiver.take(data, 16)
            receiver.rest(silence)
        receiver.rest(5.0)
        receiver.rest(5.0)
        messages += len(line.messages)
        touched += sum((b"\n" + receiver.log).count(b"\n" + message) != 1 for message in line.messages)
    assert touched <= messages // 10, (touched, messages)
