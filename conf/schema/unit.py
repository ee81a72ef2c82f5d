"""What is true of one robot only: who it is, how it was calibrated, how worn it is."""

from typing import Annotated

from pydantic import Field

from conf.schema.base import Key, Model, Safe, SafetyModel, Table, Vector, setting

RobotId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=48)]


class CameraTrim(Model):
    """Correction of one camera mount, found by calibration."""

    shift_m: Vector = setting("added to the mount's position")
    rotation_rad: Vector = setting("rotation vector applied to the mount, base frame")


class Derating(SafetyModel):
    """Factors on the arm's limits; 1 leaves them."""

    velocity_ratio: float = setting("on joint and tool speed", safe=Safe.LOWER, ge=0.2, le=1)
    acceleration_ratio: float = setting(
        "on joint acceleration and jerk", safe=Safe.LOWER, ge=0.2, le=1
    )
    effort_ratio: float = setting("on joint torque", safe=Safe.LOWER, ge=0.2, le=1)


class RobotUnit(Model):
    robot_id: RobotId = setting(
        "name of this robot, its address in topics and certificates", suggest="osaka-01"
    )
    serial: str = setting("serial number of the arm, empty if simulated", default="", max_length=64)
    joint_offsets_rad: tuple[float, ...] = setting(
        "encoder zero offset of each joint; empty: none", default=(), max_length=8
    )
    cameras: Table[Key, CameraTrim] = setting("camera corrections", default={})
    derating: Derating = setting("what this robot's wear takes from its limits")
