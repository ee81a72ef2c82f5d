"""Small charts of seven days: a gap where nothing is known, a line for what is aimed at. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

WIDE, TALL, TOP, BASE = 280.0, 84.0, 14.0, 66.0
SIDE = 14.0


@dataclass(frozen=True)
class Trend:
    title: str
    values: Sequence[float | None]
    unit: str
    digits: int
    aim: float | None = None

    def aimed(self, aim: float) -> "Trend":
        return replace(self, aim=aim)


def trend(shown: Trend, labels: Sequence[str]) -> str:
    """The newest value in words; the way there as a line with a dot a day."""
    known = [value for value in shown.values if value is not None]
    newest = shown.values[-1] if shown.values else None
    head = f"<h3>{escape(shown.title)}</h3><b>{_said(shown, newest)}</b>{_change(shown)}"
    if not known:
        return f'<figure class="trend">{head}<p class="none">no days yet</p></figure>'
    return f'<figure class="trend">{head}{_drawing(shown, known, labels)}</figure>'


def _drawing(shown: Trend, known: Sequence[float], labels: Sequence[str]) -> str:
    around = [*known] if shown.aim is None else [*known, shown.aim]
    low, high = min(around), max(around)
    room = (high - low) * 0.15 or max(1.0, abs(high) * 0.05)
    low, high = low - room, high + room
    step = (WIDE - 2 * SIDE) / max(1, len(shown.values) - 1)

    def place(index: int, value: float) -> tuple[float, float]:
        return SIDE + index * step, BASE - (value - low) / (high - low) * (BASE - TOP)

    said = ", ".join(
        f"{label} {_said(shown, value)}" for label, value in zip(labels, shown.values, strict=True)
    )
    parts = [
        f'<svg viewBox="0 0 {WIDE:.0f} {TALL:.0f}" class="chart" role="img"'
        f' aria-label="{escape(shown.title)}: {escape(said)}">'
    ]
    if shown.aim is not None:
        _, at = place(0, shown.aim)
        parts.append(f'<line class="limit" x1="0" x2="{WIDE:.0f}" y1="{at:.1f}" y2="{at:.1f}"/>')
    for run in _runs(shown.values):
        points = " ".join("{:.1f},{:.1f}".format(*place(i, value)) for i, value in run)
        parts.append(f'<polyline class="line" points="{points}"/>')
    for index, value in enumerate(shown.values):
        if value is not None:
            x, y = place(index, value)
            parts.append(f'<circle class="day" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
        x = SIDE + index * step
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{TALL - 3:.0f}" text-anchor="middle">'
            f"{escape(labels[index])}</text>"
        )
    return "".join(parts) + "</svg>"


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Days that follow each other without a gap."""
    runs: list[list[tuple[int, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((index, value))
    return [run for run in runs if run]


def _said(shown: Trend, value: float | None) -> str:
    if value is None:
        return "–"
    unit = f" {shown.unit}" if shown.unit else ""
    return f"{value:,.{shown.digits}f}{unit}"


def _change(shown: Trend) -> str:
    """Against the first day that is known."""
    known = [value for value in shown.values if value is not None]
    if len(known) < 2:
        return ""
    more = known[-1] - known[0]
    sign = "+" if more > 0 else ""
    return f"<small>{sign}{_said(shown, more)} in the week</small>"
