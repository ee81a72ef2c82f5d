"""An incident as a document in Markdown: what a post-incident review reads. Pure."""

from datetime import UTC, datetime

from fleet.incidents.decide import affected
from fleet.incidents.model import Incident, State
from fleet.incidents.runbook import shown

NS_PER_S = 1_000_000_000
MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>#|"})


def export(incident: Incident) -> str:
    robots = affected(incident)
    lines = [
        f"# Incident {incident.incident_id}: {_plain(incident.title)}",
        "",
        f"- State: {incident.state.value}, severity {incident.severity}",
        f"- Opened: {time_of(incident.opened_ns)} by {_plain(incident.opened_by)}",
        f"- Recovered: {time_of(incident.recovered_ns)}",
        f"- Closed: {time_of(incident.closed_ns)}"
        + (f" by {_plain(incident.closed_by or '')}" if incident.closed_ns else ""),
        f"- Lasted: {lasted(incident)}",
        f"- About: {', '.join(_plain(one) for one in robots)}"
        + (f" at {_plain(incident.site)}" if incident.site else ""),
        f"- Runbook: {incident.runbook or 'none'}",
        "",
        "## Alerts",
        "",
        *(
            f"- {time_of(one.began_ns)} – {time_of(one.ended_ns)}: {_plain(one.summary)}"
            for one in incident.members
        ),
        *([] if incident.members else ["None: it was opened by hand."]),
        "",
        "## Timeline",
        "",
        *(_entry(one.at_ns, one.kind.value, one.who, one.text) for one in incident.timeline),
        "",
        "## Steps",
        "",
        *_steps(incident, robots[0] if robots else None),
        "",
        "## Cause",
        "",
        _plain(incident.cause) or "Not said yet.",
        "",
        "## What keeps it from coming again",
        "",
        _plain(incident.prevention) or "Not said yet.",
    ]
    return "\n".join(lines) + "\n"


def time_of(at_ns: int | None) -> str:
    if at_ns is None:
        return "not yet"
    return f"{datetime.fromtimestamp(at_ns // NS_PER_S, UTC):%Y-%m-%d %H:%M:%S} UTC"


def lasted(incident: Incident) -> str:
    end_ns = incident.recovered_ns if incident.members else incident.closed_ns
    if end_ns is None:
        return "it goes on" if incident.state is State.OPEN else "not known"
    minutes, seconds = divmod(max(0, end_ns - incident.opened_ns) // NS_PER_S, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min {seconds} s" if hours else f"{minutes} min {seconds} s"


def _entry(at_ns: int, kind: str, who: str, text: str) -> str:
    first, *rest = text.splitlines() or [""]
    line = f"- {time_of(at_ns)} **{kind}** ({_plain(who)}): {_plain(first)}"
    return "\n".join([line, *(f"    - {_plain(one)}" for one in rest)])


def _steps(incident: Incident, robot_id: str | None) -> list[str]:
    if not incident.steps:
        return ["None: there was no runbook."]
    lines: list[str] = []
    for step in incident.steps:
        done = "x" if step.is_settled else " "
        lines.append(f"- [{done}] {step.number}. {_plain(step.text)}")
        lines += [f"    - `{shown(command, robot_id)}`" for command in step.commands]
        if step.is_settled:
            what = "done" if step.needed else "not needed"
            lines.append(f"    - {what}: {_plain(step.done_by or '')}, {time_of(step.done_ns)}")
    return lines


def _plain(text: str) -> str:
    """What people and robots wrote cannot become headings, links or markup."""
    return " ".join(text.split()).translate(MARKS)
