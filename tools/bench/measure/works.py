"""The kinds of line and of file that goodput is measured on, who is asked to use them, and the limit for each."""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, log1p
from pathlib import Path
from typing import Literal

from linesync import limits
from linesync.testing.faults import Faults

from ..testbed.cable_cut import Cut
from ..testbed.system import BenchError

__all__ = ["FAST", "WORKS", "Work", "content", "ideal", "selective_repeat"]

LICENCES = Path("/usr/share/common-licenses")
"""Debian's; concatenated in the order of their names, links left out, they are some 230 KiB of English."""
AROUND = 12  # bytes around a payload, for the ideals
_PRINTK_BYTES = 73  # of a kernel message, on average (linesync/testing/faults.py)
_DELAYS = 2  # that a transfer has at least: its last byte's, and the receipt's

Kind = Literal["random", "texts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A kind of line, a kind of file, and who else can be asked to use it."""

    name: str
    faults: Faults = field(default_factory=Faults)
    kind: Kind = "random"
    most: int | None = None
    """Bytes of the file at most; what the caller says if None."""
    cut: Cut | None = None
    kermit: str = "kermit"
    """Which of the rivals' sets of parameters suits this line."""
    uucp: str = "uucp"
    targets: Mapping[int, float] = field(default_factory=dict)
    """Of `linesync cp`, by baud; a connected client is held to them too."""
    resumes: float | None = None
    """Seconds from the line's return in which the file must go on."""


def _errors(rate: str, kermit: str, **targets: float) -> Work:
    bauds = {int(baud.removeprefix("at_")): target for baud, target in targets.items()}
    return Work(name=f"BER {rate}", faults=Faults(ber=float(rate)), kermit=kermit, targets=bauds)


WORKS: tuple[Work, ...] = (
    Work(name="clean", kermit="kermit-tight", targets={115200: 0.97, 921600: 0.96}),
    _errors("1e-7", "kermit-tight"),
    _errors("1e-6", "kermit-tight", at_115200=0.955, at_921600=0.94),
    _errors("3e-6", "kermit-tight"),
    _errors("1e-5", "kermit-tight", at_115200=0.92, at_921600=0.90),
    _errors("3e-5", "kermit-cautious"),
    _errors("1e-4", "kermit-cautious", at_115200=0.68),
    Work(name="licence texts", kind="texts", kermit="kermit-tight", targets={115200: 3.9}),
    Work(name="7-bit", faults=Faults(seven_bit=True), kermit="kermit-7bit", targets={115200: 0.73}),
    Work(name="printk 1/s", faults=Faults(printk=1.0), kermit="kermit-cautious", targets={115200: 0.93}),
    Work(name="100 ms delay", faults=Faults(delay=0.1), kermit="kermit-tight", targets={115200: 0.93}),
    Work(name="cut 3 s", cut=Cut(1.0, 3.0), most=64 << 10, kermit="kermit-tight", resumes=0.3),
    Work(name="XON/XOFF eaten", faults=Faults(eat_xonxoff=True), uucp="uucp-j", targets={115200: 0.95}),
)
"""Those without a target stand in the figure only."""
FAST = ("clean", "BER 1e-6", "BER 1e-5")
"""What is measured at 921600 baud too."""


def content(work: Work, size: int, seed: int) -> bytes:
    """The file.

    :raises BenchError: the licence texts are not there.
    """
    size = min(size, work.most or size)
    return _texts()[:size] if work.kind == "texts" else random.Random(seed).randbytes(size)


def _texts() -> bytes:
    found = sorted(path for path in LICENCES.glob("*") if path.is_file() and not path.is_symlink())
    if not found:
        raise BenchError(f"There are no licence texts in {LICENCES}, which Debian's base-files brings.")
    return b"".join(path.read_bytes() for path in found)


# -- limits -----------------------------------------------------------------------------------------------------------


def selective_repeat(ber: float, *, repair: bool) -> float:
    """What an ideal selective repeat reaches on random bytes: 12 bytes around a payload, nothing escaped, the best of
    all frame lengths up to the longest, nothing lost but damaged frames, no start-up.

    :param repair: a frame with one flipped bit is mended, as its check allows.
    """
    return max(
        (1 - AROUND / size) * _survives(8 * size, ber, repair) for size in range(64, limits.SERIAL_FRAME + 1, 16)
    )


def _survives(bits: int, ber: float, repair: bool) -> float:
    if not ber:
        return 1.0
    whole = exp(bits * log1p(-ber))
    return whole + bits * ber * exp((bits - 1) * log1p(-ber)) if repair else whole


def ideal(work: Work, *, repair: bool, content: bytes, byte_rate: float) -> float:
    """The limit of the line and the file: payload over line rate that nobody who sends frames gets beyond."""
    faults = work.faults
    share = selective_repeat(faults.ber, repair=repair)
    if faults.seven_bit:
        share *= 7 / 8
    share *= max(0.0, 1 - faults.printk * _PRINTK_BYTES / byte_rate)
    sent = content if work.kind == "random" else zlib.compress(content, 9)
    seconds = len(sent) / byte_rate / share + _DELAYS * faults.delay
    if work.cut:
        seconds += work.cut.duration
    return len(content) / byte_rate / seconds
