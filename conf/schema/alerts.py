"""Alert rules over a closed set of signals, their unit tests, and what follows when one fires."""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from conf.schema.base import EventKey, Key, Model, Table, setting
from conf.schema.notify import Notify


class Severity(StrEnum):
    """Ordered from the mildest."""

    INFO = "info"
    WARNING = "warning"  # look at it within the day
    ALERT = "alert"  # somebody looks at it now
    CRITICAL = "critical"  # wakes somebody


class Scope(StrEnum):
    """Whom a signal is about."""

    ROBOT = "robot"
    FLEET = "fleet"


class Signal(StrEnum):
    """What a rule may look at; each is a number, or not known (`fleet/signals.py` makes them)."""

    STOP_LEVEL = "stop_level"
    STOP_COLLISION = "stop_collision"
    ESTOP = "estop"
    SAFETY_VETO = "safety_veto"
    MISSES_PER_MINUTE = "misses_per_minute"
    WORKSPACE_UNKNOWN = "workspace_unknown"
    MOTOR_TEMP_C = "motor_temp_c"
    GRIPPER_PRESSURE_RATIO = "gripper_pressure_ratio"
    SPOOL_USED_RATIO = "spool_used_ratio"
    SPOOL_NOT_DURABLE = "spool_not_durable"
    DISK_FREE_RATIO = "disk_free_ratio"
    CONTROL_AGE_MS = "control_age_ms"
    SILENT_S = "silent_s"
    STUCK_S = "stuck_s"
    NETWORK_DROPS_PER_HOUR = "network_drops_per_hour"
    SUCCESS_RATIO = "success_ratio"
    RECORDS_MISSING = "records_missing"
    SLOT_DRIFT = "slot_drift"
    VERSION_DRIFT = "version_drift"
    FLEET_SUCCESS_RATIO = "fleet_success_ratio"
    FLEET_ERROR_RATIO = "fleet_error_ratio"
    FLEET_LATENCY_P95_MS = "fleet_latency_p95_ms"
    FLEET_OFFLINE_RATIO = "fleet_offline_ratio"
    SERVER_DISK_FREE_RATIO = "server_disk_free_ratio"


@dataclass(frozen=True)
class About:
    scope: Scope
    meaning: str


SIGNALS: Final[Mapping[Signal, About]] = MappingProxyType(
    {
        Signal.STOP_LEVEL: About(Scope.ROBOT, "0 none, 1 controlled stop, 2 hold, 3 power off"),
        Signal.STOP_COLLISION: About(Scope.ROBOT, "1 while stopped by a collision"),
        Signal.ESTOP: About(Scope.ROBOT, "1 while an emergency stop is pressed"),
        Signal.SAFETY_VETO: About(Scope.ROBOT, "1 while the safety model vetoes"),
        Signal.MISSES_PER_MINUTE: About(Scope.ROBOT, "deadlines the control cycle missed"),
        Signal.WORKSPACE_UNKNOWN: About(Scope.ROBOT, "1 while nobody can say where people are"),
        Signal.MOTOR_TEMP_C: About(Scope.ROBOT, "the hottest motor"),
        Signal.GRIPPER_PRESSURE_RATIO: About(Scope.ROBOT, "of alerts.gripper_full_kpa"),
        Signal.SPOOL_USED_RATIO: About(Scope.ROBOT, "how full the robot's spool is"),
        Signal.SPOOL_NOT_DURABLE: About(Scope.ROBOT, "1 while records are not on disk"),
        Signal.DISK_FREE_RATIO: About(Scope.ROBOT, "free part of the data partition"),
        Signal.CONTROL_AGE_MS: About(Scope.ROBOT, "age of the newest word from Tier 1"),
        Signal.SILENT_S: About(Scope.ROBOT, "since the robot was last heard"),
        Signal.STUCK_S: About(Scope.ROBOT, "since a robot with a task last got on with it"),
        Signal.NETWORK_DROPS_PER_HOUR: About(Scope.ROBOT, "connections lost in the last hour"),
        Signal.SUCCESS_RATIO: About(Scope.ROBOT, "tasks done of those ended in the window"),
        Signal.RECORDS_MISSING: About(Scope.ROBOT, "records that neither side can account for"),
        Signal.SLOT_DRIFT: About(Scope.ROBOT, "1 while another slot runs than was expected"),
        Signal.VERSION_DRIFT: About(Scope.ROBOT, "1 while most of its kind run something else"),
        Signal.FLEET_SUCCESS_RATIO: About(Scope.FLEET, "tasks done of those ended in the window"),
        Signal.FLEET_ERROR_RATIO: About(Scope.FLEET, "actions failed of those tried"),
        Signal.FLEET_LATENCY_P95_MS: About(Scope.FLEET, "of actions, over all robots"),
        Signal.FLEET_OFFLINE_RATIO: About(Scope.FLEET, "robots that are not heard"),
        Signal.SERVER_DISK_FREE_RATIO: About(Scope.FLEET, "free part of the fleet's own disk"),
    }
)


