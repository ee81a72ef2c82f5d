"""The perception cascade: levels, networks, rates, deadlines, triggers, and what runs them."""

from enum import StrEnum

from conf.schema.base import Key, Model, Table, setting


class Backend(StrEnum):
    ONNXRUNTIME = "onnxruntime"
    TENSORRT = "tensorrt"
    FAKE = "fake"


class Level(Model):
    rate_hz: float = setting("rate at which the level runs while it is wanted", ge=0.1, le=240)
    deadline_ms: float = setting(
        "age at which its result is dropped",
        gt=0,
        le=5000,
        because="a result later than this is counted and never waited for",
    )
    models: tuple[Key, ...] = setting("models it runs, by name", min_length=1, max_length=16)
    network: Key = setting("network that holds these models as named outputs")
    burst: int = setting(
        "runs it may save up while it is not wanted, so that it can answer a new cue at once",
        default=1,
        ge=1,
        le=10,
    )
    latency_ms: float = setting(
        "how long a run takes on the board: the virtual time of a lock-step run",
        gt=0,
        le=5000,
    )
    new_score: float = setting("score from which it makes a new track", gt=0, lt=1)
    keep_score: float = setting("score from which it keeps a track alive", gt=0, lt=1)
    changed_score: float = setting(
        "score from which it makes a new track where depth has changed as well; 1: never",
        default=1.0,
        gt=0,
        le=1,
    )


class Network(Model):
    """A network in a file, and its card."""

    card: str = setting(
        "card of the network, from the installation's root",
        pattern=r"^[A-Za-z0-9_./-]+\.yaml$",
        max_length=200,
    )


class Triggers(Model):
    """Level 1 → 2, any → 3, and those that owe level 1 nothing."""

    confidence_below: float = setting("→ 2: uncertain detection", default=0.7, ge=0, le=1)
    velocity_above_m_s: float = setting("→ 2: fast object", default=0.5, ge=0, le=10)
    uncertainty_above: float = setting("→ 2: doubt about a distance, m", default=0.3, ge=0, le=1)
    occlusion_above: float = setting("→ 3: heavy occlusion", default=0.5, ge=0, le=1)
    human_near_m: float = setting("→ 3: a person this near", default=4.0, gt=0, le=20)
    human_confidence: float = setting(
        "→ 3: from this score on, what level 1 sees counts as a person", default=0.5, ge=0, le=1
    )
    human_look_s: float = setting(
        "→ 3: how old a full look may be with a known person nearby", default=0.4, ge=0, le=5
    )
    full_look_s: float = setting("→ 3: time since the last full look", default=5.0, gt=0, le=60)
    full_look_moving_s: float = setting(
        "→ 3: the same while the robot is fast", default=2.0, gt=0, le=60
    )
    robot_speed_rad_s: float = setting("joint speed that counts as fast", default=1.0, gt=0, le=20)
    depth_change_m: float = setting(
        "→ 3: how much nearer than the background counts as changed", default=0.10, gt=0, le=2
    )
    change_px: int = setting(
        "→ 3: changed pixels that nobody known explains", default=60, ge=4, le=1_000_000
    )


class Restart(Model):
    """What follows when the inference worker is lost."""

    first_delay_ms: int = setting("pause before the first new start", default=200, ge=1, le=60_000)
    max_delay_ms: int = setting("longest pause", default=10_000, ge=1, le=600_000)
    offline_after: int = setting(
        "losses in a row after which the device counts as gone", default=3, ge=1, le=100
    )
    stuck_ms: int = setting("age of a run that means a hang", default=2_000, ge=50, le=600_000)
    load_s: int = setting(
        "time to load the networks; TensorRT builds its engines then", default=300, ge=1, le=3600
    )


class Parts(Model):
    """Detection in the bin."""

    network: Key = setting("network that finds parts", default="parts")
    rate_hz: float = setting("looks into the bin a second", default=10.0, ge=0.1, le=240)
    deadline_ms: float = setting("age at which a result is dropped", default=100.0, gt=0, le=5000)
    latency_ms: float = setting("how long a run takes", default=5.0, gt=0, le=5000)
    score: float = setting("score from which something is a part", default=0.4, gt=0, lt=1)
    keep_ms: int = setting("how long a part is remembered unseen", default=600, ge=0, le=10_000)


class Perception(Model):
    name: Key = setting("name of the cascade, as its file")
    backend: Backend = setting("what runs the networks", default=Backend.ONNXRUNTIME)
    threads: int = setting("CPU threads of one inference", default=1, ge=1, le=64)
    networks: Table[Key, Network] = setting("networks by name")
    levels: Table[Key, Level] = setting("level_1, level_2, level_3")
    parts: Parts = setting("detection in the bin", default=Parts())
    triggers: Triggers = setting("when a heavier level is wanted", default=Triggers())
    carry_forward_ms: int = setting("how long a result stands in", default=200, ge=0, le=2000)
    stuck_camera_ms: int = setting(
        "time without a new picture after which a camera is blind",
        default=500,
        ge=50,
        le=10_000,
        because="a camera that repeats its last picture shows a workspace that was, "
        "not one that is",
    )
    stereo_rate_hz: float = setting("depth from stereo without GPU", default=10.0, ge=0.1, le=60)
    restart: Restart = setting("the inference worker", default=Restart())
    edge_address: str = setting(
        "host:port of networks placed off the robot (compute share with placement edge)",
        default="127.0.0.1:8990",
        max_length=200,
    )
