"""Alert rules: one row each, over a closed set of signals."""

from enum import StrEnum

from conf.schema.base import EventKey, Key, Model, Table, setting


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Signal(StrEnum):
    """What a rule may look at; each is a number, or not known (`fleet/signals.py` makes them)."""

    STOP_LEVEL = "stop_level"  # 0 none, 1 controlled, 2 hold, 3 power off
    STOP_COLLISION = "stop_collision"  # 1 while stopped by a collision
    ESTOP = "estop"  # 1 while pressed
    SAFETY_VETO = "safety_veto"  # 1 while the safety model vetoes
    MISSES_PER_MINUTE = "misses_per_minute"
    WORKSPACE_UNKNOWN = "workspace_unknown"  # 1 while nobody can say where people are
    MOTOR_TEMP_C = "motor_temp_c"  # the hottest
    SPOOL_USED_RATIO = "spool_used_ratio"
    SPOOL_NOT_DURABLE = "spool_not_durable"  # 1 while records wait in memory or the disk is full
    CONTROL_AGE_MS = "control_age_ms"  # of the newest word from Tier 1
    SILENT_S = "silent_s"  # since the robot was last heard


class NoData(StrEnum):
    """What a rule does while its signal is not known. Not knowing is never the same as well."""

    KEEP = "keep"  # stays as it was
    FIRE = "fire"  # counts as the condition itself


class Rule(Model):
    alert: EventKey = setting("its name, forever stable")
    signal: Signal = setting("what it looks at")
    above: float = setting("fires while the signal is above this")
    for_s: float = setting("how long the condition must hold", default=0.0, ge=0, le=86_400)
    keep_firing_for_s: float = setting(
        "how long it stays after the condition has ended, against flapping",
        default=0.0,
        ge=0,
        le=86_400,
    )
    no_data: NoData = setting("while the signal is not known", default=NoData.KEEP)
    severity: Severity = setting("how bad it is")
    summary: str = setting("what the operator reads", max_length=200)
    runbook: str = setting("what to do, a page under docs/runbooks", max_length=200)


class Alerts(Model):
    name: Key = setting("name of the rule set, as its file")
    rules: Table[Key, Rule] = setting("the rules")
