"""The workloads of goodput. Each has a kind of line and of file, parameters for the rivals, and a theoretical limit."""

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

__all__ = ["FAST", "WORKLOADS", "Workload", "content", "ideal", "selective_repeat"]

LICENCES = Path("/usr/share/common-licenses")
"""The folder of Debian's licences. Concatenated in the order of their names, without links, they are about 230 KiB of
English text."""
FRAME_OVERHEAD = 12  # bytes of a frame in addition to its payload, for the calculation of the limits
_PRINTK_BYTES = 73  # mean length of a kernel message (linesync/testing/cable.py)
_DELAYS = 2  # a transfer takes at least the delay of its last byte and the delay of the final acknowledgement

Kind = Literal["random", "texts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A kind of line and a kind of file."""

    name: str
    faults: Faults = field(default_factory=Faults)
    kind: Kind = "random"
    max_size: int | None = None
    """The most bytes of the file; None for no limit."""
    cut: Cut | None = None
    kermit: str = "kermit"
    """The rival with the Kermit parameters that are suitable for this line."""
    uucp: str = "uucp"
    """The rival with the UUCP protocol that is suitable for this line."""
    targets: Mapping[int, float] = field(default_factory=dict)
    """The targets of `linesync cp` by baud rate; they also apply to a connected client."""
    resumes: float | None = None
    """The seconds after the cable is plugged in again within which the transfer must continue."""


def _errors(rate: str, kermit: str, **targets: float) -> Workload:
    bauds = {int(baud.removeprefix("at_")): target for baud, target in targets.items()}
    return Workload(name=f"BER {rate}", faults=Faults(ber=float(rate)), kermit=kermit, targets=bauds)


WORKLOADS: tuple[Workload, ...] = (
    Workload(name="clean", kermit="kermit-tight", targets={115200: 0.97, 921600: 0.96}),
    _errors("1e-7", "kermit-tight"),
    _errors("1e-6", "kermit-tight", at_115200=0.955, at_921600=0.94),
    _errors("3e-6", "kermit-tight"),
    _errors("1e-5", "kermit-tight", at_115200=0.92, at_921600=0.90),
    _errors("3e-5", "kermit-cautious"),
    _errors("1e-4", "kermit-cautious", at_115200=0.68),
    Workload(name="licence texts", kind="texts", kermit="kermit-tight", targets={115200: 3.9}),
    Workload(name="7-bit", faults=Faults(seven_bit=True), kermit="kermit-7bit", targets={115200: 0.73}),
    Workload(name="printk 1/s", faults=Faults(printk=1.0), kermit="kermit-cautious", targets={115200: 0.93}),
    Workload(name="100 ms delay", faults=Faults(delay=0.1), kermit="kermit-tight", targets={115200: 0.93}),
    Workload(name="cut 3 s", cut=Cut(1.0, 3.0), max_size=64 << 10, kermit="kermit-tight", resumes=0.3),
    Workload(name="XON/XOFF eaten", faults=Faults(eat_xonxoff=True), uucp="uucp-j", targets={115200: 0.95}),
)
"""All workloads. A workload without a target is only shown in the figure and the table."""
FAST = ("clean", "BER 1e-6", "BER 1e-5")
"""The workloads that are also measured at 921600 baud."""


def content(work: Workload, size: int, seed: int) -> bytes:
    """The bytes of the file.

    :raises BenchError: the licence texts are not installed.
    """
    size = min(size, work.max_size or size)
    return _texts()[:size] if work.kind == "texts" else random.Random(seed).randbytes(size)


def _texts() -> bytes:
    found = sorted(path for path in LICENCES.glob("*") if path.is_file() and not path.is_symlink())
    if not found:
        raise BenchError(f"there are no licence texts in {LICENCES}; install Debian's package base-files")
    return b"".join(path.read_bytes() for path in found)


# -- limits ------------------------------------------------------------------------------------------------------------


def selective_repeat(ber: float, *, repair: bool) -> float:
    """The goodput of an ideal selective repeat with random bytes: payload divided by line rate, from 0 to 1.

    Each frame has the best length, with 12 bytes in addition to its payload. No byte is escaped, only damaged frames are
    lost, and there is no start-up.

    :param ber: the bit error rate.
    :param repair: the receiver uses the frame check to repair a frame with one wrong bit.
    """
    return max(
        (1 - FRAME_OVERHEAD / size) * _share_not_lost(8 * size, ber, repair)
        for size in range(64, limits.SERIAL_FRAME + 1, 16)
    )


def _share_not_lost(bits: int, ber: float, repair: bool) -> float:
    if not ber:
        return 1.0
    undamaged = exp(bits * log1p(-ber))
    return undamaged + bits * ber * exp((bits - 1) * log1p(-ber)) if repair else undamaged


def ideal(work: Workload, *, repair: bool, content: bytes, byte_rate: float) -> float:
    """The limit for a line and a file: the highest goodput of any protocol with frames, as payload divided by line rate.

    :param content: the bytes of the file.
    :param byte_rate: the rate of the line in bytes per second.
    """
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
