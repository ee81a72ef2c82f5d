"""The learned policy, its backup, the fallback, the planner, the safety model, skills."""

from conf.schema.base import Key, Model, setting


class Network(Model):
    model: Key = setting("model by name")
    deadline_ms: float = setting("longest an inference may take", gt=0, le=1000)


class Planner(Model):
    rate_hz: float = setting("plans a second", default=10.0, gt=0, le=100)
    clearance_m: float = setting("distance kept to obstacles", default=0.10, gt=0, le=2)


class SafetyModelSettings(Model):
    model: Key = setting("model by name")
    rate_hz: float = setting("verdicts a second", default=100.0, gt=0, le=1000)
    restrict_above: float = setting("surprise that restricts speed", default=3.0, gt=0, le=1000)
    veto_above: float = setting("surprise that vetoes motion", default=6.0, gt=0, le=1000)


class Skills(Model):
    cache_max: int = setting("skills kept on the robot", default=100, ge=1, le=1000)
    feature_life_s: float = setting("life of a cached feature", default=60.0, gt=0, le=3600)


class Policy(Model):
    name: Key = setting("name of the policy, as its file")
    rate_hz: float = setting("motion commands a second", default=100.0, gt=0, le=1000)
    primary: Network = setting("the policy that drives")
    backup: Network = setting("a second policy kept warm")
    chunk_steps: int = setting("steps in an action chunk", default=16, ge=1, le=256)
    execute_steps: int = setting("steps of a chunk that are executed", default=8, ge=1, le=256)
    retries: int = setting("attempts at a task after the first", default=2, ge=0, le=10)
    planner: Planner = setting("local planner", default=Planner())
    safety: SafetyModelSettings = setting("backup safety model")
    skills: Skills = setting("skill and feature caches", default=Skills())