class RobotMode(StrEnum):
    """What a robot is doing, and what it is short of; several hold at once."""

    BUSY = "busy"
    IDLE = "idle"
    STOPPED = "stopped"
    CHARGING = "charging"
    MAINTENANCE = "maintenance"
    NETWORK_OFFLINE = "network_offline"
    GPU_OVERLOADED = "gpu_overloaded"
    GPU_OFFLINE = "gpu_offline"
    SAFE_STOP = "safe_stop"


class NoData(StrEnum):
    """What a rule does while its signal is not known. Not knowing is never the same as well."""

    KEEP = "keep"  # what fires goes on firing; what does not is shown as not known
    FIRE = "fire"  # a robot that is heard and cannot say it counts as the condition itself


class FirstAction(StrEnum):
    """What may be done by itself when an incident is opened."""

    GATHER_EVENTS = "gather_events"  # the subject's last events, into the timeline
    GATHER_VERSIONS = "gather_versions"  # who runs what, and since when
    GATHER_ACCOUNTING = "gather_accounting"  # what became of its records
    STOP_ROBOT = "stop_robot"  # a controlled stop; somebody must re-arm it


Seconds = Annotated[float, Field(ge=0, le=86_400)]
Threshold = Annotated[float, Field(ge=-1e9, le=1e9)]


class Flap(Model):
    """An alert that comes and goes is held as one until it is calm for the whole window."""

    changes: int = setting("times the condition began", default=4, ge=2, le=100)
    within_s: float = setting("in this time", default=600.0, gt=0, le=86_400)


