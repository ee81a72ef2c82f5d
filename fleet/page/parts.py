"""Fragments of the page. Every word that comes from a message is escaped here, once."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from fleet.picture import Alarm
from fleet.words import several
from runtime.telemetry.line import Point, plain_names
from runtime.telemetry.ranges import SeqSet

UNKNOWN = "–"
RUNGS = (
    ("none", "free"),
    ("controlled", "controlled"),
    ("hold", "hold"),
    ("power_off", "power off"),
)
PHASES = ("observe", "pick", "place", "retreat")
LEVEL_NAMES = ("fast look", "closer look", "full look")
KNOWN_KEYS = frozenset({"name", "severity", "source", "seq", "epoch"})
FULL_TURN_RAD = 3.1416


def plain(word: str) -> str:
    """`gpu_offline` as people write it."""
    return word.replace("_", " ")


def title(word: str) -> str:
    return plain(word).capitalize()


def amount(value: float | None, digits: int = 0) -> str:
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def microseconds(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:,.0f} µs" if value < 10_000 else f"{value / 1000:,.1f} ms"


def ladder(level: str) -> str:
    """The stop ladder as a list, the present rung marked."""
    names = [name for name, _ in RUNGS]
    reached = names.index(level) if level in names else 0
    items = []
    for index, (_, words) in enumerate(RUNGS):
        state = "now" if index == reached else "passed" if 0 < index < reached else ""
        current = ' aria-current="step"' if index == reached else ""
        items.append(f'<li class="rung r{index} {state}"{current}>{escape(words)}</li>')
    return f'<ol class="ladder">{"".join(items)}</ol>'


def phases(phase: str) -> str:
    items = []
    for name in PHASES:
        current = ' aria-current="step" class="now"' if name == phase else ""
        items.append(f"<li{current}>{name}</li>")
    return f'<ol class="steps">{"".join(items)}</ol>'


def cascade(level: int, latency_ms: Sequence[float | None], runs: Sequence[int]) -> str:
    items = []
    for index, name in enumerate(LEVEL_NAMES):
        number = index + 1
        state = "now" if number == level else "below" if number < level else ""
        current = ' aria-current="true"' if number == level else ""
        took = latency_ms[index] if index < len(latency_ms) else None
        times = runs[index] if index < len(runs) else 0
        took_text = f"{took:.1f} ms" if took else UNKNOWN
        items.append(
            f'<li class="level {state}"{current}><b>{number}</b><span>{name}</span>'
            f"<small>{took_text} · {several(int(times), 'run')}</small></li>"
        )
    return f'<ol class="cascade">{"".join(items)}</ol>'


def chips(words: Sequence[str]) -> str:
    return "".join(f'<li class="chip">{escape(plain(str(word)))}</li>' for word in words)


def bar(ratio: float | None, label: str) -> str:
    """A share as a bar; SVG, because the page's policy allows no inline styles."""
    share = 0.0 if ratio is None else min(max(float(ratio), 0.0), 1.0)
    shown = "not known" if ratio is None else f"{100 * share:.0f} %"
    return (
        f'<svg class="meter" viewBox="0 0 100 4" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(label)}: {shown}"><rect class="rail" width="100" height="4"/>'
        f'<rect class="fill" width="{100 * share:.1f}" height="4"/></svg>'
    )


def counts(values: Mapping[str, int], none: str) -> str:
    """What has ever been counted, the most first."""
    counted = sorted(((n, k) for k, n in values.items() if n), reverse=True)
    if not counted:
        return f'<p class="none">{escape(none)}</p>'
    most = counted[0][0]
    rows = "".join(
        f"<tr><th scope=row>{escape(plain(key))}</th><td>{number:,}</td>"
        f"<td class=spark>{bar(number / most, plain(key))}</td></tr>"
        for number, key in counted
    )
    return f"<table class=counts><tbody>{rows}</tbody></table>"


def joints(rows: Sequence[Mapping[str, float | None]]) -> str:
    made = []
    for index, row in enumerate(rows):
        angle = row["q_rad"]
        share = None if angle is None else (angle + FULL_TURN_RAD) / (2 * FULL_TURN_RAD)
        made.append(
            f"<tr><th scope=row>{index + 1}</th><td>{amount(angle, 2)}</td>"
            f"<td class=dial>{_dial(share)}</td><td>{amount(row['qd_rad_s'], 2)}</td>"
            f"<td>{amount(row['tau_ext_nm'], 1)}</td><td>{amount(row['temp_c'], 0)}</td></tr>"
        )
    return "".join(made)


def _dial(share: float | None) -> str:
    """Where a joint stands between minus and plus half a turn."""
    at = 50.0 if share is None else min(max(share, 0.0), 1.0) * 100
    return (
        '<svg class="meter" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="rail" width="100" height="4"/>'
        f'<rect class="fill" x="{min(50.0, at):.1f}" width="{abs(at - 50):.1f}" height="4"/></svg>'
    )


