"""Degradation modes: what each allows and changes, and the hysteresis between them."""

from enum import StrEnum
from typing import Self

from pydantic import model_validator

from conf.schema.base import Key, Model, Safe, SafetyModel, Table, setting


class ModeName(StrEnum):
    NOMINAL = "nominal"
    NETWORK_OFFLINE = "network_offline"
    GPU_OVERLOADED = "gpu_overloaded"
    GPU_OFFLINE = "gpu_offline"
    SAFE_STOP = "safe_stop"


class SkillSource(StrEnum):
    """Each closed set below is ordered from the freest to the strictest member."""

    ANY = "any"  # from the cache, or fetched
    CACHED = "cached"
    NONE = "none"


class Planning(StrEnum):
    FULL = "full"
    LOCAL = "local"
    NONE = "none"


class TelemetryFlow(StrEnum):
    LIVE = "live"
    BUFFERED = "buffered"  # uploaded when the fleet is back


class ComplexTasks(StrEnum):
    ACCEPT = "accept"
    DECOMPOSE_LOCALLY = "decompose_locally"  # or reject what cannot be
    REJECT = "reject"


class PolicySource(StrEnum):
    LEARNED = "learned"
    FALLBACK = "fallback"
    NONE = "none"


class Ambiguity(StrEnum):
    """What follows when nobody can say whether the workspace is clear."""

    SLOW = "slow"  # Tier 1's reduced speed
    STOP = "stop"


class Capabilities(SafetyModel):
    """What the robot can still do in a mode."""

    skill_execution: SkillSource = setting("which skills run", safe=Safe.FIXED)
    perception_level_max: int = setting(
        "highest cascade level; 0: stereo depth only", safe=Safe.FIXED, ge=0, le=3
    )
    planning: Planning = setting("where plans may come from", safe=Safe.FIXED)
    training: bool = setting("records for training are collected", safe=Safe.LOWER)
    telemetry: TelemetryFlow = setting("whether telemetry reaches the fleet", safe=Safe.FIXED)


class Behaviour(SafetyModel):
    """What a mode changes in how the robot acts."""

    new_skills: bool = setting("accept skills that are not in the cache", safe=Safe.LOWER)
    complex_tasks: ComplexTasks = setting("tasks of several steps", safe=Safe.FIXED)
    policy_source: PolicySource = setting("who may command motion", safe=Safe.FIXED)
    policy_rate_hz: int = setting(
        "decisions of the policy a second; between two it plays on what is decided, and motion "
        "commands come at policy.rate_hz in every mode",
        safe=Safe.FIXED,
        ge=1,
        le=1000,
    )
    perception_rate_hz: int = setting(
        "rate of level 1, or of stereo", safe=Safe.FIXED, ge=1, le=240
    )
    stereo: bool = setting("depth from the stereo pair, on the CPU", safe=Safe.FIXED)
    margin_multiplier: float = setting(
        "factor on separation distances",
        safe=Safe.HIGHER,
        ge=1.0,
        le=10.0,
        because="a robot that sees less must stay further away",
        suggest=1.5,
    )
    speed_scale: float = setting("factor on speed", safe=Safe.LOWER, ge=0.0, le=1.0)
    ambiguity: Ambiguity = setting("reaction to an unknown workspace", safe=Safe.FIXED)
    request_human: bool = setting("ask for a human to take over", safe=Safe.HIGHER)


class Mode(Model):
    """One row: a union of modes takes the strictest of each setting."""

    capabilities: Capabilities = setting("what can still be done")
    behaviour: Behaviour = setting("what changes")


class Hysteresis(Model):
    """How long a reading must hold before a mode is entered or left."""

    enter_ms: int = setting("before entering", ge=0, le=600_000)
    leave_ms: int = setting("before leaving", ge=0, le=3_600_000)


class GpuBand(Model):
    """Overload begins above `enter` and is over below `leave`; in between nothing changes."""

    slowdown_enter: float = setting("times the usual inference time", ge=1.0, le=100.0)
    slowdown_leave: float = setting("times the usual inference time", ge=1.0, le=100.0)
    load_enter: float = setting("share of the GPU in use", gt=0, le=1)
    load_leave: float = setting("share of the GPU in use", gt=0, le=1)

    @model_validator(mode="after")
    def _leaving_is_harder_than_entering(self) -> Self:
        if self.slowdown_leave > self.slowdown_enter or self.load_leave > self.load_enter:
            raise ValueError("a leave value above its enter value would make the mode flap")
        return self


class Fresh(SafetyModel):
    """Age beyond which a reading is no longer believed; what is not known is not healthy."""

    network_ms: int = setting("word from the uplink", safe=Safe.LOWER, ge=100, le=600_000)
    gpu_ms: int = setting("the GPU's own report", safe=Safe.LOWER, ge=50, le=60_000)
    perception_ms: int = setting("a scene from visiond", safe=Safe.LOWER, ge=50, le=60_000)
    control_ms: int = setting("a state from controld", safe=Safe.LOWER, ge=10, le=10_000)
    workspace_ms: int = setting("people from visiond", safe=Safe.LOWER, ge=50, le=60_000)
    health_ms: int = setting("a round of health checks", safe=Safe.LOWER, ge=1000, le=600_000)


class AutoRearm(SafetyModel):
    """What the agent may re-arm from by itself once the cause is gone.

    Collision, emergency stop, veto, heat, drive faults and liveness are not here, and cannot be:
    they end only when a person re-arms.
    """

    boot: bool = setting("the first arming after a healthy start", safe=Safe.LOWER)
    stale_command: bool = setting("no command source was fresh", safe=Safe.LOWER)
    control_lost: bool = setting("controld was silent and is back", safe=Safe.LOWER)
    ambiguous: bool = setting("the workspace was unknown and is known again", safe=Safe.LOWER)
    health: bool = setting("a critical health check failed and is well again", safe=Safe.LOWER)
    best_effort_pauses: bool = setting(
        "sensors were silent or deadlines missed, on a board that does not require real time",
        safe=Safe.LOWER,
        because="where real time is required, such a pause is a fault that a person has to look at",
    )


class HealthBand(Model):
    """Where a measured value stops being well. With fail below warn, smaller is worse."""

    warn: float = setting("value that is worth a look")
    fail: float = setting("value that is not acceptable")
    critical: bool = setting("a failure stops the robot; unknown keeps it from arming")
    fresh_s: float = setting("age beyond which the value is unknown", gt=0, le=3600)


class Modes(Model):
    name: Key = setting("name of the table, as its file")
    table: Table[Key, Mode] = setting(
        "nominal, network_offline, gpu_overloaded, gpu_offline, safe_stop"
    )
    hysteresis: Table[Key, Hysteresis] = setting("per degraded mode but safe_stop")
    gpu: GpuBand = setting("when the GPU counts as overloaded")
    fresh: Fresh = setting("how old a reading may be")
    auto_rearm: AutoRearm = setting("re-arming without a person")
    health: Table[Key, HealthBand] = setting("bands of the health checks, by check")

    @model_validator(mode="after")
    def _every_mode_has_its_rows(self) -> Self:
        modes = {mode.value for mode in ModeName}
        if set(self.table) != modes:
            raise ValueError(f"table must name exactly {', '.join(sorted(modes))}")
        timed = modes - {ModeName.NOMINAL.value, ModeName.SAFE_STOP.value}
        if set(self.hysteresis) != timed:
            raise ValueError(f"hysteresis must name exactly {', '.join(sorted(timed))}")
        return self
