"""The perception cascade: levels, models, rates, deadlines, triggers."""

from enum import StrEnum

from conf.schema.base import Key, Model, Table, setting


class Backend(StrEnum):
    ONNXRUNTIME = "onnxruntime"
    TENSORRT = "tensorrt"
    FAKE = "fake"


class Level(Model):
    rate_hz: float = setting("rate at which the level runs while it is wanted", gt=0, le=240)
    deadline_ms: float = setting(
        "age at which its result is dropped",
        gt=0,
        le=5000,
        because="a result later than this is counted and never waited for",
    )
    models: tuple[Key, ...] = setting("models it runs, by name", min_length=1, max_length=8)


class Triggers(Model):
    """Level 1 → 2 and level 2 → 3, and those that do not depend on level 1."""

    confidence_below: float = setting("→ 2: uncertain detection", default=0.7, ge=0, le=1)
    velocity_above_m_s: float = setting("→ 2: fast object", default=0.5, ge=0, le=10)
    uncertainty_above: float = setting("→ 2: uncertain scene", default=0.3, ge=0, le=1)
    occlusion_above: float = setting("→ 3: heavy occlusion", default=0.5, ge=0, le=1)
    human_near_m: float = setting("→ 3: a person this near", default=2.5, gt=0, le=20)
    full_look_s: float = setting("→ 3: time since the last full look", default=5.0, gt=0, le=60)
    depth_change_m: float = setting("depth change in the workspace", default=0.1, gt=0, le=2)
    robot_speed_rad_s: float = setting("robot speed", default=1.5, gt=0, le=20)


class Perception(Model):
    name: Key = setting("name of the cascade, as its file")
    backend: Backend = setting("what runs the networks", default=Backend.ONNXRUNTIME)
    threads: int = setting("CPU threads of one inference", default=1, ge=1, le=64)
    levels: Table[Key, Level] = setting("level_1, level_2, level_3")
    triggers: Triggers = setting("when a heavier level is wanted", default=Triggers())
    carry_forward_ms: int = setting("how long a result stands in", default=200, ge=0, le=2000)
    stereo_rate_hz: float = setting("depth from stereo without GPU", default=10.0, gt=0, le=60)
