"""Degradation modes: what each allows and changes, and the hysteresis between them."""

from enum import StrEnum

from conf.schema.base import Key, Model, Safe, SafetyModel, Table, setting


class PolicySource(StrEnum):
    LEARNED = "learned"
    FALLBACK = "fallback"
    NONE = "none"


class Mode(SafetyModel):
    """What a mode allows and changes. A union of modes takes the strictest of each."""

    perception_level_max: int = setting(
        "highest cascade level; 0: stereo depth only", safe=Safe.FIXED, ge=0, le=3
    )
    perception_rate_hz: int = setting("rate of level 1 or of stereo", safe=Safe.FIXED, ge=1, le=240)
    policy_source: PolicySource = setting("who may command motion", safe=Safe.FIXED)
    policy_rate_hz: int = setting("motion commands a second", safe=Safe.FIXED, ge=1, le=1000)
    margin_multiplier: float = setting(
        "factor on separation distances",
        safe=Safe.HIGHER,
        ge=1.0,
        le=10.0,
        because="a robot that sees less must stay further away",
    )
    speed_scale: float = setting("factor on speed", safe=Safe.LOWER, ge=0.0, le=1.0)
    new_skills: bool = setting("accept skills that are not in the cache", safe=Safe.LOWER)
    request_human: bool = setting("ask for a human", safe=Safe.HIGHER)


class Hysteresis(Model):
    """How long a reading must hold before a mode is entered or left."""

    enter_ms: int = setting("before entering", ge=0, le=600_000)
    leave_ms: int = setting("before leaving", ge=0, le=3_600_000)


class Modes(Model):
    name: Key = setting("name of the table, as its file")
    table: Table[Key, Mode] = setting(
        "nominal, network_offline, gpu_overloaded, gpu_offline, safe_stop"
    )
    hysteresis: Table[Key, Hysteresis] = setting("per mode")
    gpu_load_above: float = setting("GPU load that counts as overload", default=0.9, gt=0, le=1)
    network_timeout_ms: int = setting(
        "silence of the fleet that counts as offline", default=5000, ge=100, le=600_000
    )
