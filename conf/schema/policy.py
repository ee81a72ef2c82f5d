"""The skill that drives, its backup, the fallback, the planner, the safety model, skill caches."""

from typing import Self

from pydantic import model_validator

from conf.schema.base import Key, Model, Safe, SafetyModel, setting


class Network(Model):
    model: Key = setting("model by name")
    deadline_ms: float = setting("longest an inference may take", gt=0, le=1000)


class Planner(Model):
    """Looks ahead for people in the arm's way; Tier 1 keeps the distance whatever is planned."""

    rate_hz: float = setting("plans a second", default=10.0, ge=0.5, le=100)
    clearance_m: float = setting("distance kept to predicted people", default=0.25, gt=0, le=2)
    horizon_s: float = setting("how far ahead people are predicted", default=1.2, ge=0.5, le=3)
    spread_m_s: float = setting(
        "how fast a predicted person's place becomes uncertain", default=0.15, ge=0, le=3
    )


class Fallback(SafetyModel):
    """The reactive controller: no learning, slow, and standing still when it cannot be sure."""

    velocity_rad_s: float = setting(
        "fastest a joint moves",
        safe=Safe.LOWER,
        gt=0,
        le=1,
        because="the fallback moves when little is known about the surroundings",
        suggest=0.3,
    )
    acceleration_rad_s2: float = setting(
        "strongest acceleration", safe=Safe.LOWER, gt=0, le=10, suggest=1.0
    )
    jerk_rad_s3: float = setting("strongest jerk", safe=Safe.LOWER, gt=0, le=500, suggest=10.0)
    people_distance_m: float = setting(
        "distance of the nearest person below which it stands still",
        safe=Safe.HIGHER,
        ge=0.3,
        le=5,
        because="a person this near may step into a motion that was planned without them",
        suggest=1.5,
    )


class SafetyModelSettings(Model):
    """Thresholds of surprise are the model's own (its card); these say what follows from it."""

    model: Key = setting("model by name")
    restrict_speed_scale: float = setting(
        "speed while the arm surprises its model", default=0.4, ge=0.0, le=0.9
    )
    release_ms: int = setting(
        "calm time before a restriction or veto is lifted", default=400, ge=50, le=10_000
    )


class Skills(Model):
    cache_max: int = setting("skills kept on the robot", default=100, ge=1, le=1000)
    feature_life_s: float = setting("life of a cached feature", default=60.0, gt=0, le=3600)


class Policy(Model):
    name: Key = setting("name of the policy, as its file")
    skill: Key = setting("skill that runs when a task names none", default="pick_place")
    rate_hz: float = setting(
        "motion commands a second, of the policy and of the fallback, in every mode",
        default=100.0,
        ge=1,
        le=1000,
    )
    primary: Network = setting("the policy that drives")
    backup: Network = setting("a second policy kept warm")
    chunk_steps: int = setting("longest action chunk accepted", default=16, ge=1, le=256)
    execute_steps: int = setting("steps of a chunk executed at most", default=8, ge=1, le=256)
    retries: int = setting("attempts at a task after the first", default=2, ge=0, le=10)
    planner: Planner = setting("local planner", default=Planner())
    fallback: Fallback = setting("reactive controller")
    safety: SafetyModelSettings = setting("backup safety model")
    skills: Skills = setting("skill and feature caches", default=Skills())

    @model_validator(mode="after")
    def _executes_what_it_gets(self) -> Self:
        if self.execute_steps > self.chunk_steps:
            raise ValueError(
                f"execute_steps is {self.execute_steps}, but a chunk has {self.chunk_steps} steps"
            )
        return self
