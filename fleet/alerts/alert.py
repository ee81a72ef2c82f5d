"""An alert as people see it, and the words it says."""

import string
from dataclasses import dataclass

from conf.schema.alerts import Rule, Severity

UNKNOWN = "an unknown value"


@dataclass(frozen=True)
class ActiveAlert:
    """A rule that fires for a subject. Times are wall-clock."""

    key: str
    name: str
    subject: str
    site: str
    severity: Severity
    summary: str
    runbook: str
    since_ns: int
    value: float | None
    flapping: bool = False
    known: bool = True  # False: it fired when last heard of, and nothing is heard now


def summary_of(rule: Rule, subject: str, value: float | None) -> str:
    """The rule's sentence, filled in; what is not known is said to be so, whatever its format."""
    parts: list[str] = []
    for text, name, form, _ in string.Formatter().parse(rule.summary):
        parts.append(text)
        match name:
            case None:
                continue
            case "subject":
                parts.append(format(subject, form or ""))
            case "value" if value is None:
                parts.append(UNKNOWN)
            case "value":
                parts.append(format(value, form or "g"))
            case _:
                parts.append(format(rule.threshold, form or "g"))
    return "".join(parts)


def worst_first(alerts: list[ActiveAlert]) -> list[ActiveAlert]:
    order = list(Severity)
    return sorted(alerts, key=lambda one: (-order.index(one.severity), one.since_ns, one.subject))
