"""The faults of a byte stream, their counters, and a *stage* for each fault: a function from bytes to bytes.

:mod:`linesync.testing.cable` applies the stages to a line with time. Each kind of fault has its own random generator and
counts bytes, not calls. The result therefore does not depend on the division of the stream into calls. For a rare fault, the
distance to the next fault is drawn (geometric distribution), so the bytes between two faults cost no work.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import inf, log, log1p

from linesync.errors import UsageError

__all__ = ["Counters", "Faults", "Stage", "stages"]

Stage = Callable[[bytes], bytes]
"""A function that takes the next bytes of the stream, counts the changes, and returns the bytes to deliver instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The faults of one direction of a line; none by default.

    :raises UsageError: a probability is not between 0 and 1, a time or a rate is negative, or a length is below 1.
    """

    ber: float = 0.0
    """Probability that a data bit flips; a byte has eight data bits."""
    drop: float = 0.0
    """Probability that a byte is lost."""
    dup: float = 0.0
    """Probability that a byte arrives twice."""
    burst: float = 0.0
    """Probability, for each byte, that a burst begins. In a burst, random bytes replace the bytes on the line."""
    burst_max: int = 32
    """Longest burst in bytes. The lengths are uniformly distributed from 1 to this value."""
    cuts: tuple[tuple[float, float], ...] = ()
    """Times in which sent bytes are lost: (start, duration) in seconds from the line's start."""
    stuck_xoff: tuple[tuple[float, float], ...] = ()
    """Times in which bytes wait and are not lost: (start, duration) in seconds from the line's start."""
    seven_bit: bool = False
    """Whether the eighth bit of every byte is cleared."""
    eat_xonxoff: bool = False
    """Whether XON (0x11) and XOFF (0x13) are removed."""
    lf_to_crlf: bool = False
    """Whether every LF becomes CR LF (ONLCR)."""
    cr_to_lf: bool = False
    """Whether every CR becomes LF (ICRNL), after ``lf_to_crlf``."""
    trim_blanks: bool = False
    """Whether blanks and tabs before a CR or LF are removed. They are held until the next byte arrives."""
    add_blanks: int = 0
    """Number of blanks that are added before every line end (LF, CR or CR LF)."""
    line_limit: int | None = None
    """Longest line in bytes, including the LF; 4096 for a canonical tty. The rest of a longer line is removed."""
    printk: float = 0.0
    """Mean number of kernel messages per second (exponential gaps). Each message is a complete line that ends with CR LF."""
    delay: float = 0.0
    """Travel time of a byte after it has left the sender, in seconds."""

    def __post_init__(self) -> None:
        for name in ("ber", "drop", "dup", "burst"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"invalid {name} {getattr(self, name)}: expected a probability between 0 and 1")
        for name in ("add_blanks", "printk", "delay"):
            if not 0 <= getattr(self, name) < inf:
                raise UsageError(f"invalid {name} {getattr(self, name)}: expected a number of at least 0")
        for name in ("burst_max", "line_limit"):
            if (getattr(self, name) or 0) < 1 and getattr(self, name) is not None:
                raise UsageError(f"invalid {name} {getattr(self, name)}: expected a length of at least 1 byte")
        for start, duration in (*self.cuts, *self.stuck_xoff):
            if start < 0 or duration < 0:
                raise UsageError(f"invalid window {start}:{duration}: expected a start and a duration of at least 0 s")


@dataclass(slots=True)
class Counters:
    """The traffic and the faults of one direction of a line. The unit is bytes unless a comment says otherwise.

    At any time ``bytes_in + printk + doubled + added == bytes_out + dropped + eaten + cut + waiting``,
    where ``waiting`` is :attr:`linesync.testing.cable.FaultyLine.waiting`.
    """

    bytes_in: int = 0
    """Bytes that the sender has fed."""
    bytes_out: int = 0
    """Bytes that the receiver has taken."""
    flipped_bits: int = 0
    """The number of flipped bits."""
    garbled: int = 0
    """Bytes that a burst has replaced."""
    dropped: int = 0
    """Single lost bytes."""
    doubled: int = 0
    """Additional copies of bytes that arrived twice."""
    eaten: int = 0
    """Bytes that a tty has removed: XON/XOFF, blanks at line ends, the rest of a long line."""
    added: int = 0
    """Bytes that a tty has added: CR before LF, blanks at line ends."""
    printk: int = 0
    """Bytes of kernel messages."""
    cut: int = 0
    """Bytes that were lost during a cut."""
    held: int = 0
    """Bytes that a tty currently holds until the next byte of the line; part of ``waiting``."""

    def as_dict(self) -> dict[str, int]:
        """The counters by name."""
        return asdict(self)


class _Hits:
    """The positions of rare events of probability ``p`` in a stream of trials."""

    __slots__ = ("_gap", "_log_miss", "_random")

    def __init__(self, rng: random.Random, p: float) -> None:
        self._random = rng.random
        self._log_miss = log1p(-p) if p < 1.0 else -inf
        self._gap = self._draw()

    def _draw(self) -> int:
        return int(log(1.0 - self._random()) / self._log_miss)

    def within(self, trials: int) -> Sequence[int]:
        """The positions of the events among the next ``trials`` trials, in ascending order."""
        gap = self._gap
        found: list[int] = []
        while gap < trials:
            found.append(gap)
            gap += 1 + self._draw()
        self._gap = gap - trials
        return found


