"""Drawings as SVG: a latency histogram, the cell from above. Only numbers go into them."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import log2, log10
from typing import Any

Bin = tuple[float | None, int]

WIDTH, HEIGHT = 460, 132
LEFT, BOTTOM, TOP = 4, 20, 8
TICKS_US = (0.1, 1, 10, 100, 1000, 10_000, 100_000)


def histogram(bins: Sequence[Bin], limit_us: float, label: str) -> str:
    """Counts on a logarithmic scale over time on a logarithmic scale; the deadline as a line."""
    if not bins:
        return ""
    low = log2(_upper(bins, 0)) - 0.25
    high = max(log2(_upper(bins, len(bins) - 1)), log2(limit_us) + 0.5)
    low = min(low, log2(limit_us) - 8)
    most = log10(max(count for _, count in bins) + 1)

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - 2 * LEFT)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" class="chart"'
        f' role="img" aria-label="{escape(label)}">'
    ]
    base = HEIGHT - BOTTOM
    for tick in TICKS_US:
        if low <= log2(tick) <= high:
            at = x(log2(tick))
            parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{base}"/>')
            parts.append(_tick(at, _time(tick)))
    for index, (_, count) in enumerate(bins):
        if count:
            upper = log2(_upper(bins, index))
            left, right = x(upper - 0.25), x(upper)
            tall = max(1.5, log10(count + 1) / most * (base - TOP))
            late = "bar late" if upper - 0.25 >= log2(limit_us) - 1e-6 else "bar"
            wide = max(1.0, right - left - 1)
            parts.append(
                f'<rect class="{late}" x="{left + 0.5:.1f}" width="{wide:.1f}"'
                f' y="{base - tall:.1f}" height="{tall:.1f}" rx="1"/>'
            )
    at = x(log2(limit_us))
    parts.append(f'<line class="axis" x1="0" x2="{WIDTH}" y1="{base}" y2="{base}"/>')
    parts.append(f'<line class="limit" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 6}" y2="{base}"/>')
    return "".join(parts) + "</svg>"


def _upper(bins: Sequence[Bin], index: int) -> float:
    """The last bin may be without bound: it is drawn a step after the one before."""
    upper = bins[index][0]
    return upper if upper is not None else (bins[index - 1][0] or 1.0) * 2**0.25


def _tick(at: float, text: str) -> str:
    anchor = "start" if at < 12 else "end" if at > WIDTH - 12 else "middle"
    return f'<text class="tick" x="{at:.1f}" y="{HEIGHT - 5}" text-anchor="{anchor}">{text}</text>'


def _time(us: float) -> str:
    return f"{us:g} µs" if us < 1000 else f"{us / 1000:g} ms"


@dataclass(frozen=True)
class Cell:
    """What the map from above shows, in metres of the robot's base frame."""

    workspace: tuple[float, float, float, float]
    tool: tuple[float, float] | None
    trail: Sequence[tuple[float, float]]
    people: Sequence[tuple[float, float]]
    objects: Sequence[tuple[str, float, float]]
    separation_m: float | None


SPAN_X = (-1.4, 3.0)
SPAN_Y = (-1.9, 1.9)
SCALE = 100.0  # drawing units in a metre


def cell_map(cell: Cell) -> str:
    """x to the right, y up, the robot's base where the cross is."""
    wide, tall = (SPAN_X[1] - SPAN_X[0]) * SCALE, (SPAN_Y[1] - SPAN_Y[0]) * SCALE
    parts = [
        f'<svg viewBox="0 0 {wide:.0f} {tall:.0f}" class="chart map" role="img"'
        f' aria-label="The cell from above: {len(cell.people)} people,'
        f' {len(cell.objects)} objects seen">'
    ]
    for metre in range(-1, 4):
        at, _ = _place(metre, 0)
        parts.append(f'<line class="grid" x1="{at:.0f}" x2="{at:.0f}" y1="0" y2="{tall:.0f}"/>')
    for metre in (-1, 0, 1):
        _, at = _place(0, metre)
        parts.append(f'<line class="grid" x1="0" x2="{wide:.0f}" y1="{at:.0f}" y2="{at:.0f}"/>')
    parts.append(_box(cell.workspace))
    parts.extend(_objects(cell.objects))
    parts.append(_trail(cell.trail))
    base = _place(0, 0)
    parts.append(f'<circle class="base" cx="{base[0]:.0f}" cy="{base[1]:.0f}" r="11"/>')
    if cell.tool is not None:
        at_tool = _place(*cell.tool)
        parts.append(
            f'<line class="arm" x1="{base[0]:.0f}" y1="{base[1]:.0f}"'
            f' x2="{at_tool[0]:.1f}" y2="{at_tool[1]:.1f}"/>'
            f'<circle class="tool" cx="{at_tool[0]:.1f}" cy="{at_tool[1]:.1f}" r="6"/>'
        )
    parts.extend(_people(cell))
    return "".join(parts) + "</svg>"


def _place(x: float, y: float) -> tuple[float, float]:
    """In drawing units; what lies outside is shown at the edge."""
    inside_x = min(max(x, SPAN_X[0]), SPAN_X[1])
    inside_y = min(max(y, SPAN_Y[0]), SPAN_Y[1])
    return (inside_x - SPAN_X[0]) * SCALE, (SPAN_Y[1] - inside_y) * SCALE


def _box(workspace: tuple[float, float, float, float]) -> str:
    x0, y1 = _place(workspace[0], workspace[1])
    x1, y0 = _place(workspace[2], workspace[3])
    return (
        f'<rect class="space" x="{x0:.0f}" y="{y0:.0f}" width="{x1 - x0:.0f}"'
        f' height="{y1 - y0:.0f}" rx="4"/>'
    )


def _objects(objects: Sequence[tuple[str, float, float]]) -> list[str]:
    drawn = []
    for kind, x, y in objects:
        if kind == "person":
            continue
        size = 30 if kind == "bin" else 9
        at_x, at_y = _place(x, y)
        drawn.append(
            f'<rect class="{"bin" if kind == "bin" else "part"}" x="{at_x - size / 2:.1f}"'
            f' y="{at_y - size / 2:.1f}" width="{size}" height="{size}" rx="2"/>'
        )
    return drawn


def _trail(trail: Sequence[tuple[float, float]]) -> str:
    if len(trail) < 2:
        return ""
    points = " ".join("{:.1f},{:.1f}".format(*_place(x, y)) for x, y in trail)
    return f'<polyline class="trail" points="{points}"/>'


def _people(cell: Cell) -> list[str]:
    drawn: list[str] = []
    for x, y in cell.people:
        at_x, at_y = _place(x, y)
        drawn.append(f'<circle class="aura" cx="{at_x:.0f}" cy="{at_y:.0f}" r="34"/>')
        drawn.append(f'<circle class="person" cx="{at_x:.0f}" cy="{at_y:.0f}" r="13"/>')
    return drawn


def pairs(raw: Any) -> list[tuple[float, float]]:
    """Places from a message, without those that are not known."""
    return [(float(x), float(y)) for x, y in raw or [] if x is not None and y is not None]
