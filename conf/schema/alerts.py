"""Alert rules: one row each."""

from enum import StrEnum

from conf.schema.base import EventKey, Key, Model, Table, setting


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Rule(Model):
    alert: EventKey = setting("its name, forever stable")
    event: EventKey = setting("event that raises it")
    severity: Severity = setting("how bad it is")
    for_s: float = setting("how long the condition must hold", default=0.0, ge=0, le=86_400)
    keep_firing_for_s: float = setting("how long it stays", default=0.0, ge=0, le=86_400)
    summary: str = setting("what the operator reads", max_length=200)
    runbook: str = setting("what to do, a page under docs/runbooks", max_length=200)


class Alerts(Model):
    name: Key = setting("name of the rule set, as its file")
    rules: Table[Key, Rule] = setting("the rules")
