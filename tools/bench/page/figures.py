"""Draws the two figures of docs/performance.md from the stored results (docs/measurements/performance.json)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..measure.workloads import WORKLOADS, selective_repeat
from .results import Kept, tables
from .svg import Axis, Series, chart

__all__ = ["FIGURES", "FRAME_OF_OTHERS"]

FRAME_OF_OTHERS = 4000  # bytes of a long Kermit packet; in Kermit, a control message waits for the end of such a packet
_RATES = [10 ** (-7 + step / 12) for step in range(37)]  # bit error rates, 1e-7 to 1e-4, for the curves of the limits
_BAUDS = (9600, 19200, 57600, 115200, 230400, 460800, 921600)


def goodput(found: Kept) -> str:
    """The SVG text of the figure of goodput against bit error rate, at 115200 baud."""
    rows = tables(found).get("goodput-115200", {}).get("rows", {})
    by_rate = [
        (work.faults.ber, rows[work.name]) for work in WORKLOADS if work.name in rows and work.name.startswith("BER")
    ]

    def measured(who: str) -> list[tuple[float, float]]:
        points = sorted((ber, row.get(who)) for ber, row in by_rate if row.get(who) not in (None, "absent"))
        return [(ber, rate if isinstance(rate, float) else 0.0) for ber, rate in points]

    def limit(*, repair: bool) -> list[tuple[float, float]]:
        return [(ber, selective_repeat(ber, repair=repair)) for ber in _RATES]

    return chart(
        "Goodput against bit error rate, random bytes at 115200 baud",
        Axis(
            title="bit error rate, both directions (0 in the figure: the transfer fails)",
            ticks=[(10.0**power, f"1e{power}") for power in range(-7, -3)],
            log=True,
        ),
        Axis(title="payload / line rate", ticks=[(step / 10, f"{step / 10:.1f}") for step in range(11)]),
        [
            Series(label="linesync cp", points=measured("cp"), colour="blue"),
            Series(label="UUCP 'i'", points=measured("uucp"), colour="green"),
            Series(label="ZMODEM (sz -b)", points=measured("zmodem"), colour="orange"),
            Series(label="Kermit", points=measured("kermit"), colour="pink"),
            Series(
                label="ideal selective repeat, frames\nwith one bad bit repaired",
                points=limit(repair=True),
                colour="dark",
                drawn="limit",
            ),
            Series(label="ideal selective repeat", points=limit(repair=False), colour="grey", drawn="limit"),
        ],
    )


def latency(found: Kept) -> str:
    """The SVG text of the figure of control latency against baud rate, idle and under bulk."""
    made = tables(found)
    idle = made.get("latency-idle", {}).get("rows", {})
    bulk = made.get("latency-bulk", {}).get("rows", {})
    commands = made.get("latency-run", {}).get("rows", {})

    def of(rows: Mapping[str, Mapping[str, Any]], label: str, column: str) -> list[tuple[float, float]]:
        named = [(baud, rows.get(label.format(baud), {}).get(column)) for baud in _BAUDS]
        return [(baud, value) for baud, value in named if isinstance(value, float)]

    own = of(idle, "{} asyncio", "line_time")
    trip = of(idle, "{} asyncio", "p50")
    return chart(
        "A semaphore's round trip against baud rate",
        Axis(
            title="line rate (baud, both axes logarithmic)", ticks=[(baud, _short(baud)) for baud in _BAUDS], log=True
        ),
        Axis(title="milliseconds", ticks=[(10.0**power, f"{10.0**power:,g}") for power in range(-1, 5)], log=True),
        [
            Series(label="under two-way bulk, p99", points=of(bulk, "{}", "p99"), colour="orange"),
            Series(label="under two-way bulk, median", points=of(bulk, "{}", "p50"), colour="pink"),
            Series(label="idle line, median", points=trip, colour="blue"),
            Series(label="limit: line time of its own\nbytes", points=own, colour="dark", drawn="limit"),
            Series(
                label="target under bulk: idle + 45 ms",
                points=[(baud, value + 45.0) for baud, value in trip],
                colour="green",
                drawn="limit",
            ),
            Series(
                label=f"others' bulk: behind one packet\nof {FRAME_OF_OTHERS} bytes (calculated)",
                points=[(baud, value + FRAME_OF_OTHERS * 1e4 / baud) for baud, value in own],
                colour="grey",
                drawn="limit",
            ),
            Series(
                label="linesync: run /bin/true, idle", points=of(commands, "{}", "p50"), colour="blue", drawn="points"
            ),
            Series(
                label="qemu-ga and labgrid: the same\n(quoted, 115200)",
                points=of(commands, "{}", "qemu_ga") + of(commands, "{}", "labgrid"),
                colour="dark",
                drawn="points",
            ),
        ],
    )


def _short(baud: int) -> str:
    return f"{baud / 1000:g}k"


FIGURES: dict[str, Callable[[Kept], str]] = {"goodput.svg": goodput, "latency.svg": latency}
"""The functions of the figures, by file name. The files are in docs/measurements/."""
