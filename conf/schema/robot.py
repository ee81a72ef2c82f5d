"""What an arm is: limits, rigid-body model, tool, cameras around it, what it picks and where to."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from conf.schema.base import (
    Key,
    Meters,
    Model,
    Position,
    Quaternion,
    Safe,
    SafetyModel,
    Table,
    Unit,
    Vector,
    setting,
)

MAX_JOINTS = 8
JointKey = Annotated[str, Field(pattern=r"^j[1-8]$")]
Radians = Annotated[float, Field(ge=-7.0, le=7.0)]
Joints = Annotated[tuple[Radians, ...], Field(min_length=1, max_length=MAX_JOINTS)]
Torques = Annotated[
    tuple[Annotated[float, Field(ge=0.1, le=1000)], ...],
    Field(min_length=1, max_length=MAX_JOINTS),
]
Counts = Annotated[
    tuple[Annotated[float, Field(ge=-1e9, le=1e9)], ...],
    Field(min_length=1, max_length=MAX_JOINTS),
]
# Lengths inside an arm. Wider ones are mistakes of a unit, and Tier 1 refuses them too.
Near = Annotated[float, Field(ge=-2.0, le=2.0)]
NearPosition = tuple[Near, Near, Near]
Acceleration = Annotated[float, Field(ge=-30.0, le=30.0)]
Inertia = Annotated[float, Field(ge=-100.0, le=100.0)]
LENGTH_ERROR_MAX = 1e-6


class ArmKind(StrEnum):
    PANDA = "panda"
    UR5E = "ur5e"


class Arm(Model):
    kind: ArmKind = setting("published model the arm comes from")
    title: str = setting("the arm for people", max_length=80)
    mount_height_m: float = setting("base frame above the floor", ge=0, le=3)


class JointLimits(SafetyModel):
    position_min_rad: Radians = setting(
        "lowest position",
        safe=Safe.HIGHER,
        because="beyond its range a joint hits its mechanical stop",
    )
    position_max_rad: Radians = setting(
        "highest position",
        safe=Safe.LOWER,
        because="beyond its range a joint hits its mechanical stop",
    )
    velocity_rad_s: float = setting(
        "fastest the joint may turn",
        safe=Safe.LOWER,
        ge=0.01,
        le=10,
        because="stopping distance grows with the square of speed",
    )
    acceleration_rad_s2: float = setting(
        "strongest acceleration commanded", safe=Safe.LOWER, ge=0.1, le=100
    )
    jerk_rad_s3: float = setting("strongest jerk commanded", safe=Safe.LOWER, ge=1, le=100_000)
    effort_nm: float = setting(
        "strongest torque commanded",
        safe=Safe.LOWER,
        ge=0.1,
        le=1000,
        because="torque above the rating breaks gears, or what the arm touches",
    )


class Limits(SafetyModel):
    joints: Table[JointKey, JointLimits] = setting("limits of each joint, j1 at the base")
    tool_speed_m_s: float = setting(
        "fastest the tool may move",
        safe=Safe.LOWER,
        ge=0.05,
        le=3.0,
        because="energy at contact grows with the square of tool speed",
        suggest=1.0,
    )

    @property
    def ordered(self) -> tuple[JointLimits, ...]:
        """Limits from the base to the tool."""
        return tuple(self.joints[key] for key in sorted(self.joints))


def _unit_length(name: str, parts: tuple[float, ...]) -> None:
    square = sum(part * part for part in parts)
    if not abs(square - 1.0) <= LENGTH_ERROR_MAX:
        raise ValueError(f"{name} must have length 1, it has {square**0.5:g}")


def _is_positive(inertia: tuple[float, float, float, float, float, float]) -> bool:
    """Sylvester's criterion, with a grain for bodies of no size."""
    xx, yy, zz, xy, xz, yz = inertia
    minor = xx * yy - xy * xy
    whole = xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)
    return all(part >= -1e-12 for part in (xx, yy, zz, minor, whole))


