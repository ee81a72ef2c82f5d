"""What a robot's own checks found, and what became of its last tasks. Pure; words are escaped here.

Checks report every half minute. What is older than a few reports is not known any more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import quote

from fleet.events import Event
from fleet.page.parts import UNKNOWN, duration, plain
from fleet.words import several
from runtime.telemetry.line import Point, plain_names

OLD_NS = 120_000_000_000
GOOD, WARN, BAD, QUIET = "good", "warn", "bad", "quiet"
STATES = {"fail": BAD, "unknown": WARN, "warn": WARN, "ok": GOOD}  # the worst first
ENDS = {"task.done": ("done", GOOD), "task.failed": ("failed", BAD)}
ENDS["task.cancelled"] = ("cancelled", QUIET)
TASKS_SHOWN = 8


@dataclass(frozen=True)
class Found:
    """The newest word of one check."""

    check: str
    state: str
    value: float | None
    unit: str
    note: str
    critical: bool
    age_ns: int

    @property
    def is_old(self) -> bool:
        return self.age_ns > OLD_NS


def findings(points: Iterable[Point], now_ns: int) -> list[Found]:
    """Of each check the newest, the worst first; a state that nobody knows is as bad as unknown."""
    newest: dict[str, Found] = {}
    for point in sorted(points, key=lambda one: one.time_ns):
        fields = plain_names(point.fields)
        check, state = str(fields.get("check", "")), str(fields.get("state", ""))
        value = fields.get("value")
        if check:
            newest[check] = Found(
                check=check,
                state=state if state in STATES else "unknown",
                value=float(value) if isinstance(value, int | float) else None,
                unit=str(fields.get("unit", "")),
                note=str(fields.get("note", "")),
                critical=fields.get("critical") is True,
                age_ns=now_ns - point.time_ns,
            )
    order = list(STATES)
    return sorted(newest.values(), key=lambda one: (one.is_old, order.index(one.state), one.check))


def health_word(found: Sequence[Found]) -> tuple[str, str]:
    """In a word, and its state. Nothing known is never well."""
    fresh = [one for one in found if not one.is_old]
    if not fresh:
        return "not known", WARN
    failing = sum(one.state == "fail" for one in fresh)
    if failing:
        critical = any(one.state == "fail" and one.critical for one in fresh)
        return f"{several(failing, 'check')} failing", BAD if critical else WARN
    unknown = sum(one.state == "unknown" for one in fresh) + len(found) - len(fresh)
    if unknown:
        return f"{several(unknown, 'check')} not known", WARN
    near = sum(one.state == "warn" for one in fresh)
    return (f"{several(near, 'check')} near a limit", WARN) if near else ("all well", GOOD)


def health_rows(found: Sequence[Found]) -> str:
    if not found:
        return '<tr><td colspan="4" class="none">No report within the last hour.</td></tr>'
    return "".join(_health_row(one) for one in found)


def _health_row(one: Found) -> str:
    state, word = STATES[one.state], plain(one.state)
    if one.is_old:
        state, word = QUIET, f"was {word}"
    value = UNKNOWN if one.value is None else f"{_figure(one.value)} {escape(one.unit)}"
    note = f"<small>{escape(one.note[:160])}</small>" if one.note else ""
    age = "now" if one.age_ns < OLD_NS / 2 else f"{duration(one.age_ns / 1e9)} ago"
    return (
        f"<tr><th scope=row>{escape(plain(one.check))}{note}</th>"
        f'<td data-state="{state}">{word}</td><td>{value}</td><td>{age}</td></tr>'
    )


def _figure(value: float) -> str:
    """Four digits at most that say something: never `5.06e+04`, and dust is nothing."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{round(value, 3):.4g}"


def task_rows(events: Iterable[Event]) -> str:
    """Newest first."""
    ended = [one for one in events if one.name in ENDS][:TASKS_SHOWN]
    if not ended:
        return '<tr><td colspan="4" class="none">No task has ended yet.</td></tr>'
    return "".join(_task_row(one) for one in ended)


def _task_row(event: Event) -> str:
    word, state = ENDS[event.name]
    at = datetime.fromtimestamp(event.at_ns / 1e9, UTC)
    reason = event.fields.get("reason")
    why = (
        f"<small>{escape(plain(str(reason)[:80]))}</small>"
        if reason not in (None, "", "none")
        else ""
    )
    late = ' <span class="chip late">replayed</span>' if event.replayed else ""
    words = escape(plain(event.task) or "task")
    return (
        f'<tr><td><time datetime="{at.isoformat()}">{at:%H:%M:%S}</time></td>'
        f"<th scope=row>{_linked(event, words)}{late}{why}</th>"
        f'<td data-state="{state}">{word}</td><td>{_took(event.fields)}</td></tr>'
    )


def _linked(event: Event, words: str) -> str:
    if event.task_id is None:
        return f"{words} {UNKNOWN}"
    page = f"/robots/{quote(event.robot, safe='')}/tasks/{event.task_id}"
    return f'<a href="{page}">{words} {event.task_id}</a>'


def _took(fields: dict[str, Any]) -> str:
    took = fields.get("duration_s")
    return f"{took:.1f} s" if isinstance(took, int | float) else UNKNOWN