def _flips(rng: random.Random, p: float, counters: Counters) -> Stage:
    hits = _Hits(rng, p)

    def stage(data: bytes) -> bytes:
        found = hits.within(8 * len(data))
        if not found:
            return data
        out = bytearray(data)
        for bit in found:
            out[bit >> 3] ^= 1 << (bit & 7)
        counters.flipped_bits += len(found)
        return bytes(out)

    return stage


def _drops(rng: random.Random, p: float, counters: Counters) -> Stage:
    hits = _Hits(rng, p)

    def stage(data: bytes) -> bytes:
        found = hits.within(len(data))
        if not found:
            return data
        out = bytearray(data)
        for at in reversed(found):
            del out[at]
        counters.dropped += len(found)
        return bytes(out)

    return stage


def _doubles(rng: random.Random, p: float, counters: Counters) -> Stage:
    hits = _Hits(rng, p)

    def stage(data: bytes) -> bytes:
        found = hits.within(len(data))
        if not found:
            return data
        out = bytearray(data)
        for at in reversed(found):
            out.insert(at, out[at])
        counters.doubled += len(found)
        return bytes(out)

    return stage


def _bursts(rng: random.Random, p: float, longest: int, counters: Counters) -> Stage:
    hits = _Hits(rng, p)
    lengths = random.Random(
        rng.random()
    )  # a separate generator, because the lengths must not depend on the number of gaps
    left = b""

    def stage(data: bytes) -> bytes:
        nonlocal left
        found = hits.within(len(data))
        if not (found or left):
            return data
        out = bytearray(data)
        at = 0
        for begin in (0, *found) if left else found:
            if begin < at:
                continue  # a burst inside a burst belongs to the same burst
            noise = left if left and begin == 0 else lengths.randbytes(lengths.randint(1, longest))
            at = min(len(out), begin + len(noise))
            out[begin:at] = noise[: at - begin]
            left = noise[at - begin :]
            counters.garbled += at - begin
        return bytes(out)

    return stage


def _seven_bit(data: bytes) -> bytes:
    return data.translate(_LOW_SEVEN)


_LOW_SEVEN = bytes(code & 0x7F for code in range(256))


def _xonxoff_eater(counters: Counters) -> Stage:
    def stage(data: bytes) -> bytes:
        out = data.translate(None, b"\x11\x13")
        counters.eaten += len(data) - len(out)
        return out

    return stage


def _lf_to_crlf(counters: Counters) -> Stage:
    def stage(data: bytes) -> bytes:
        out = data.replace(b"\n", b"\r\n")
        counters.added += len(out) - len(data)
        return out

    return stage


def _cr_to_lf(data: bytes) -> bytes:
    return data.replace(b"\r", b"\n")


_BLANKS_BEFORE_END = re.compile(rb"[ \t]+(?=[\r\n])")
_LINE_END = re.compile(rb"\r\n|\r|\n")


def _blank_trimmer(counters: Counters) -> Stage:
    held = b""

    def stage(data: bytes) -> bytes:
        nonlocal held
        data = held + data
        kept = data.rstrip(b" \t")
        held = data[len(kept) :]
        out = _BLANKS_BEFORE_END.sub(b"", kept)
        counters.eaten += len(kept) - len(out)
        counters.held = len(held)
        return out

    return stage


def _blank_adder(count: int, counters: Counters) -> Stage:
    blanks = b" " * count
    after_cr = False

    def stage(data: bytes) -> bytes:
        nonlocal after_cr
        # A CR ends the line immediately. An LF directly after it, possibly in the next chunk, must not get blanks too.
        whole = after_cr and data[:1] == b"\n"
        after_cr = data[-1:] == b"\r"
        out = data[:whole] + _LINE_END.sub(lambda end: blanks + end.group(), data[whole:])
        counters.added += len(out) - len(data)
        return out

    return stage


def _line_limiter(limit: int, counters: Counters) -> Stage:
    room = limit - 1  # one byte is reserved for the LF, as in a canonical tty

    def stage(data: bytes) -> bytes:
        nonlocal room
        parts = data.split(b"\n")
        for at, part in enumerate(parts):
            if at:
                room = limit - 1
            parts[at] = part[:room]
            room -= len(parts[at])
        out = b"\n".join(parts)
        counters.eaten += len(data) - len(out)
        return out

    return stage


def stages(faults: Faults, seed: int, counters: Counters) -> list[Stage]:
    """The stages for ``faults``: first the stages of the wire, then those of the ttys. Empty for a line without faults.

    :param seed: decides every random choice. Each kind of fault gets its own seed.
    """
    chosen: list[Stage] = []
    if faults.burst:
        chosen.append(_bursts(random.Random(seed + 1), faults.burst, faults.burst_max, counters))
    for number, p, make in ((2, faults.ber, _flips), (3, faults.drop, _drops), (4, faults.dup, _doubles)):
        if p:
            chosen.append(make(random.Random(seed + number), p, counters))
    if faults.seven_bit:
        chosen.append(_seven_bit)
    if faults.eat_xonxoff:
        chosen.append(_xonxoff_eater(counters))
    if faults.lf_to_crlf:
        chosen.append(_lf_to_crlf(counters))
    if faults.cr_to_lf:
        chosen.append(_cr_to_lf)
    if faults.trim_blanks:
        chosen.append(_blank_trimmer(counters))
    if faults.add_blanks:
        chosen.append(_blank_adder(faults.add_blanks, counters))
    if faults.line_limit is not None:
        chosen.append(_line_limiter(faults.line_limit, counters))
    return chosen
