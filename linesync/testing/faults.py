"""What harms a byte stream: the faults by name, the counters, and each fault as a stage from bytes to bytes.

:mod:`linesync.testing.faults` puts the stages onto a line with time. Every kind of fault draws from a
generator of its own and counts bytes, not calls, so the result does not depend on how the stream is chopped.
Rare faults are drawn as the gap to the next one (geometric distribution), which costs nothing for the bytes
in between.
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
"""Takes the next bytes of the stream, returns what is left of them; counts what it did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is wrong with one direction of a line; the default is a perfect one.

    :raises UsageError: a probability is outside 0..1, or a time, a rate or a length is negative.
    """

    ber: float = 0.0
    """Probability that a data bit flips (eight of them a byte)."""
    drop: float = 0.0
    """Probability that a byte is lost."""
    dup: float = 0.0
    """Probability that a byte comes twice."""
    burst: float = 0.0
    """Probability, at each byte, that a burst begins: random bytes in place of the line's own."""
    burst_max: int = 32
    """Longest burst in bytes; lengths are drawn evenly from 1 up to it."""
    cuts: tuple[tuple[float, float], ...] = ()
    """(start, duration) in seconds from the line's start: bytes sent in that time vanish."""
    stuck_xoff: tuple[tuple[float, float], ...] = ()
    """(start, duration) in seconds from the line's start: nothing is sent and nothing lost."""
    seven_bit: bool = False
    """The eighth bit of every byte is cleared."""
    eat_xonxoff: bool = False
    """0x11 and 0x13 vanish."""
    lf_to_crlf: bool = False
    """Every LF becomes CR LF (ONLCR)."""
    cr_to_lf: bool = False
    """Every CR becomes LF (ICRNL); comes after ``lf_to_crlf``."""
    trim_blanks: bool = False
    """Blanks and tabs before a CR or LF vanish; they are held until the next byte tells."""
    add_blanks: int = 0
    """Number of blanks added before every line end (LF, CR or CR LF)."""
    line_limit: int | None = None
    """Longest line in bytes, LF included (4096: a canonical tty); the rest up to the LF vanishes."""
    printk: float = 0.0
    """Mean number of kernel messages a second (exponential gaps), each a whole line ending in CR LF."""
    delay: float = 0.0
    """Seconds a byte travels after it has left the sender."""

    def __post_init__(self) -> None:
        for name in ("ber", "drop", "dup", "burst"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"{name} is {getattr(self, name)}; give a probability between 0 and 1.")
        for name in ("add_blanks", "printk", "delay"):
            if not 0 <= getattr(self, name) < inf:
                raise UsageError(f"{name} is {getattr(self, name)}; give a number that is not negative.")
        if self.burst_max < 1 or (self.line_limit is not None and self.line_limit < 1):
            raise UsageError("burst_max and line_limit are lengths in bytes; give at least 1.")
        if any(start < 0 or duration < 0 for start, duration in (*self.cuts, *self.stuck_xoff)):
            raise UsageError("Windows are (start, duration) in seconds from the line's start; none is negative.")


@dataclass(slots=True)
class Counters:
    """What one direction has seen, in bytes unless named otherwise.

    Always: ``bytes_in + printk + doubled + added == bytes_out + dropped + eaten + cut + waiting``,
    where ``waiting`` is :attr:`linesync.testing.cable.FaultyLine.waiting`.
    """

    bytes_in: int = 0
    """Fed by the sender."""
    bytes_out: int = 0
    """Taken by the receiver."""
    flipped_bits: int = 0
    """Bits, not bytes."""
    garbled: int = 0
    """Replaced by a burst."""
    dropped: int = 0
    """Lost one by one."""
    doubled: int = 0
    """Extra copies."""
    eaten: int = 0
    """Swallowed by a tty: XON/XOFF, blanks at line ends, the rest of a long line."""
    added: int = 0
    """Put in by a tty: CR before LF, blanks at line ends."""
    printk: int = 0
    """Kernel messages put on the line."""
    cut: int = 0
    """Lost while the line was cut."""
    held: int = 0
    """Held back at this moment by a tty that waits for the rest of the line; part of ``waiting``."""

    def as_dict(self) -> dict[str, int]:
        """The counters by name, JSON-able."""
        return asdict(self)


class _Hits:
    """Where rare events of probability ``p`` fall in a stream of trials."""

    __slots__ = ("_gap", "_log_miss", "_random")

    def __init__(self, rng: random.Random, p: float) -> None:
        self._random = rng.random
        self._log_miss = log1p(-p) if p < 1.0 else -inf
        self._gap = self._draw()

    def _draw(self) -> int:
        return int(log(1.0 - self._random()) / self._log_miss)

    def within(self, trials: int) -> Sequence[int]:
        """Positions of the events among the next ``trials`` trials, ascending."""
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
    lengths = random.Random(rng.random())  # its own, or a burst's length would depend on the gaps drawn ahead
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
                continue  # a burst inside a burst is the same burst
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
        # A CR ends the line at once; its LF, in the next chunk perhaps, must not get blanks of its own.
        whole = after_cr and data[:1] == b"\n"
        after_cr = data[-1:] == b"\r"
        out = data[:whole] + _LINE_END.sub(lambda end: blanks + end.group(), data[whole:])
        counters.added += len(out) - len(data)
        return out

    return stage


def _line_limiter(limit: int, counters: Counters) -> Stage:
    room = limit - 1  # the LF always has its place, as in a canonical tty

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
    """The stages that ``faults`` asks for, wire first, then ttys; an empty list for a perfect line.

    :param seed: the same seed on the same bytes gives the same harm, for each kind of fault by itself.
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