class Link(Model):
    """A body and its revolute joint. The joint's frame, given in the previous link's frame."""

    name: str = setting("body of the published model", max_length=64)
    pos_m: NearPosition = setting("origin")
    quat_wxyz: Quaternion = setting("orientation")
    axis: tuple[Unit, Unit, Unit] = setting("joint axis in the link's frame")
    mass_kg: float = setting("mass", ge=0, le=500)
    com_m: NearPosition = setting("centre of mass in the link's frame")
    inertia_kgm2: tuple[Inertia, Inertia, Inertia, Inertia, Inertia, Inertia] = setting(
        "ixx iyy izz ixy ixz iyz about the centre of mass, link axes"
    )
    armature_kgm2: float = setting("rotor inertia seen at the joint", ge=0, le=100)
    damping_nms_rad: float = setting("viscous damping", ge=0, le=1000)
    friction_nm: float = setting("dry friction", ge=0, le=1000)

    @model_validator(mode="after")
    def _is_a_body(self) -> Self:
        _unit_length("quat_wxyz", self.quat_wxyz)
        _unit_length("axis", self.axis)
        if not (self.mass_kg > 0 or self.armature_kgm2 > 0):
            raise ValueError("mass_kg or armature_kgm2 must be above 0: nothing resists the motor")
        if not _is_positive(self.inertia_kgm2):
            raise ValueError("inertia_kgm2 must be positive: turning the link would yield energy")
        return self


class ToolFrame(Model):
    pos_m: NearPosition = setting("origin in the last link's frame")
    quat_wxyz: Quaternion = setting("orientation in the last link's frame")

    @model_validator(mode="after")
    def _is_a_direction(self) -> Self:
        _unit_length("quat_wxyz", self.quat_wxyz)
        return self


class Sphere(SafetyModel):
    """A ball fixed to a link; together they cover the arm for the keep-out check."""

    link: int = setting("link it is fixed to, 0 at the base", safe=Safe.FIXED, ge=0, le=7)
    center_m: NearPosition = setting("centre in the link's frame", safe=Safe.FIXED)
    radius_m: float = setting("radius", safe=Safe.HIGHER, ge=0.001, le=1)


class RigidBodyModel(Model):
    """A serial chain of revolute joints, compiled from the published model by sim/."""

    name: str = setting("arm it was compiled from", max_length=64)
    gravity_m_s2: tuple[Acceleration, Acceleration, Acceleration] = setting(
        "gravity in the base frame"
    )
    links: tuple[Link, ...] = setting("from the base to the tool", min_length=1, max_length=8)
    tool: ToolFrame = setting("tool centre point")
    spheres: tuple[Sphere, ...] = setting("cover of the arm", min_length=1, max_length=64)


class CameraMount(Model):
    """A pin-hole camera in the robot's base frame."""

    pos_m: Position = setting("position")
    look_at_m: Position = setting("point in the middle of the picture")
    up: Vector = setting("direction that is up in the picture", default=(0.0, 0.0, 1.0))
    fovy_deg: float = setting("vertical field of view", gt=5, lt=170)
    baseline_m: float = setting(
        "shift along the picture's x axis: the right eye of a stereo pair", default=0.0, ge=0, le=1
    )


class Gripper(SafetyModel):
    """Suction tool."""

    pressure_max_kpa: float = setting(
        "vacuum above which the pump is switched off", safe=Safe.LOWER, ge=1, le=100, suggest=80
    )
    pressure_holding_kpa: float = setting(
        "vacuum from which a part counts as held",
        safe=Safe.HIGHER,
        ge=0.1,
        le=100,
        because="a part that is held loosely is thrown when the arm accelerates",
        suggest=30,
    )


class Thermal(SafetyModel):
    motor_limit_c: float = setting(
        "motor temperature from which speed is reduced", safe=Safe.LOWER, ge=30, le=120
    )
    motor_stop_c: float = setting(
        "motor temperature at which the arm stops",
        safe=Safe.LOWER,
        ge=30,
        le=130,
        because="hotter windings lose their insulation",
    )


class Collision(SafetyModel):
    torque_nm: Torques = setting(
        "external torque at each joint that counts as a collision",
        safe=Safe.LOWER,
        because="a person in the way feels this torque before the arm stops",
    )
    hold_ms: int = setting(
        "how long the torque must last to count", safe=Safe.LOWER, ge=1, le=100, suggest=5
    )


class Command(SafetyModel):
    expiry_ms: int = setting(
        "age at which a motion command is refused",
        safe=Safe.LOWER,
        ge=5,
        le=200,
        because="a stale command moves the arm through a scene that has changed",
        suggest=20,
    )
    future_ms: int = setting(
        "how far ahead of the clock a command may be stamped", safe=Safe.LOWER, ge=0, le=20
    )
    resume_ms: int = setting(
        "how long after a stale source motion may resume by itself",
        safe=Safe.LOWER,
        ge=0,
        le=5000,
        suggest=500,
    )


