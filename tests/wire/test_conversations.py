"""Run the conversations of tests/vectors with a link, and with the endpoint that was written from docs/protocol.md alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

import pytest

from linesync.wire.channels.mux import Mux
from linesync.wire.events import ChannelMessage, Event, FrameFound, SessionUp
from linesync.wire.framing import frames
from linesync.wire.framing.check import session_seed
from linesync.wire.framing.decoder import Decoder
from linesync.wire.framing.frames import Ack, Frame
from linesync.wire.framing.payload import decode_base64
from linesync.wire.link import Link
from linesync.wire.reliability.handshake import LocalParameters
from tests.docs.protocol.on_virtual_time import load
from tools.protocol_vectors import FOLDER

VECTORS: dict[str, Any] = json.loads((FOLDER / "conversations.json").read_text())
_TOKENS = (VECTORS["nonce"], "second-n", "third--n")
_TICK = 0.02


class Endpoint(Protocol):
    def receive(self, data: bytes, now: float) -> None: ...

    def tick(self, now: float) -> None: ...


class _Link:
    """The link of an agent that registers and answers ``activity``."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        tokens = iter(_TOKENS)
        local = LocalParameters(role="c", boot=VECTORS["boot"], frame=127, credit=256, flags="")
        self._link, self._write = Link(local, lambda: next(tokens)), write
        self._link.line_up(0.0, shared=True)

    def receive(self, data: bytes, now: float) -> None:
        self._handle(self._link.receive_data(data, now))
        self._send(now)

    def tick(self, now: float) -> None:
        timer = self._link.next_timer(now)
        if timer is not None and timer <= now:
            self._handle(self._link.handle_timer(now))
        self._send(now)

    def _send(self, now: float) -> None:
        while data := self._link.data_to_send(now):
            self._write(data)

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            mux: Mux | None = self._link.session.mux if self._link.session else None
            if mux is not None and isinstance(event, SessionUp):
                mux.send_message(0, f"1 register sut {VECTORS['boot']}".encode())
            elif mux is not None and isinstance(event, ChannelMessage):
                mux.consumed(0, event.data)
                if b" activity" in event.data:
                    mux.send_message(0, event.data.replace(b"activity", b"ok 0"))


class _Minimal:
    """The independent endpoint."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        module = load()
        tokens = iter((VECTORS["boot"], *_TOKENS))
        self._now = 0.0
        self._end = module.Endpoint(
            write, "sut", clock=lambda: self._now, random=lambda size: module.unbase64(next(tokens).encode())
        )

    def receive(self, data: bytes, now: float) -> None:
        self._now = now
        self._end.receive(data)

    def tick(self, now: float) -> None:
        self._now = now
        self._end.tick()


class Player:
    """Plays the hub of a conversation, and checks the frames of the endpoint."""

    def __init__(self, make: Callable[[Callable[[bytes], None]], Endpoint]) -> None:
        self.now = 0.0
        self.sent: list[tuple[float, Frame]] = []
        """The frames of the endpoint, with their times."""
        self._last_hub_step = 0.0
        self.poll = 0
        self._seeds = [session_seed(VECTORS["nonce"], hub) for hub in VECTORS["hubs"]]
        self._decoder = Decoder()
        self._decoder.seeds = tuple(self._seeds)
        self._endpoint = make(self._arrived)
        self._until(0.1)
        self._begun = self.now

    def _arrived(self, data: bytes) -> None:
        for event in self._decoder.receive(data, self.now):
            if isinstance(event, FrameFound):
                self.sent.append((self.now, event.frame))
                if event.frame.kind == b"P":
                    self.poll = frames.read_poll(event.frame.body) or 0

    def _until(self, at: float) -> None:
        while self.now < at:
            self.now = min(self.now + _TICK, at)
            self._endpoint.tick(self.now)

    def step(self, step: dict[str, Any]) -> None:
        self._until(self._begun + step["at"])
        if "hub" in step or "answer" in step:
            self._last_hub_step = self.now
            self._endpoint.receive(self._text(step), self.now)
        elif "never" in step:
            assert not self._found(step, step["never"]), step
        else:
            found = self._found(step, step["endpoint"])
            bodies = [body for body in found if body.decode().startswith(step.get("begins", ""))]
            payloads = [decode_base64(body[4:]) or b"" for body in bodies]
            text = step.get("payload", "").encode()
            assert bodies and any(text in payload for payload in payloads), (step, self.sent)

    def _text(self, step: dict[str, Any]) -> bytes:
        if "hub" in step:
            return str(step["hub"]).encode()
        lanes = ((step["answer"]["prompt"], ()), (step["answer"]["bulk"], ()))
        ack = Ack(age=0, poll=self.poll, prompt=lanes[0], bulk=lanes[1])
        return frames.encode(b"A", ack.body(), session_seed(VECTORS["hubs"][0], VECTORS["nonce"]))

    def _found(self, step: dict[str, Any], kinds: str) -> list[bytes]:
        seed = self._seeds[step["session"]]
        since = self._begun + step["since"] if "since" in step else self._last_hub_step
        found = [frame for at, frame in self.sent if at >= since and frame.kind.decode() in kinds]
        return [frame.body for frame in found if frame.kind == b"H" or frame.seed == seed]


@pytest.mark.parametrize("make", [_Link, _Minimal])
@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_an_endpoint_behaves_as_in_the_conversation(
    case: dict[str, Any], make: Callable[[Callable[[bytes], None]], Endpoint]
) -> None:
    _play(case, make)


def _play(case: dict[str, Any], make: Callable[[Callable[[bytes], None]], Endpoint]) -> None:
    player = Player(make)
    for step in case["steps"]:
        player.step(step)


def test_an_endpoint_that_only_calls_fails_every_conversation() -> None:
    class Deaf(_Minimal):
        def receive(self, data: bytes, now: float) -> None:
            """Ignore the hub."""

    for case in VECTORS["cases"]:
        with pytest.raises(AssertionError):
            _play(case, Deaf)
