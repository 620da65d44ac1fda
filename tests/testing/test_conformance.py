"""The conformance check finds errors: each of these transports breaks one rule, and the check reports it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from linesync.errors import LinesyncError, LinesyncFailed
from linesync.testing.conformance import Pair, check_transport
from linesync.transports import Line, LineReceiver, ReceiverFactory
from tests.transports.pairs import tcp_pair

pytestmark = pytest.mark.live


class Honest:
    """Forwards every call to the receiver. Each subclass breaks one rule."""

    def __init__(self, receiver: LineReceiver) -> None:
        self.receiver = receiver

    def line_made(self, line: Line) -> None:
        self.receiver.line_made(line)

    def data_received(self, data: bytes | bytearray | memoryview) -> None:
        self.receiver.data_received(data)

    def eof_received(self) -> None:
        self.receiver.eof_received()

    def pause_writing(self) -> None:
        self.receiver.pause_writing()

    def resume_writing(self) -> None:
        self.receiver.resume_writing()

    def line_lost(self, error: LinesyncError | None) -> None:
        self.receiver.line_lost(error)


class LosesTwice(Honest):
    def line_lost(self, error: LinesyncError | None) -> None:
        super().line_lost(error)
        super().line_lost(error)


class MakesTwice(Honest):
    def line_made(self, line: Line) -> None:
        super().line_made(line)
        super().line_made(line)


class FlipsABit(Honest):
    def data_received(self, data: bytes | bytearray | memoryview) -> None:
        super().data_received(bytes(data).replace(b"\x80", b"\x00"))


class DropsAByteOfMany(Honest):
    def data_received(self, data: bytes | bytearray | memoryview) -> None:
        super().data_received(data[:-1] if len(data) > 10_000 else data)


class ReportsAnErrorAfterClose(Honest):
    def line_lost(self, error: LinesyncError | None) -> None:
        super().line_lost(LinesyncFailed("something happened"))


class ReportsNoEnd(Honest):
    def eof_received(self) -> None:
        pass


class PausesTwice(Honest):
    def pause_writing(self) -> None:
        super().pause_writing()
        super().pause_writing()


class DeliversAfterTheEnd(Honest):
    def line_lost(self, error: LinesyncError | None) -> None:
        super().line_lost(error)
        self.receiver.data_received(b"late")


class HidesACut(Honest):
    def line_lost(self, error: LinesyncError | None) -> None:
        super().line_lost(None)


class HidesFailures(Honest):
    def data_received(self, data: bytes | bytearray | memoryview) -> None:
        try:
            super().data_received(data)
        except ValueError:
            self.receiver.line_lost(None)


@pytest.mark.parametrize(
    ("liar", "sentence"),
    [
        (LosesTwice, "lost came after line_lost"),
        (MakesTwice, "line_made came again|58 bytes arrived"),
        (FlipsABit, "at byte 127 of 256 it was 0x00 and not 0x80"),
        (DropsAByteOfMany, "received bytes that differ|should have received"),
        (ReportsAnErrorAfterClose, "although the line was closed|reported something happened"),
        (ReportsNoEnd, "eof_received should precede line_lost"),
        (PausesTwice, "pause_writing came twice in a row"),
        (DeliversAfterTheEnd, "data came after line_lost"),
        (HidesACut, "a cut was reported as None"),
        (HidesFailures, "a receiver that failed in data got None"),
    ],
)
def test_a_transport_that_breaks_a_rule_fails_the_check(
    liar: type[Honest], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linesync.testing.recorder._PATIENCE_SECONDS", 0.5)

    @asynccontextmanager
    async def make(first: ReceiverFactory, second: ReceiverFactory) -> AsyncIterator[Pair]:
        async with tcp_pair(lambda: liar(first()), second) as pair:
            yield Pair(cut=pair.cut)  # without the checks that take a second

    with pytest.raises(AssertionError, match=sentence):
        asyncio.run(check_transport(make))