class Verdict(SafetyModel):
    stale_ms: int = setting(
        "age at which the safety model's verdict counts as missing", safe=Safe.LOWER, ge=10, le=1000
    )
    restrict_ratio: float = setting(
        "share of full speed while the verdict is missing or doubtful",
        safe=Safe.LOWER,
        ge=0.0,
        le=0.9,
    )


class Liveness(SafetyModel):
    timeout_ms: int = setting(
        "time without a correct answer to the challenge that stops the arm",
        safe=Safe.LOWER,
        ge=100,
        le=5000,
        because="a frozen supervisor looks alive until this time has passed",
        suggest=500,
    )


class Stop(SafetyModel):
    hold_ms: int = setting(
        "standstill after which a controlled stop becomes a hold", safe=Safe.LOWER, ge=0, le=5000
    )
    power_off_speed_rad_s: float = setting(
        "joint speed below which power may be cut without a jolt",
        safe=Safe.LOWER,
        ge=0.0001,
        le=1,
    )
    power_off_timeout_ms: int = setting(
        "longest wait for that speed before power is cut anyway", safe=Safe.LOWER, ge=10, le=10_000
    )


class Safety(SafetyModel):
    """What Tier 1 watches besides limits, workspace and people."""

    collision: Collision = setting("external torque")
    thermal: Thermal = setting("motor temperature")
    command: Command = setting("freshness of commands")
    verdict: Verdict = setting("the backup safety model")
    liveness: Liveness = setting("challenge and response of the supervisor")
    stop: Stop = setting("the stop ladder")


class Estimator(Model):
    """Standard deviations the Kalman filter assumes."""

    position_noise_rad: float = setting("encoder", ge=1e-9, le=0.1)
    velocity_noise_rad_s: float = setting("measured velocity", ge=1e-9, le=10)
    torque_noise_nm: float = setting("measured torque", ge=1e-9, le=100)
    acceleration_noise_rad_s2: float = setting("unmodelled acceleration", ge=1e-9, le=10_000)
    torque_drift_nm_s: float = setting("change of external torque", ge=1e-9, le=100_000)


class Drive(Model):
    """The motors as a CiA 402 bus sees them; unused with simulated drives."""

    nodes: tuple[Annotated[int, Field(ge=1, le=127)], ...] = setting("node id of each joint")
    counts_per_rad: Counts = setting(
        "encoder counts a radian of each joint; negative: the encoder counts backwards"
    )

    @model_validator(mode="after")
    def _drives_can_be_told_apart(self) -> Self:
        if len(set(self.nodes)) != len(self.nodes):
            raise ValueError("two drives with one node id would both answer")
        if any(abs(counts) < 1 for counts in self.counts_per_rad):
            raise ValueError("less than one count a radian makes positions meaningless")
        return self


class Tub(Model):
    """An open box on the table: the pick bin, the place tray."""

    center_m: tuple[Meters, Meters] = setting("its middle, x and y in the base frame")
    inner_m: tuple[Meters, Meters] = setting("inner size along x and y")
    wall_height_m: float = setting("height of its walls", gt=0, le=1)


class Robot(Model):
    name: Key = setting("name of the robot type, as its file")
    arm: Arm = setting("which arm")
    limits: Limits = setting("what each joint and the tool may do")
    model: RigidBodyModel = setting("rigid-body model, compiled")
    home_rad: Joints = setting("pose at rest")
    safety: Safety = setting("what stops or slows the arm")
    estimator: Estimator = setting("noise assumed by the state estimator")
    gripper: Gripper = setting("the suction tool")
    drive: Drive = setting("motors on a real bus")
    cameras: Table[Key, CameraMount] = setting("where the cameras are")
    pick: Tub = setting("bin parts are picked from")
    place: Tub = setting("tray parts are placed in")

    @model_validator(mode="after")
    def _one_entry_per_joint(self) -> Self:
        joints = len(self.model.links)
        keys = [f"j{i + 1}" for i in range(joints)]
        if sorted(self.limits.joints) != keys:
            raise ValueError(f"limits.joints must name exactly {keys[0]} … {keys[-1]}")
        per_joint = {
            "home_rad": self.home_rad,
            "safety.collision.torque_nm": self.safety.collision.torque_nm,
            "drive.nodes": self.drive.nodes,
            "drive.counts_per_rad": self.drive.counts_per_rad,
        }
        for name, values in per_joint.items():
            if len(values) != joints:
                raise ValueError(f"{name} has {len(values)} entries, the model has {joints} joints")
        return self
