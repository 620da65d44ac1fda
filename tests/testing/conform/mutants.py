"""Mutants of the small Python endpoint. Each one breaks one rule of docs/protocol.md."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

from tests.docs.protocol.on_virtual_time import ENDPOINT

__all__ = ["MUTANTS", "Mutant", "mutated"]


class Mutant(NamedTuple):
    """A change of the endpoint's source."""

    rule: str
    """The rule that it breaks."""
    old: str
    """A text that is once in the source."""
    new: str
    """The text in its place."""


def mutated(mutant: Mutant) -> ModuleType:
    """The module of the endpoint with the change."""
    source = ENDPOINT.read_text()
    assert source.count(mutant.old) == 1, f"{mutant.old!r} is {source.count(mutant.old)} times in the endpoint"
    module = ModuleType("minimal_endpoint_mutant")
    exec(compile(source.replace(mutant.old, mutant.new), str(ENDPOINT), "exec"), module.__dict__)
    return module


_FRAME = 'frame(kind, body, 0 if kind == b"H" else self.seed_in)'
_CHECK = "if text[:end] != " + _FRAME + "[:-1]:"
_BYE = 'elif kind == b"X":\n            self.end_session(self.clock() + CALL_SLOW)'
_IN_ORDER = "if read_fixed(body, 0) == self.expected[kind]:"
_NEXT = "self.expected[kind] = (self.expected[kind] + 1) % 4096"

