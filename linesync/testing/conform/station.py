"""The tester's end of the line. It plays the peer of the endpoint under test: the hub for a caller, an agent for a hub.

A rule sends frames by hand and waits for frames of the endpoint. Unless the rule switches it off, the station does everything
else that a peer must do: it answers polls, acknowledges payloads, retransmits its own payloads, returns credit, answers
requests and keeps the line alive. It announces no flags, so an endpoint must use the simplest form of each frame.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ... import limits
from ...wire.events import FrameFound
from ...wire.framing import frames
from ...wire.framing.check import session_seed
from ...wire.framing.decoder import Decoder
from ...wire.framing.digits import ALPHABET, counted, read_counted
from ...wire.framing.frames import Ack, Frame, Hello
from ...wire.framing.payload import encode_base64
from .monitor import Monitor, read_records
from .rules import Failed
from .wire import Wire

__all__ = ["PATIENCE", "Station", "record"]

PATIENCE = 4.0
"""The time within which an endpoint must do what it must do immediately, and within which lost frames are repeated."""
_STEP = 0.05  # the longest wait without a look at the timers, in seconds
_POLL_AFTER = 0.5
_KEEP_AFTER = 2.0
_CALL_PAUSE = 0.3
_SHOWN = 240  # bytes of the endpoint that a failure shows


def record(kind: bytes, channel: int, body: bytes = b"") -> bytes:
    return kind + counted(channel) + counted(len(body)) + body


class _Session:
    """A session with the endpoint."""

    def __init__(self, own: str, peer: Hello, now: float) -> None:
        self.own, self.peer = own, peer
        self.seed_in, self.seed_out = session_seed(peer.nonce, own), session_seed(own, peer.nonce)
        self.next = {b"c": 0, b"d": 0}
        """The next number to send in each lane."""
        self.expected = {b"c": 0, b"d": 0}
        self.unacked: dict[bytes, dict[int, bytes]] = {b"c": {}, b"d": {}}
        self.acked = {b"c": 0, b"d": 0}
        self.poll = 0
        """The number of the last poll that the tester sent."""
        self.asks = False
        """Whether the last poll has no answer yet."""
        self.answered = 0
        """The poll number in the last ack of the endpoint."""
        self.polled_at = now
        self.peer_poll = 0
        self.credit = peer.credit
        self.taken = 0
        """The cost of the records on channel 0 for which no credit was returned yet."""
        self.partial = b""


class Station:
    """The tester's end.

    :param role: the role of the tester: ``l`` plays the hub, ``c`` plays an agent.
    :param name: the host name with which the tester registers at a hub.
    """

    def __init__(self, wire: Wire, *, role: str, name: str, rng: random.Random) -> None:
        self.wire, self.role, self.name, self.rng = wire, role, name, rng
        self.shared = wire.shared
        self.boot = self.token()
        self.monitor = Monitor("c" if role == "l" else "l")
        self.session: _Session | None = None
        self.frames: list[tuple[float, Frame]] = []
        """The frames of the endpoint since the rule began, with their times."""
        self.raw = bytearray()
        """The bytes of the endpoint since the rule began."""
        self.records: list[tuple[bytes, int, bytes]] = []
        """The records of the endpoint since the rule began, in order: kind, channel, body."""
        self.replies: dict[str, str] = {}
        """The replies of this session by their ids."""
        self.requests: list[str] = []
        """The requests and notes of the endpoint in this session."""
        self.credit_returned = 0
        self.alive = True
        """Whether the station answers polls, acknowledges payloads, and polls itself."""
        self.keeps = True
        """Whether the station keeps the line alive."""
        self.grants = True
        """Whether the station returns credit."""
        self.lost_out: Callable[[], bool] = lambda: False
        self.lost_in: Callable[[], bool] = lambda: False
        self._decoder = Decoder(longest=4096, eight=not wire.shared)
        self._sent_at = 0.0
        self._ids = 0
        self.later = b""
        """The bytes after the parts of each hello of the tester. A later version may write such bytes."""

    # -- the endpoint ----------------------------------------------------------------------------------------------

    def token(self) -> str:
        return "".join(self.rng.choices(ALPHABET.decode(), k=limits.NONCE_SIZE))

    def begin_rule(self) -> None:
        """Forget the earlier frames and bytes of the endpoint, and behave like a usual peer again."""
        self.frames.clear()
        self.raw.clear()
        self.records.clear()
        self.alive = self.keeps = self.grants = True
        self.lost_out = self.lost_in = lambda: False

    def observed(self) -> str:
        """The last bytes of the endpoint, with escapes."""
        return bytes(self.raw[-_SHOWN:]).decode("latin-1").encode("unicode_escape").decode()

    @property
    def up(self) -> _Session:
        """The session.

        :raises Failed: there is no session.
        """
        if self.session is None:
            raise Failed("the endpoint ended the session")
        return self.session

    # -- sending ---------------------------------------------------------------------------------------------------

    def send_raw(self, data: bytes) -> None:
        if data and not self.lost_out():
            self.wire.send(data)

    def text(self, kind: bytes, body: bytes = b"", *, seed: int | None = None) -> bytes:
        """A complete frame. Its seed is that of the session by default."""
        return frames.encode(kind, body, self.up.seed_out if seed is None else seed)

    def send(self, kind: bytes, body: bytes = b"", *, seed: int | None = None) -> None:
        self._sent_at = self.wire.now()
        self.send_raw(self.text(kind, body, seed=seed))

    def hello(self, nonce: str, peer: str, **changes: Any) -> bytes:
        """The body of a hello of the tester."""
        if self.session is None or nonce != self.session.own:
            self.monitor.offered.add(nonce)
        usual: dict[str, Any] = {"oldest": 1, "newest": 1, "role": self.role, "nonce": nonce, "peer": peer}
        usual |= {"boot": self.boot, "frame": limits.BASIC_FRAME, "credit": 1024, "flags": ""}
        return Hello(**(usual | changes)).body() + self.later

    def poll(self, number: int | None = None) -> int:
        """Send a poll, by default with the next number, and return its number."""
        session = self.up
        session.poll = session.poll % 31 + 1 if number is None else number
        session.polled_at, session.asks = self.wire.now(), True
        self.monitor.polled.add(session.poll)
        self.send(frames.POLL, frames.poll_body(session.poll))
        return session.poll

    def ack(self) -> None:
        session = self.up
        lanes = ((session.expected[b"c"], ()), (session.expected[b"d"], ()))
        self.send(frames.ACK, Ack(age=0, poll=session.peer_poll, prompt=lanes[0], bulk=lanes[1]).body())

    def send_data(self, sequence: int, payload: bytes, lane: bytes = b"c", *, ack: int | None = None) -> None:
        """Send a data frame with any number. The station does not retransmit it."""
        session = self.up
        acknowledged = session.expected[lane] if ack is None else ack
        self.send(lane, frames.data_body(sequence % limits.SEQ_MOD, acknowledged, payload, eight=False))

    def deliver(self, payload: bytes, lane: bytes = b"c") -> int:
        """Send the next payload of a lane, and retransmit it until the endpoint acknowledges it. Returns its number."""
        session = self.up
        number = session.next[lane]
        session.next[lane] = self.monitor.sent[lane] = (number + 1) % limits.SEQ_MOD
        session.unacked[lane][number] = payload
        self.send_data(number, payload, lane)
        return number

    def message(self, text: str) -> None:
        """Send a message on channel 0 as soon as the endpoint's credit allows it."""
        cost = len(text) + 4
        if not self.pump(PATIENCE, lambda: self.up.credit >= cost):
            raise Failed(f"the endpoint did not return credit: {self.up.credit} bytes are left")
        self.up.credit -= cost
        self.deliver(record(b"m", 0, text.encode()))

    def request(self, text: str) -> str:
        """Send a request, and return its id."""
        self._ids += 1
        self.message(f"{self._ids} {text}")
        return str(self._ids)

    def ask(self, text: str, seconds: float = PATIENCE) -> str:
        """Send a request, and return the reply without its id.

        :raises Failed: there is no reply.
        """
        number = self.request(text)
        return self.reply(number, seconds)

    def reply(self, number: str, seconds: float = PATIENCE) -> str:
        if not self.pump(seconds, lambda: number in self.replies):
            raise Failed(f"the endpoint did not reply to request {number} within {seconds:g} s")
        return self.replies.pop(number)

    # -- waiting ---------------------------------------------------------------------------------------------------

    def pump(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass until a condition is true, at most the given time. Returns whether it is true."""
        deadline = self.wire.now() + seconds
        while not (until is not None and until()):
            self._handle_timers()
            left = deadline - self.wire.now()
            if left <= 0:
                return False
            self._receive(self.wire.receive(min(left, _STEP)))
        return True

    def count(self, kinds: bytes, since: float = -1.0) -> int:
        """The number of frames of these kinds since the rule began, or since a time."""
        return sum(frame.kind in kinds for at, frame in self.frames if at >= since)

    def expect(self, kinds: bytes, seconds: float, what: str) -> None:
        """Wait for a new frame of one of these kinds.

        :raises Failed: none arrives.
        """
        before = self.count(kinds)
        if not self.pump(seconds, lambda: self.count(kinds) > before):
            raise Failed(f"the endpoint did not send {what} within {seconds:g} s")

    def hellos(self) -> list[Hello]:
        """The valid hellos since the rule began."""
        read = (Hello.read(frame.body) for _, frame in self.frames if frame.kind == frames.HELLO)
        return [hello for hello in read if hello is not None]

    def check_alive(self, what: str = "a poll") -> None:
        """Check that the session works: the endpoint answers a poll and a request.

        :param what: the event before this check, for the error.
        """
        if not self.polls_answered():
            raise Failed(f"the endpoint did not answer a poll after {what}")
        self.ask("conform")

    def polls_answered(self, seconds: float = PATIENCE) -> bool:
        """Poll until the endpoint answers. Returns whether it did."""
        deadline = self.wire.now() + seconds
        while self.session is not None and self.wire.now() < deadline:
            number = self.poll()
            if self.pump(1.0, lambda: self.session is None or self.session.answered == number):  # noqa: B023
                return self.session is not None
        return False

    @contextmanager
    def mute(self, *, keep: bool = False) -> Iterator[None]:
        """Send only the frames of the rule during the block.

        :param keep: whether to keep the line alive.
        """
        self.alive, self.keeps = False, keep
        try:
            yield
        finally:
            self.alive = self.keeps = True

    # -- sessions --------------------------------------------------------------------------------------------------

    def use_session(self) -> None:
        """Use the session of the previous rule if it works; otherwise begin a session."""
        if self.session is None or not self.polls_answered(2.0):
            self.begin_session()

    def begin_session(self, **changes: Any) -> Hello:
        """Begin a new session, and return the hello of the endpoint.

        :param changes: fields of the tester's hello.
        """
        hello = self.await_call() if self.role == "l" else self.call(**changes)
        if self.role == "l":
            self.answer(hello, **changes)
        else:
            self.prove(hello)
        return hello

    def end_session(self) -> None:
        """If there is a session, end it with a bye."""
        if self.session is not None:
            self.send(frames.BYE, encode_base64(b"the tester begins a new session"))
            self.drop_session()

    def drop_session(self) -> None:
        """Forget the session without a bye."""
        self.session = None

    def listen_for(self, seeds: tuple[int, ...]) -> None:
        """Find frames with these seeds, and with the seed of the session."""
        own = () if self.session is None else (self.session.seed_in,)
        self._decoder.seeds = (*own, *seeds)

    def await_call(self) -> Hello:
        """End the session, and wait until the caller under test calls."""
        self.end_session()
        seconds = 13.0 if self.shared else 30.0
        before = len(self.hellos())
        if not self.pump(seconds, lambda: len(self.hellos()) > before):
            raise Failed(f"the endpoint did not call within {seconds:g} s")
        return self.hellos()[-1]

    def answer(self, hello: Hello, **changes: Any) -> None:
        """Answer the hello of a caller with the tester's hello, until the first frame of the session arrives."""
        nonce = self.token()
        self._set_session(nonce, hello, changes)
        deadline = self.wire.now() + PATIENCE
        while self.wire.now() < deadline:
            self.send(frames.HELLO, self.hello(nonce, hello.nonce, **changes), seed=0)
            since = self.wire.now()
            if self.pump(1.0, lambda: any(f.kind != b"H" and at >= since for at, f in self.frames)):  # noqa: B023
                return
        self.drop_session()
        raise Failed(f"the endpoint did not begin a session within {PATIENCE:g} s of the answer to its hello")

    def call(self, peer: str = "", **changes: Any) -> Hello:
        """End the session, call the listener under test, and return the hello with its answer.

        :param peer: the nonce that the hello names.
        """
        self.end_session()
        self.nonce = self.token()
        return self.call_as(self.nonce, peer, **changes)

    def call_as(self, nonce: str, peer: str = "", **changes: Any) -> Hello:
        before = len(self.frames)
        for _ in range(15):
            self.send(frames.HELLO, self.hello(nonce, peer, **changes), seed=0)

            def answer() -> Hello | None:
                hellos = (Hello.read(frame.body) for _, frame in self.frames[before:] if frame.kind == frames.HELLO)
                return next((hello for hello in hellos if hello is not None and hello.peer == nonce), None)

            if self.pump(_CALL_PAUSE, lambda: answer() is not None):
                found = answer()
                assert found is not None
                return found
        raise Failed(f"the endpoint did not answer a hello within {15 * _CALL_PAUSE:g} s")

    def prove(self, hello: Hello) -> None:
        """Begin the session that the answer of a listener offers, and register."""
        self._set_session(hello.peer, hello, {})
        if not self.polls_answered():
            self.drop_session()
            raise Failed("the endpoint did not answer the first poll of the session")
        self.registered = self.ask(f"register {self.name} {self.boot}")

    def _set_session(self, nonce: str, peer: Hello, changes: dict[str, Any]) -> None:
        self.session = _Session(nonce, peer, self.wire.now())
        self._decoder.seeds, self._decoder.echo_seeds = (self.session.seed_in,), (self.session.seed_out,)
        credit: int = changes.get("credit", 1024)
        resumed = self.role == "l" and bool(peer.peer)
        self.monitor.begin_session(nonce, peer.nonce, credit, resumed=resumed)
        self.replies.clear()
        self.requests.clear()
        self.credit_returned = 0

    # -- receiving -------------------------------------------------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        now = self.wire.now()
        self.raw += data
        self.monitor.raw(data)
        events = self._decoder.receive(data, now) + self._decoder.handle_timer(now)
        for event in events:
            if isinstance(event, FrameFound):
                current = self.session is not None and event.frame.seed == self.session.seed_in
                self.monitor.frame(event.frame, now, current=current)
                if not self.lost_in():
                    self.frames.append((now, event.frame))
                    self._frame(event.frame)

    def _frame(self, frame: Frame) -> None:
        session = self.session
        if session is None or frame.kind == frames.HELLO or frame.seed != session.seed_in:
            return
        if frame.kind == frames.POLL:
            session.peer_poll = frames.read_poll(frame.body) or session.peer_poll
            if self.alive:
                self.ack()
        elif frame.kind == frames.ACK:
            self._ack(session, frame.body)
        elif frame.kind in (b"c", b"d"):
            self._data(session, frame.kind, frame.body)
        elif frame.kind == frames.BYE:
            self.drop_session()
        elif frame.kind == frames.PROBE and self.alive:
            self.send(frames.PROBED, frames.probed_body(len(frames.encode(frame.kind, frame.body, 0))))

    def _ack(self, session: _Session, body: bytes) -> None:
        ack = Ack.read(body)
        if ack is None:
            return
        session.answered = ack.poll
        self._acknowledged(session, b"c", ack.prompt[0])
        self._acknowledged(session, b"d", ack.bulk[0])
        if ack.poll == session.poll and session.asks and self.alive:
            session.asks = False
            for lane, unacked in session.unacked.items():
                for number, payload in unacked.items():
                    self.send_data(number, payload, lane)

    @staticmethod
    def _acknowledged(session: _Session, lane: bytes, expected: int) -> None:
        session.acked[lane] = expected
        for number in list(session.unacked[lane]):
            if 0 < (expected - number) % limits.SEQ_MOD <= limits.WINDOW_FRAMES:
                del session.unacked[lane][number]

    def _data(self, session: _Session, lane: bytes, body: bytes) -> None:
        data = frames.read_data(lane, body)
        if data is None:
            return
        self._acknowledged(session, lane, data.ack)
        if self.alive and data.seq == session.expected[lane]:
            session.expected[lane] = (data.seq + 1) % limits.SEQ_MOD
            for kind, channel, content in read_records(data.payload) or ():
                self._record(session, kind, channel, content)
        if self.alive and self.session is session:
            self.ack()

    def _record(self, session: _Session, kind: bytes, channel: int, body: bytes) -> None:
        self.records.append((kind, channel, body))
        if channel == 0 and kind == b"w":
            amount = max(read_counted(body, 0, 6)[0], 0)
            session.credit += amount
            self.credit_returned += amount
        elif channel == 0 and kind in b"mf":
            session.taken += len(body) + 4
            session.partial += body
            if self.grants:
                self.grant()
            if kind == b"m":
                text, session.partial = session.partial.decode("utf-8", "replace"), b""
                self._message(text)

    def grant(self) -> None:
        """Return the credit of everything that arrived on channel 0."""
        session = self.up
        amount, session.taken = session.taken, 0
        self.monitor.credit[0] += amount
        self.deliver(record(b"w", 0, counted(amount)))

    def _message(self, text: str) -> None:
        number, _, rest = text.partition(" ")
        verb = rest.partition(" ")[0]
        if verb in ("ok", "err"):
            self.replies[number] = rest
            return
        self.requests.append(text)
        if number != "-" and self.session is not None:
            reply = f"{number} ok {self.boot}" if verb == "register" else f"{number} err failed not%20known%20here"
            self.session.credit -= len(reply) + 4
            self.deliver(record(b"m", 0, reply.encode()))

    def _handle_timers(self) -> None:
        session, now = self.session, self.wire.now()
        if session is None:
            return
        if self.alive and any(session.unacked.values()) and now - max(session.polled_at, self._sent_at) > _POLL_AFTER:
            self.poll()
        elif self.keeps and now - self._sent_at > _KEEP_AFTER:
            self.send(frames.KEEP)
