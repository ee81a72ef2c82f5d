"""Updates: how large an artifact may be, what the commit gate asks, how a rollout goes on."""

from typing import Annotated

from pydantic import Field

from conf.schema.base import Key, Model, Safe, SafetyModel, setting


class Phase(Model):
    name: Key = setting("name of the phase")
    robots_percent: float = setting("share of the fleet it reaches", gt=0, le=100)
    soak_minutes: int = setting(
        "how long it is watched before it is judged",
        ge=30,
        le=10_080,
        because="a canary that does not soak is promoted before any robot has finished a shift",
        suggest=120,
    )


class Gate(SafetyModel):
    """What the robot itself asks of a new slot before it is kept."""

    control_latency_p999_us: int = setting(
        "slowest wake-up of Tier 1 at 99.9 %", safe=Safe.LOWER, ge=1, le=100_000
    )
    observe_s: int = setting("how long it is measured", safe=Safe.HIGHER, ge=10, le=3600)
    timeout_s: int = setting("after this the slot is rolled back", safe=Safe.LOWER, ge=30, le=7200)
    fleet_absence_allowed: bool = setting("commit without the fleet", safe=Safe.LOWER)


class Ota(Model):
    name: Key = setting("name of the rollout, as its file")
    artifact_max_mib: int = setting("largest root filesystem artifact", ge=64, le=65_536)
    gate: Gate = setting("the commit gate")
    phases: Annotated[tuple[Phase, ...], Field(min_length=1, max_length=16)] = setting(
        "phases of a rollout, in order"
    )