class Rule(Model):
    """Exactly one of `above` and `below` is given."""

    alert: EventKey = setting("its name, forever stable")
    signal: Signal = setting("what it looks at")
    above: Threshold | None = setting("the condition: the signal is above this", default=None)
    below: Threshold | None = setting("the condition: the signal is below this", default=None)
    clear: Threshold | None = setting(
        "what fires goes on until the signal is back beyond this; without it, the threshold",
        default=None,
        because="a value that dithers around its threshold would fire again and again",
    )
    for_s: Seconds = setting("how long the condition must hold", default=0.0)
    keep_firing_for_s: Seconds = setting(
        "how long it stays after the condition has ended, against flapping", default=0.0
    )
    flap: Flap = setting("when it counts as flapping", default=Flap())
    unless: tuple[RobotMode, ...] = setting(
        "the condition does not hold while the robot is in one of these", default=()
    )
    only: tuple[RobotMode, ...] = setting(
        "the condition holds only while the robot is in one of these, or says nothing about it",
        default=(),
    )
    no_data: NoData = setting("while the signal is not known", default=NoData.KEEP)
    no_data_after_s: float = setting(
        "silence after which the signal is not known any more", default=30.0, gt=0, le=86_400
    )
    severity: Severity = setting("how bad it is")
    summary: str = setting(
        "what the operator reads; {subject}, {value} and {threshold} are filled in, with a format"
        " such as {value:.0%}",
        max_length=200,
    )
    runbook: str = setting(
        "what to do, a page under docs/runbooks",
        pattern=r"^docs/runbooks/[a-z][a-z0-9_]*\.md$",
    )
    incident: bool = setting("opens an incident, or joins the open one", default=False)
    first_actions: tuple[FirstAction, ...] = setting(
        "what is done by itself when that incident is opened", default=()
    )

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("exactly one of above and below says when the rule fires")
        if self.clear is not None and self.above is not None and self.clear > self.above:
            raise ValueError(f"clear {self.clear:g} must not be above the threshold {self.above:g}")
        if self.clear is not None and self.below is not None and self.clear < self.below:
            raise ValueError(f"clear {self.clear:g} must not be below the threshold {self.below:g}")
        if set(self.only) & set(self.unless):
            raise ValueError("a mode cannot stand in both only and unless")
        if self.first_actions and not self.incident:
            raise ValueError("first_actions are of an incident, and this rule opens none")
        return self

    @model_validator(mode="after")
    def _summary_can_be_filled(self) -> Self:
        for _, name, form, conversion in string.Formatter().parse(self.summary):
            if name is None:
                continue
            if name not in ("subject", "value", "threshold") or conversion:
                raise ValueError(f"summary may hold {{subject}}, {{value}}, {{threshold}}: {name}")
            if form and not _is_format(form, name):
                raise ValueError(f"summary: {form!r} is no format of {name}")
        return self

    @property
    def threshold(self) -> float:
        return self.above if self.above is not None else self.below or 0.0


def _is_format(form: str, name: str) -> bool:
    try:
        format("robot" if name == "subject" else 1.0, form)
    except ValueError:
        return False
    return True


class RuleTest(Model):
    """A series, and the rule's phase at each of its steps. See docs/alerts.md for the letters."""

    rule: Key = setting("the rule that is tried")
    every_s: float = setting("time between two samples", default=1.0, gt=0, le=86_400)
    series: str = setting(
        "values with how often each comes: `40x5 71x10 ?x3 -x2 @charging`", max_length=2000
    )
    expect: str = setting(
        "phases with how long each lasts: `inactive x5 firing x10 no_data x5`", max_length=2000
    )


class Alerts(Model):
    name: Key = setting("name of the rule set, as its file")
    rules: Table[Key, Rule] = setting("the rules")
    tests: Table[Key, RuleTest] = setting("what each rule must do with a series", default={})
    lateness_s: float = setting(
        "samples may come this much out of order and still count as if they had not",
        default=5.0,
        ge=0,
        le=3600,
        because="what comes later fires nothing and is judged as the past",
    )
    gap_s: float = setting(
        "silence of a signal after which what comes later about that time is judged as the past",
        default=60.0,
        gt=0,
        le=86_400,
    )
    clock_skew_s: float = setting(
        "a robot's clock that is further off than this is not believed; the time of arrival counts",
        default=120.0,
        ge=1,
        le=86_400,
    )
    window_s: float = setting(
        "success, errors and latencies are those of this time", default=3600.0, ge=60, le=604_800
    )
    tasks_min: int = setting(
        "with fewer ended tasks in the window a success rate is not known",
        default=20,
        ge=1,
        le=100_000,
        because="one failure of two tasks is no success rate of 50 %",
    )
    gripper_full_kpa: float = setting(
        "vacuum that counts as 100 %: that of the arm", default=80.0, gt=0, le=1000
    )
    resolved_kept_days: float = setting(
        "how long alerts that have ended are kept", default=90.0, gt=0, le=3650
    )
    calm_s: Seconds = setting(
        "an incident is closed only when its alerts have been over for this long",
        default=300.0,
        because="what comes back at once was not mended",
    )
    notify: Notify = setting("who is told, and how", default=Notify())
