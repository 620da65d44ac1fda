"""A chart as SVG text: lines over a logarithmic axis, readable on light and dark pages.

The module supports only the features of the two figures. The same values always give the same bytes. A style sheet sets the
colours, including the background, for a light theme and for a dark theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import log10
from typing import Literal

__all__ = ["Axis", "Series", "chart"]

_WIDTH, _HEIGHT = 900, 470
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 280, 56, 62  # margins in pixels; the right margin contains the legend
_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.paper { fill: #ffffff }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.axis { stroke: #59636e; stroke-width: 1.2 }
.line { fill: none; stroke-width: 2.2; stroke-linejoin: round }
.thin { stroke-width: 1.6 }
.dashed { stroke-dasharray: 6 4 }
.blue { stroke: #0060a8; fill: #0060a8 } .orange { stroke: #b84a00; fill: #b84a00 }
.green { stroke: #00795a; fill: #00795a } .pink { stroke: #a83a78; fill: #a83a78 }
.grey { stroke: #59636e; fill: #59636e } .dark { stroke: #1f2328; fill: #1f2328 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .paper { fill: #0d1117 } .grid { stroke: #30363d } .axis { stroke: #9198a1 }
  .blue { stroke: #58a6ff; fill: #58a6ff } .orange { stroke: #f0883e; fill: #f0883e }
  .green { stroke: #3fca9a; fill: #3fca9a } .pink { stroke: #f28cc1; fill: #f28cc1 }
  .grey { stroke: #9198a1; fill: #9198a1 } .dark { stroke: #e6edf3; fill: #e6edf3 }
}
.line { fill: none }"""

Colour = Literal["blue", "orange", "green", "pink", "grey", "dark"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis.

    :ivar title: the quantity and its unit.
    :ivar ticks: values, each with its text. The first and the last value are the ends of the axis.
    :ivar log: whether the axis is logarithmic.
    """

    title: str
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def share(self, value: float) -> float:
        """The position of a value on the axis, from 0 (its start) to 1 (its end). For a value outside the axis, it is the
        position of the nearer end."""
        low, high = self.ticks[0][0], self.ticks[-1][0]
        value = min(max(value, low), high)
        if self.log:
            return log10(value / low) / log10(high / low)
        return (value - low) / (high - low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A line of the chart: measured values or a limit.

    :ivar label: the text in the legend; a newline starts a second line.
    :ivar points: x and y in the units of the axes.
    :ivar drawn: ``marks``: marks joined by a line; ``limit``: a dashed line without marks; ``points``: marks only.
    """

    label: str
    points: Sequence[tuple[float, float]]
    colour: Colour
    drawn: Literal["marks", "limit", "points"] = "marks"


def chart(title: str, x: Axis, y: Axis, series: Sequence[Series]) -> str:
    """The text of an SVG file with the whole figure."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}"'
        f' height="{_HEIGHT}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>\n{_STYLE}\n</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/>',
        f'<text class="title" x="{_LEFT}" y="28">{escape(title)}</text>',
        *_axes(x, y),
    ]
    next_entry_at = _TOP + 12.0
    for one_series in series:
        if one_series.points:
            parts += _drawn(
                one_series, [(_x_position(x, x_value), _y_position(y, value)) for x_value, value in one_series.points]
            )
            entry, next_entry_at = _legend_entry(one_series, next_entry_at)
            parts += entry
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x_position(x: Axis, value: float) -> float:
    return _LEFT + x.share(value) * (_WIDTH - _LEFT - _RIGHT)


def _y_position(y: Axis, value: float) -> float:
    return _HEIGHT - _BOTTOM - y.share(value) * (_HEIGHT - _TOP - _BOTTOM)


def _axes(x: Axis, y: Axis) -> list[str]:
    left, right, top, bottom = _LEFT, _WIDTH - _RIGHT, _TOP, _HEIGHT - _BOTTOM
    parts = []
    for value, text in x.ticks:
        position = _x_position(x, value)
        parts.append(f'<line class="grid" x1="{position:.1f}" y1="{top}" x2="{position:.1f}" y2="{bottom}"/>')
        parts.append(f'<text x="{position:.1f}" y="{bottom + 20}" text-anchor="middle">{escape(text)}</text>')
    for value, text in y.ticks:
        position = _y_position(y, value)
        parts.append(f'<line class="grid" x1="{left}" y1="{position:.1f}" x2="{right}" y2="{position:.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{position + 4:.1f}" text-anchor="end">{escape(text)}</text>')
    horizontal_middle, vertical_middle = (left + right) / 2, (top + bottom) / 2
    parts.append(f'<path class="axis" fill="none" d="M{left} {top}V{bottom}H{right}"/>')
    parts.append(f'<text x="{horizontal_middle:.1f}" y="{_HEIGHT - 18}" text-anchor="middle">{escape(x.title)}</text>')
    attributes = (
        f'x="20" y="{vertical_middle:.1f}" transform="rotate(-90 20 {vertical_middle:.1f})" text-anchor="middle"'
    )
    return [*parts, f"<text {attributes}>{escape(y.title)}</text>"]


def _drawn(series: Series, positions: Sequence[tuple[float, float]]) -> list[str]:
    parts = []
    if series.drawn != "points":
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in positions)
        extra = " thin dashed" if series.drawn == "limit" else ""
        parts.append(f'<path class="line {series.colour}{extra}" d="M{path}"/>')
    if series.drawn != "limit":
        parts += [_mark(series, x, y) for x, y in positions]
    return parts


def _mark(series: Series, x: float, y: float) -> str:
    if series.drawn == "points":
        corners = f"M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z"
        return f'<path class="{series.colour}" d="{corners}"/>'
    return f'<circle class="{series.colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.6"/>'


def _legend_entry(series: Series, top: float) -> tuple[list[str], float]:
    """The entry of a series in the legend, and the vertical position of the next entry."""
    left = _WIDTH - _RIGHT + 18
    parts = _drawn(series, [(left + 14, top)] if series.drawn == "points" else [(left, top), (left + 28, top)])
    for line in series.label.split("\n"):
        parts.append(f'<text x="{left + 38}" y="{top + 4:.1f}">{escape(line)}</text>')
        top += 17
    return parts, top + 9
