"""The rules that the tester watches during all checks: the form of each frame that the endpoint sends."""

from __future__ import annotations

from ... import limits
from ...wire.framing import frames
from ...wire.framing.digits import read_counted, read_fixed
from ...wire.framing.frames import Ack, Hello
from ...wire.framing.payload import decode_base64, encode_base64
from .rules import BOTH, CALLER, MUST, SHOULD, Rule

__all__ = ["WATCHED", "Monitor", "read_records"]

_KINDS = b"HAPKXcdTR"  # the kinds that an endpoint may send to a peer without flags
_OLD = 2048  # half of the sequence numbers: a greater distance is a distance backwards

WATCHED: tuple[Rule, ...] = tuple(
    Rule(id, section, level, does, roles, None)
    for id, section, level, does, roles in (
        ("frame-form", "2", MUST, "writes each frame in one piece, in printable ASCII, with its newline", BOTH),
        ("frame-size", "2, 4.1", MUST, "sends no frame that is longer than the 127 bytes that the tester announced", BOTH),
        ("frame-kinds", "2.4, 4.1", MUST, "sends only frames that need no flag, because the tester announced none", BOTH),
        ("hello-form", "4.1", MUST, "sends hellos with six valid parts and its own role", BOTH),
        ("hello-nonce", "1.4, A.1", MUST, "draws a new nonce for each session", BOTH),
        ("hello-boot", "1.4", SHOULD, "keeps its boot id while it runs", BOTH),
        ("call-rate", "4.2, C", MUST, "sends hellos at least 0.1 s apart", CALLER),
        ("ack-form", "5.3", MUST, "acknowledges only polls and payloads that the tester sent", BOTH),
        ("poll-form", "5.5", MUST, "numbers its polls 1, 2, .. 31, 1, ...; it may leave out one number", BOTH),
        ("sequence", "5.1", MUST, "numbers its payloads without gaps from 0, and repeats a payload only unchanged", BOTH),
        ("base64", "2.3", MUST, "writes payloads in base64url with unused bits 0", BOTH),
        ("records", "6.1", MUST, "sends whole records of the kinds that need no flag", BOTH),
        ("channel-zero", "6.1", MUST, "sends messages and credit on channel 0 in the prompt lane, and nothing else", BOTH),
        ("openings", "6.1", MUST, "opens only channels whose numbers belong to its nonce", BOTH),
        ("credit-kept", "6.3", MUST, "never exceeds the credit of a channel", BOTH),
    )
)  # fmt: skip


def read_records(payload: bytes) -> list[tuple[bytes, int, bytes]] | None:
    """The records (kind, channel, body) of a payload; None if they are malformed."""
    records, at = [], 0
    while at < len(payload):
        kind = payload[at : at + 1]
        channel, at = read_counted(payload, at + 1)
        length, at = read_counted(payload, at)
        if channel < 0 or length < 0 or at + length > len(payload):
            return None
        records.append((kind, channel, payload[at : at + length]))
        at += length
    return records