def alert_list(alarms: Sequence[Alarm], now_s: float) -> str:
    if not alarms:
        return ""
    items = []
    for alarm in alarms:
        page = escape(alarm.runbook.rsplit("/", 1)[-1].removesuffix(".md"))
        flaps = "<span class=chip>flapping</span>" if alarm.flapping else ""
        old = "" if alarm.known else "<span class=chip>when last heard</span>"
        items.append(
            f'<li class="alert {alarm.severity.value}"><b>{escape(alarm.summary)}</b>'
            f"<code>{escape(alarm.name)}</code>{flaps}{old}"
            f"<span>for {duration(now_s - alarm.since_s)}</span>"
            f'<a href="/runbooks/{page}">What to do</a></li>'
        )
    return f"<ul>{''.join(items)}</ul>"


def duration(seconds: float) -> str:
    whole = max(0, int(seconds))
    if whole < 10:
        return "a moment"
    if whole < 120:
        return f"{whole // 10 * 10} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h"


def notice_row(text: str) -> str:
    return f"<tr><td colspan=4 class=none>{escape(text)}</td></tr>"


def event_rows(points: Sequence[Point], replayed: Mapping[int, SeqSet]) -> str:
    """Newest first; what came late after an outage says so. `replayed` is by spool epoch."""
    if not points:
        return notice_row("No events yet.")
    return "".join(_event_row(point, _is_late(point, replayed)) for point in points)


def _is_late(point: Point, replayed: Mapping[int, SeqSet]) -> bool:
    epoch, seq = point.fields.get("epoch"), point.fields.get("seq")
    if not isinstance(epoch, int) or not isinstance(seq, int):
        return False
    return epoch in replayed and seq in replayed[epoch]


def _event_row(point: Point, late: bool) -> str:
    when = datetime.fromtimestamp(point.time_ns / 1e9, UTC)
    severity = str(point.fields.get("severity", "info"))
    mark = ' <span class="chip late">replayed</span>' if late else ""
    details = " ".join(
        f"<span>{escape(plain(key))} <b>{escape(_shown(value))}</b></span>"
        for key, value in sorted(plain_names(point.fields).items())
        if key not in KNOWN_KEYS and value not in ("", None)
    )
    known = severity if severity in ("info", "warning", "critical") else "info"
    return (
        f'<tr class="{known}"><td><time datetime="{when.isoformat()}">{when:%H:%M:%S}</time></td>'
        f"<td><code>{escape(str(point.fields.get('name', '?')))}</code>{mark}</td>"
        f"<td class=details>{details}</td>"
        f"<td>{escape(str(point.fields.get('source', '')))}</td></tr>"
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)[:120]


GROUPS = {
    "camera": "Cameras",
    "gpu": "Computing",
    "network": "Computing",
    "disk": "Computing",
    "clock": "Computing",
    "person": "People and safety",
    "estop": "People and safety",
    "joint_sensor": "Arm",
    "gripper": "Arm",
    "motor_temp": "Arm",
}


_KINDS = ("off", "stuck", "garbage", "wrong", "slow", "delayed", "intermittent")
VOCABULARY: tuple[dict[str, Any], ...] = tuple(
    {"component": name, "kinds": _KINDS, "active": None}
    for name in ("camera.cell", "camera.bin", "gpu", "network", "joint_sensor", "gripper", "person")
)
"""Shown, without effect, where no fault service answers."""


def fault_groups(listing: Sequence[Mapping[str, Any]], why_not: str) -> str:
    """A row of buttons for each component; disabled, with the reason, where there is nothing to
    break."""
    grouped: dict[str, list[str]] = {}
    for row in listing:
        component = str(row["component"])
        group = GROUPS.get(component.split(".")[0], "Processes")
        grouped.setdefault(group, []).append(_fault_row(component, row, why_not))
    return "".join(
        f"<fieldset><legend>{escape(group)}</legend>{''.join(rows)}</fieldset>"
        for group, rows in grouped.items()
    )


def _fault_row(component: str, row: Mapping[str, Any], why_not: str) -> str:
    active = row.get("active")
    off = f' disabled title="{escape(why_not)}"' if why_not else ""
    buttons = []
    for kind in row["kinds"]:
        pressed = "true" if kind == active else "false"
        wanted = "ok" if kind == active else str(kind)
        name = escape(component, quote=True)
        buttons.append(
            f'<button type="button" data-fault="{name}" data-kind="{escape(wanted)}"'
            f' data-key="{name}/{escape(str(kind))}" aria-pressed="{pressed}"{off}>'
            f"{escape(str(kind))}</button>"
        )
    if not buttons:
        buttons.append('<span class="none">nothing that can break in this kind of run</span>')
    state = " active" if active else ""
    return (
        f'<div class="fault{state}"><span>{escape(component)}</span>'
        f'<div class="kinds" role="group" aria-label="{escape(component)}">{"".join(buttons)}</div>'
        "</div>"
    )