MUTANTS = tuple(
    Mutant(*texts)
    for texts in (
        # calling
        ("calls", "self.calls += 1", "self.calls += 1; self.nonce = base64(self.random(6)).decode()"),
        ("ignores-other-answer", " or peer != self.nonce", ""),
        ("ignores-damaged-answer", _CHECK, "if text[: end - 6] != " + _FRAME + "[:-7]:"),
        ("ignores-echo", " or nonce == self.nonce", ""),
        ("refuses-version", "if not oldest <= 1 <= newest or any", "if any"),
        ("refuses-capital-flag", "flag.isupper() for", "flag.isdigit() for"),
        ("ignores-malformed-hello", " and credit >= 64", ""),
        ("accepts-later-hello", '.split(".")[:6]', '.split(".")'),
        ("polls-first", "if was_quiet:", "if was_quiet and self.seq:"),
        ("registers", 'f"1 register {self.name} {self.boot}"', 'f"1 register {self.name} {self.nonce}"'),
        ("registers", 'self.send_message(f"1 register', 'str(f"1 register'),
        ("call-rate", "CALL_FAST, CALL_SLOW, CALL_FAST_COUNT = 0.2", "CALL_FAST, CALL_SLOW, CALL_FAST_COUNT = 0.05"),
        ("hello-nonce", "base64(self.random(6)).decode()\n        self.calls", "self.boot\n        self.calls"),
        ("hello-boot", "self.calls, self.next_call_at = 0, call_at",
         "self.calls, self.next_call_at, self.boot = 0, call_at, self.nonce"),
        ("hello-form", 'texts = f"c.', 'texts = f"l.'),
        # requests
        ("activity", 'is_activity = verb == "activity"', "is_activity = False"),
        ("unknown-request", "f\"{number} err failed not%20known%20here\"", 'f"{number} ok"'),
        ("notes", 'elif number not in ("-", "") and verb:', "elif verb:"),
        ("notes", 'if verb in ("ok", "err"):', 'if verb == "ok":'),
        # frames
        ("frame-form", '.to_bytes(4, "big")) + b"\\n"', '.to_bytes(4, "big"))'),
        ("frame-size", 'self.send(b"K", b"", self.seed_out)', 'self.send(b"K", b"A" * 130, self.seed_out)'),
        ("frame-kinds", 'self.send(b"c", fixed(self.seq)', 'self.send(b"b", fixed(self.seq)'),
        ("text-around", 'self.buffer = text[1:]', 'self.buffer = b""'),
        ("after-damage", 'or b"^" in text[1:end]', ""),
        ("newlines", "self.buffer = text[end:]", "self.buffer = text[end + 1 :]"),
        ("wrong-check", _CHECK, "if text[: end - 1] != " + _FRAME + "[:-2]:"),
        ("seed", "0 if kind == b\"H\" else self.seed_in", "0 if kind == b\"H\" or text[:end] == frame(kind, body, 0)[:-1]"
         " else self.seed_in"),
        ("too-long", "end > FRAME or", "end > 1 << 20 or"),
        ("seven-bits", "bytes(byte & 127 for byte in data if byte & 127 not in (0, 17, 19, 127))", "data"),
        ("seven-bits", "if byte & 127 not in (0, 17, 19, 127)", "if byte & 127 not in (0, 17, 127)"),
        ("malformed-control", "return  # a malformed ack is ignored", "raise ValueError"),
        ("malformed-control", "        except (ValueError, IndexError):\n            return\n        sizes_right",
         "        except MemoryError:\n            return\n        sizes_right"),
        # delivery
        ("answers-polls", "self.peer_poll = digit if len(body)", "self.peer_poll = digit - 1 if len(body)"),
        ("malformed-poll", "1 <= digit <= 31 else self.peer_poll", "1 <= digit <= 31 else 0"),
        ("duplicate", "if read_fixed(body, 0) == self.expected[kind]:",
         "if (read_fixed(body, 0) - self.expected[kind]) % 4096 in (0, 4095):"),
        ("duplicate", "                self.receive_records(payload)\n            self.ack()",
         "                self.receive_records(payload)\n                self.ack()"),
        ("order", _IN_ORDER + "\n                " + _NEXT,
         "if (read_fixed(body, 0) - self.expected[kind]) % 4096 < 8:\n                "
         "self.expected[kind] = (read_fixed(body, 0) + 1) % 4096"),
        ("far-ahead", "if read_fixed(body, 0) == self.expected[kind]:", "if (read_fixed(body, 0) - self.expected[kind])"
         " % 4096 in (0, 2000):"),
        ("acknowledges", "            self.ack()\n        elif kind == b\"X\"", "        elif kind == b\"X\""),
        ("retransmits", "self.transmit()  # it was sent", "pass  # it was sent"),
        ("retransmits", "            self.send_poll()\n        cost", "            self.send_poll()\n            if self.sent_at:"
         "\n                self.transmit()\n        cost"),
        ("retransmits", "self.transmit()  # it was sent", "self.seq += 1; self.transmit()  # it was sent"),
        ("sequence", 'self.send(b"c", fixed(self.seq)', 'self.send(b"c", fixed(self.seq + 1)'),
        ("wraps", _NEXT, _NEXT.replace("4096", "4095")),
        ("poll-form", "self.poll % 31 + 1", "(self.poll + 3) % 31 + 1"),
        ("ack-form", "(fixed(expected) + counted(0)", "(fixed(expected + 1) + counted(0)"),
        ("credit-waits", " and cost <= self.credit", ""),
        ("credit-kept", "self.credit -= cost", "self.credit -= 1"),
        ("credit-returns", "if self.consumed >= GRANT:", "if self.consumed >= 4 * GRANT:"),
        ("credit-returns", "counted(self.consumed)))", "counted(self.consumed + 20)))"),
        # channels
        ("refuses-openings", "if channel not in self.refused:", "if channel in self.refused:"),
        ("refuses-openings", "self.refused = self.refused | {channel} if kind == b\"p\" else", "self.refused ="),
        ("pieces", "self.consumed = self.partial_message + body,", "self.consumed = body,"),
        ("several-records", "while at < len(payload):\n            kind", "if at < len(payload):\n            kind"),
        ("closed-channels", "        return 0\n", "        raise\n"),
        ("violation-payload", 'if kind in b"Acd":', "if kind in b\"A\":"),
        ("violation-unsent", "        elif 1 <= ahead < 2048:", "        elif ahead == 5000:"),
        ("channel-zero", "counted(self.consumed)))", 'counted(self.consumed)) + record(b"0", 0, b"x"))'),
        # silence and restarts
        ("keepalive", "KEEPALIVE_CALLER, KEEPALIVE_PIPE = 2.8", "KEEPALIVE_CALLER, KEEPALIVE_PIPE = 4.8"),
        ("keepalive", "KEEPALIVE_CALLER, KEEPALIVE_PIPE = 2.8", "KEEPALIVE_CALLER, KEEPALIVE_PIPE = 3.0"),
        ("quiet-polls", "waits_since else POLL_IDLE)", "waits_since else 1e9)"),
        ("quiet-calls", "{self.nonce}.{self.peer}.{self.boot}", "{self.nonce}..{self.boot}"),
        ("resumes", "was_quiet, self.next_call_at, self.calls = self.next_call_at is not None, None, 0",
         "was_quiet, self.calls = self.next_call_at is not None, 0"),
        ("resumes-with-hello", "            self.note_received()\n            self.ack()", "            self.note_received()"),
        ("hub-restarts", "elif not alive:", "elif not self.peer:"),
        ("ignores-new-peer", "elif not alive:", "else:"),
        ("sleeps", "CALL_FAST_COUNT = 0.2, 1.0, 25", "CALL_FAST_COUNT = 0.2, 1.0, 10**9"),
        ("bye", _BYE, 'elif kind == b"X":\n            pass'),
        ("bye-pause", _BYE, _BYE.replace(" + CALL_SLOW", "")),
    )
)  # fmt: skip
