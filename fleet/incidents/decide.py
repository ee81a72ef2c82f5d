"""What becomes of an alert, and whether an incident may be closed. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conf.schema.alerts import Rule, Severity
from fleet.alerts.alert import ActiveAlert
from fleet.alerts.sample import FLEET
from fleet.incidents.model import Incident, State

NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Opens:
    alert: ActiveAlert


@dataclass(frozen=True)
class Joins:
    incident_id: int
    alert: ActiveAlert
    is_worse: bool  # more severe than the incident was so far


Placing = Opens | Joins


def place_alert(incidents: Iterable[Incident], rule: Rule, alert: ActiveAlert) -> Placing | None:
    """None: the rule opens no incident, and none that is open is about it.

    One runbook at one site is one incident, however many robots: they are worked through together.
    What is of the whole fleet is of every site.
    """
    same = [
        one
        for one in incidents
        if one.state is not State.CLOSED
        and one.runbook == rule.runbook
        and (one.site == alert.site or FLEET in (one.subject, alert.subject))
    ]
    if same:
        oldest = min(same, key=lambda one: (one.opened_ns, one.incident_id))
        return Joins(oldest.incident_id, alert, is_worse(alert.severity, oldest.severity))
    return Opens(alert) if rule.incident else None


def is_worse(severity: Severity, than: str) -> bool:
    order = [one.value for one in Severity]
    return order.index(severity.value) > order.index(than)


def reasons_to_stay_open(
    incident: Incident, now_ns: int, calm_s: float, cause: str, prevention: str
) -> list[str]:
    """Empty: it may be closed. Recovery is verified, not declared."""
    if incident.state is State.CLOSED:
        return ["it is closed already"]
    reasons = [
        f"{member.subject} still fires: {member.summary.rstrip('.')}" for member in incident.firing
    ]
    if incident.members and not incident.firing:
        ended_ns = max(member.ended_ns or 0 for member in incident.members)
        calm_for_s = (now_ns - ended_ns) / NS_PER_S
        if calm_for_s < calm_s:
            reasons.append(f"it has been calm for {max(0.0, calm_for_s):.0f} s, of {calm_s:.0f} s")
    open_steps = [str(step.number) for step in incident.steps if not step.is_settled]
    if open_steps:
        reasons.append(
            f"steps {', '.join(open_steps)} of the runbook are neither done nor found unneeded"
        )
    if not cause.strip():
        reasons.append("nobody has said what the cause was")
    if not prevention.strip():
        reasons.append("nobody has said what keeps it from coming again")
    return reasons


def recovered_at(incident: Incident) -> int | None:
    """When the last alert in it ended; None while one fires, or none was ever in it."""
    ends = [member.ended_ns for member in incident.members]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


def affected(incident: Incident) -> Sequence[str]:
    """Whom it is about: each robot once, the first one first."""
    return list(dict.fromkeys(member.subject for member in incident.members)) or [incident.subject]