class Monitor:
    """Checks each frame of the endpoint. :attr:`faults` contains the first fault of each rule."""

    def __init__(self, role: str) -> None:
        self.faults: dict[str, tuple[str, str]] = {}
        """For each broken rule: the fault as a sentence, and the frame with escapes."""
        self.seen = 0
        """The number of frames."""
        self._role = role
        self._raw = bytearray()
        self._unended = b""  # the last frame, while its newline has not arrived
        self._nonces: set[str] = set()
        self._called_at = -1.0
        self.offered: set[str] = set()
        """The nonces in hellos of the tester that belong to no session."""
        self._boot = ""
        self.begin_session("", "", 0)

    def begin_session(self, own: str, peer: str, credit: int, *, resumed: bool = False) -> None:
        """Begin to watch a new session.

        :param own: the nonce of the tester.
        :param peer: the nonce of the endpoint.
        :param credit: the credit that the tester gives, in bytes.
        :param resumed: whether the endpoint called for its old session, and therefore keeps its nonce (4.4, rule 5).
        """
        if peer in self._nonces and not resumed:
            self._note("hello-nonce", f"the endpoint used the nonce {peer} in two sessions", b"")
        if peer:
            self._nonces.add(peer)
        self.offered.discard(own)
        self._opens_odd = peer > own
        self._credit_given = credit
        self.credit: dict[int, int] = {0: credit}
        self.sent = {b"c": 0, b"d": 0}
        """The number of payloads that the tester has sent in each lane."""
        self.polled: set[int] = {0}
        """The numbers of the polls that the tester has sent."""
        self._payloads: dict[tuple[bytes, int], bytes] = {}
        self._next = {b"c": 0, b"d": 0}
        # The tester does not see the first polls of a listener, which sends them while the tester proves itself.
        self._poll: int | None = 0 if self._role == "c" else None

    def raw(self, data: bytes) -> None:
        """Keep the bytes as they arrived."""
        if self._unended and data and data[:1] not in b"\r\n":
            self._note("frame-form", "the frame has no newline", self._unended)
        self._unended = b"" if data else self._unended
        self._raw += data
        del self._raw[:-8192]

    def _note(self, rule: str, fault: str, text: bytes) -> None:
        self.faults.setdefault(rule, (fault, text.decode("latin-1").encode("unicode_escape").decode()))

    def frame(self, frame: frames.Frame, now: float, *, current: bool) -> None:
        """Check a frame whose check is correct.

        :param current: whether the frame belongs to the session that the monitor watches.
        """
        self.seen += 1
        kind, body = frame.kind, frame.body
        text = frames.encode(kind, body, frame.seed)
        end = self._raw.rfind(text[:-1]) + len(text) - 1
        if text[:-1] not in self._raw:
            self._note("frame-form", "the frame is not in one piece", text)
        elif end < len(self._raw) and self._raw[end] not in b"\r\n":
            self._note("frame-form", "the frame has no newline", text)
        elif not all(0x20 <= byte < 0x7F for byte in text[:-1]):
            self._note("frame-form", "the frame contains bytes that are not printable ASCII", text)
        self._unended = text if end == len(self._raw) else b""
        if len(text) > limits.BASIC_FRAME:
            self._note("frame-size", f"the frame has {len(text)} bytes", text)
        if kind not in _KINDS:
            self._note("frame-kinds", f"a frame of the kind {kind.decode('ascii', 'replace')!r}", text)
        elif kind == frames.HELLO:
            self._hello(body, text, now)
        elif not current:
            pass
        elif kind == frames.ACK:
            self._ack(body, text)
        elif kind == frames.POLL:
            self._read_poll(body, text)
        elif kind in frames.DATA_KINDS:
            self._data(kind, body, text)

    def _hello(self, body: bytes, text: bytes, now: float) -> None:
        hello = Hello.read(body)
        if hello is None or hello.role != self._role or len(body.split(b".")[5]) > 16:
            self._note("hello-form", "the hello is malformed, or has the role of the other end", text)
            return
        if self._boot not in ("", hello.boot):
            self._note("hello-boot", f"the boot id {self._boot} changed", text)
        self._boot = hello.boot
        if hello.peer in self.offered:
            return  # an answer to a hello of the tester
        if now - self._called_at < limits.CALL_AGAIN * 0.8:
            self._note("call-rate", f"a hello {now - self._called_at:.3f} s after the hello before", text)
        self._called_at = now

    def _ack(self, body: bytes, text: bytes) -> None:
        ack = Ack.read(body)
        if ack is None:
            self._note("ack-form", "the ack is malformed", text)
            return
        if ack.poll not in self.polled:
            self._note("ack-form", f"the ack names poll {ack.poll}, which the tester did not send", text)
        for kind, (expected, ranges) in ((b"c", ack.prompt), (b"d", ack.bulk)):
            last = expected + sum(missing + received for missing, received in ranges)
            if 0 < (last - self.sent[kind]) % limits.SEQ_MOD < _OLD:
                self._note("ack-form", "the ack contains a payload that the tester did not send", text)

    def _read_poll(self, body: bytes, text: bytes) -> None:
        number = frames.read_poll(body)
        if number is None or number > 31:
            self._note("poll-form", "the number of the poll is not a digit from 1 to 31", text)
            return
        if self._poll is not None and (number - self._poll) % 31 not in (1, 2):
            self._note("poll-form", f"poll {number} follows poll {self._poll}", text)
        self._poll = number

    def _data(self, kind: bytes, body: bytes, text: bytes) -> None:
        sequence, payload = read_fixed(body, 0), decode_base64(body[4:])
        if sequence < 0 or read_fixed(body, 2) < 0 or payload is None or encode_base64(payload) != body[4:]:
            self._note("base64", "the numbers or the payload of the frame are malformed", text)
            return
        if (kind, sequence) in self._payloads and sequence != self._next[kind]:
            if self._payloads[kind, sequence] != payload:
                self._note("sequence", f"payload {sequence} was repeated with other bytes", text)
            return
        if sequence != self._next[kind]:
            self._note("sequence", f"payload {sequence} arrived, but {self._next[kind]} was the next number", text)
            self._next[kind] = sequence
        self._next[kind] = (sequence + 1) % limits.SEQ_MOD
        self._payloads[kind, sequence] = payload
        self._payloads.pop((kind, (sequence - limits.WINDOW_FRAMES) % limits.SEQ_MOD), None)
        self._records(kind, payload, text)

    def _records(self, lane: bytes, payload: bytes, text: bytes) -> None:
        records = read_records(payload)
        if records is None or any(kind not in b"op0123mfexw" for kind, _, _ in records):
            self._note("records", "a record is malformed or needs a flag", text)
            return
        for kind, channel, body in records:
            if kind in b"op":
                if channel == 0 or (channel % 2 == 1) is not self._opens_odd:
                    self._note("openings", f"the endpoint may not open channel {channel}", text)
                self.credit.setdefault(channel, self._credit_given)
            elif (channel == 0 and (kind not in b"mfw" or lane != b"c")) or (kind == b"w" and lane != b"c"):
                self._note(
                    "channel-zero", f"a record {kind.decode()!r} of channel {channel} is in the wrong place", text
                )
            elif kind in b"mf0123":
                left = self.credit.setdefault(channel, self._credit_given) - len(body) - 4
                self.credit[channel] = left
                if left < 0:
                    self._note("credit-kept", f"channel {channel} exceeds its credit by {-left} bytes", text)
