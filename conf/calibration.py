"""What calibration found out about one robot, applied to what its type says.

Encoder angles are what everything on the robot speaks of. A joint whose encoder reads q stands at
q + offset, so the offset is folded into the frames of the model and out of the limits; nothing
downstream needs to know of it.
"""

import math
from collections.abc import Sequence

from conf.schema import Config
from conf.schema.robot import CameraMount, JointLimits, RigidBodyModel

Vec = tuple[float, float, float]
Quat = tuple[float, float, float, float]


def joint_offsets(config: Config) -> tuple[float, ...]:
    return config.unit.joint_offsets_rad or (0.0,) * len(config.robot.model.links)


def calibrated_model(config: Config) -> RigidBodyModel:
    """The arm's model as its encoders see it."""
    links = tuple(
        link.model_copy(
            update={"quat_wxyz": _normal(_multiply(link.quat_wxyz, _rotation(link.axis, offset)))}
        )
        if offset
        else link
        for link, offset in zip(config.robot.model.links, joint_offsets(config), strict=True)
    )
    return config.robot.model.model_copy(update={"links": links})


def calibrated_limits(config: Config) -> tuple[JointLimits, ...]:
    """Joint limits in encoder angles."""
    return tuple(
        joint.model_copy(
            update={
                "position_min_rad": joint.position_min_rad - offset,
                "position_max_rad": joint.position_max_rad - offset,
            }
        )
        for joint, offset in zip(config.robot.limits.ordered, joint_offsets(config), strict=True)
    )


def calibrated_home(config: Config) -> tuple[float, ...]:
    return tuple(
        home - offset
        for home, offset in zip(config.robot.home_rad, joint_offsets(config), strict=True)
    )


def calibrated_camera(config: Config, name: str) -> CameraMount:
    """Where a camera really is on this robot; a stereo pair shares the trim of its left eye."""
    mount = config.robot.cameras[name]
    trim = config.unit.cameras.get(name)
    if trim is None and name == "stereo_right":
        trim = config.unit.cameras.get("stereo_left")
    if trim is None:
        return mount
    angle = math.sqrt(sum(part * part for part in trim.rotation_rad))
    turn: Quat = (1.0, 0.0, 0.0, 0.0)
    if angle > 0:
        x, y, z = (part / angle for part in trim.rotation_rad)
        turn = _rotation((x, y, z), angle)
    position = _add(mount.pos_m, trim.shift_m)
    sight = _rotate(turn, _add(mount.look_at_m, _negative(mount.pos_m)))
    return mount.model_copy(
        update={
            "pos_m": position,
            "look_at_m": _add(position, sight),
            "up": _rotate(turn, mount.up),
        }
    )


def _rotation(axis: Vec, angle: float) -> Quat:
    half = math.sin(angle / 2)
    return (math.cos(angle / 2), axis[0] * half, axis[1] * half, axis[2] * half)


def _multiply(a: Quat, b: Quat) -> Quat:
    return (
        a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
        a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
        a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
        a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
    )


def _normal(quat: Quat) -> Quat:
    length = math.sqrt(sum(part * part for part in quat))
    w, x, y, z = (part / length for part in quat)
    return (w, x, y, z)


def _rotate(quat: Quat, vector: Vec) -> Vec:
    w, x, y, z = quat
    back: Quat = (w, -x, -y, -z)
    _, a, b, c = _multiply(_multiply(quat, (0.0, *vector)), back)
    return (a, b, c)


def _add(a: Sequence[float], b: Sequence[float]) -> Vec:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def _negative(a: Vec) -> Vec:
    return (-a[0], -a[1], -a[2])
