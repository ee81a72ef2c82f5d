"""Updates: how large an artifact may be, what the commit gate asks, how a rollout goes on."""

from typing import Annotated, Self

from pydantic import Field, model_validator

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
    timeout_s: int = setting(
        "after this the slot is rolled back, counted from the start of its kernel",
        safe=Safe.LOWER,
        ge=30,
        le=7200,
        because="a new slot that never gets well would stay on trial for ever",
    )
    latency_margin_ratio: float = setting(
        "how much slower than the last committed one the same latency may be",
        safe=Safe.LOWER,
        ge=1,
        le=10,
        because="an update that makes the control loop slower is seen before the limit is reached",
        suggest=1.25,
    )
    switch_observe_s: int = setting(
        "how long it is measured after a profile or model was switched",
        safe=Safe.HIGHER,
        ge=5,
        le=600,
    )
    switch_timeout_s: int = setting(
        "after this a switched profile or model is taken back; the robot's own seconds",
        safe=Safe.LOWER,
        ge=10,
        le=3600,
    )
    disk_free_min_mib: int = setting(
        "room that data must have left",
        safe=Safe.HIGHER,
        ge=16,
        le=1_048_576,
        because="without room the spool gives up records, and the next update has no place to work",
        suggest=256,
    )
    fleet_absence_allowed: bool = setting("commit without the fleet", safe=Safe.LOWER)
    server_absence_allowed: bool = setting(
        "commit without the Mender server, but only what was installed from a file",
        safe=Safe.LOWER,
        because="a robot that its server cannot reach can be sent no remedy",
    )

    @model_validator(mode="after")
    def _has_time_to_look(self) -> Self:
        for name, observe_s, timeout_s in (
            ("", self.observe_s, self.timeout_s),
            ("switch_", self.switch_observe_s, self.switch_timeout_s),
        ):
            if observe_s >= timeout_s:
                raise ValueError(
                    f"{name}observe_s is {observe_s}, but the gate ends after {name}timeout_s,"
                    f" {timeout_s}: nothing could ever be committed"
                )
        return self


class Mender(Model):
    """How the robot's own client meets its server."""

    server_url: str = setting(
        "address of the Mender server; empty: updates come from files only",
        default="",
        pattern=r"^(https://[A-Za-z0-9.:/_-]{1,200})?$",
    )
    update_poll_s: int = setting("time between questions for an update", default=1800, ge=5)
    inventory_poll_s: int = setting("time between inventories", default=28_800, ge=5)
    retry_poll_s: int = setting("longest pause between retries", default=300, ge=5)


class Ota(Model):
    name: Key = setting("name of the rollout, as its file")
    artifact_max_mib: int = setting("largest root filesystem artifact", ge=64, le=65_536)
    gate: Gate = setting("the commit gate")
    mender: Mender = setting("the client of the Mender server", default=Mender())
    phases: Annotated[tuple[Phase, ...], Field(min_length=1, max_length=16)] = setting(
        "phases of a rollout, in order"
    )
