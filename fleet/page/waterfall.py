"""A journey as a table with bars: read aloud it says what it shows. Pure; all words are escaped."""

from collections.abc import Mapping
from html import escape

from fleet.page.parts import plain
from fleet.traces.told import Bar, Drawing, beyond_words, draw, name_of, span_words
from fleet.traces.tree import Step, Trace
from runtime.telemetry.client import Value
from runtime.telemetry.span import Status

WIDE = 1000
DEEPEST = 6  # deeper steps are not indented any further
TICKS = 5
THINNEST = 4.0
TEXT_SHOWN = 120


def waterfall(trace: Trace) -> str:
    drawing = draw(trace)
    ticks = "".join(f"<span>{_tick(drawing, index)}</span>" for index in range(TICKS))
    rows = "".join(_row(bar, drawing) for bar in drawing.bars)
    return (
        '<table class="journey" role="table"><thead role="rowgroup"><tr role="row">'
        '<th scope="col" role="columnheader">Step</th>'
        '<th scope="col" role="columnheader" class="took">Took</th>'
        '<th scope="col" role="columnheader" class="line">'
        f'<span class="vh">When</span><span class="ticks" aria-hidden="true">{ticks}</span></th>'
        '<th scope="col" role="columnheader">What</th></tr></thead>'
        f'<tbody role="rowgroup">{rows}</tbody></table>'
    )


def _tick(drawing: Drawing, index: int) -> str:
    return f"{drawing.lasts_s * index / (TICKS - 1):.3g} s"


def _row(bar: Bar, drawing: Drawing) -> str:
    step = bar.step
    took = UNTOLD if step is None else span_words(step.lasted_ns)
    return (
        f'<tr role="row" class="{_kind(bar)}">'
        f'<th scope="row" role="rowheader" class="d{min(bar.depth, DEEPEST)}">'
        f"{escape(name_of(bar.node))}{_mark(step)}</th>"
        f'<td role="cell" class="took">{escape(took)}</td>'
        f'<td role="cell" class="line">{_bar(bar, drawing)}</td>'
        f'<td role="cell" class="details">{_details(bar)}</td></tr>'
    )


UNTOLD = "–"


def _kind(bar: Bar) -> str:
    step = bar.step
    if step is None:
        return "missing"
    kinds = [step.status.value, "on-robot" if step.on_robot else "on-fleet"]
    if step.end_ns is None:
        kinds.append("open")
    if bar.beyond_ns:
        kinds.append("beyond")
    return " ".join(kinds)


def _mark(step: Step | None) -> str:
    """What the colour of a bar says, in words."""
    if step is None:
        return ""
    marks = []
    if step.status is Status.ERROR:
        marks.append('<span class="chip bad">failed</span>')
    if not step.on_robot:
        marks.append('<span class="chip">fleet</span>')
    return " " + " ".join(marks) if marks else ""


def _bar(bar: Bar, drawing: Drawing) -> str:
    wide = max(THINNEST, (bar.right - bar.left) * WIDE)
    left = min(bar.left * WIDE, WIDE - wide)
    return (
        f'<svg viewBox="0 0 {WIDE} 12" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(_when(bar, drawing))}">'
        f'<rect class="rail" width="{WIDE}" height="12"/>'
        f'<rect class="bar" x="{left:.1f}" width="{wide:.1f}" height="12"/></svg>'
    )


def _when(bar: Bar, drawing: Drawing) -> str:
    if bar.beyond_ns:
        return beyond_words(bar.beyond_ns)
    begin, end = (f"{share * drawing.lasts_s:.3g} s" for share in (bar.left, bar.right))
    if bar.step is None:
        return f"between {begin} and {end}, as far as its parts tell"
    return f"from {begin} on" if bar.step.end_ns is None else f"from {begin} to {end}"


def _details(bar: Bar) -> str:
    step = bar.step
    if step is None:
        return "lost, thinned, or still on its way: other steps name it"
    words = escape(beyond_words(bar.beyond_ns))
    named = step.name  # "attempt 2" has its number in its name
    shown = details({key: value for key, value in step.attributes.items() if key != named})
    return f"<span>{words}</span> {shown}" if words else shown


def details(values: Mapping[str, Value | None]) -> str:
    """Names and values beside each other."""
    return " ".join(
        f"<span>{escape(plain(key))} <b>{escape(said(value))}</b></span>"
        for key, value in sorted(values.items())
        if value not in ("", None, "none")
    )


def said(value: Value | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)[:TEXT_SHOWN]
