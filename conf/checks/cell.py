"""What must hold between the arm, its cell and its cameras."""

from collections.abc import Iterator
from typing import Final

from conf.mistake import Mistake, unplaced
from conf.schema import Config
from conf.schema.hardware import CameraSource, Plant, SimActuation

STOP_MAX_S: Final = 5.0
KEEP_OUTS_MAX: Final = 16


def check_ranges(config: Config) -> Iterator[Mistake]:
    """Lower ends lie below upper ends."""
    robot, facility = config.robot, config.facility
    for key, joint in robot.limits.joints.items():
        if not joint.position_min_rad < joint.position_max_rad:
            yield _empty(f"robot.limits.joints.{key}.position_min_rad", joint.position_min_rad)
    boxes = {"facility.workspace": facility.workspace}
    keep_out = {f"facility.keep_out.{name}": box for name, box in facility.keep_out.items()}
    for path, box in {**boxes, **keep_out}.items():
        for axis in range(3):
            if not box.min_m[axis] < box.max_m[axis]:
                yield _empty(f"{path}.min_m[{axis}]", box.min_m[axis])
    thermal, gripper = robot.safety.thermal, robot.gripper
    if not thermal.motor_limit_c < thermal.motor_stop_c:
        yield _empty("robot.safety.thermal.motor_limit_c", thermal.motor_limit_c)
    if not gripper.pressure_holding_kpa < gripper.pressure_max_kpa:
        yield _empty("robot.gripper.pressure_holding_kpa", gripper.pressure_holding_kpa)


def _empty(path: str, value: float) -> Mistake:
    return unplaced(
        path,
        f"{value:g}",
        "below the upper value beside it",
        "nothing lies in a range that ends before it begins",
        "exchange the two",
    )


def check_reach(config: Config) -> Iterator[Mistake]:
    """Home lies within the limits, bin and tray within the workspace."""
    robot, workspace = config.robot, config.facility.workspace
    for index, (home, joint) in enumerate(zip(robot.home_rad, robot.limits.ordered, strict=True)):
        if not joint.position_min_rad <= home <= joint.position_max_rad:
            yield unplaced(
                f"robot.home_rad[{index}]",
                f"{home:g}",
                f"between {joint.position_min_rad:g} and {joint.position_max_rad:g}",
                "the arm could never go home",
                f"robot.limits.joints.j{index + 1} holds the limits",
            )
    for name, tub in {"pick": robot.pick, "place": robot.place}.items():
        for axis in range(2):
            low = tub.center_m[axis] - tub.inner_m[axis] / 2
            high = tub.center_m[axis] + tub.inner_m[axis] / 2
            if not workspace.min_m[axis] <= low <= high <= workspace.max_m[axis]:
                yield unplaced(
                    f"robot.{name}.center_m[{axis}]",
                    f"{low:.2f} to {high:.2f} m",
                    f"inside {workspace.min_m[axis]:g} to {workspace.max_m[axis]:g}, the workspace",
                    "parts at its edge could not be reached",
                    "move the box, or widen facility.workspace up to the base's",
                )


def check_stopping(config: Config) -> Iterator[Mistake]:
    """A joint at full speed can be stopped in a time that is a stop."""
    wear = config.unit.derating
    for key, joint in config.robot.limits.joints.items():
        acceleration = joint.acceleration_rad_s2 * wear.acceleration_ratio
        jerk = joint.jerk_rad_s3 * wear.acceleration_ratio
        stop_s = joint.velocity_rad_s * wear.velocity_ratio / acceleration + 2 * acceleration / jerk
        if stop_s > STOP_MAX_S:
            yield unplaced(
                f"robot.limits.joints.{key}.acceleration_rad_s2",
                f"{stop_s:.1f} s to stop from {joint.velocity_rad_s:g} rad/s",
                f"at most {STOP_MAX_S:g} s",
                "the shield plans every motion so that it can still be stopped",
                "a lower velocity_rad_s, or a higher acceleration_rad_s2 or jerk_rad_s3",
            )


def check_keep_outs(config: Config) -> Iterator[Mistake]:
    count = len(config.facility.keep_out)
    if count > KEEP_OUTS_MAX:
        yield unplaced(
            "facility.keep_out",
            f"{count} boxes",
            f"at most {KEEP_OUTS_MAX}",
            "Tier 1 allocates nothing, so its tables are of a fixed size",
            "join boxes that touch",
        )


def check_model(config: Config) -> Iterator[Mistake]:
    joints = len(config.robot.model.links)
    for index, sphere in enumerate(config.robot.model.spheres):
        if sphere.link >= joints:
            yield unplaced(
                f"robot.model.spheres[{index}].link",
                str(sphere.link),
                f"below {joints}",
                "there is no such link",
                "compile the model again",
            )
    offsets = config.unit.joint_offsets_rad
    if offsets and len(offsets) != joints:
        yield unplaced(
            "unit.joint_offsets_rad",
            f"{len(offsets)} offsets",
            f"{joints}, one a joint, or none",
            "a joint would be calibrated with another one's offset",
            "calibrate again with this arm",
        )


def check_cameras(config: Config) -> Iterator[Mistake]:
    """Every stream has a mount; the cell, the bin and both eyes of the stereo pair are there."""
    streams, mounts = config.hardware.cameras.streams, config.robot.cameras
    if config.hardware.cameras.source is CameraSource.REPLAY:
        yield from _no_streams(config)
        return
    for name in ("cell", "bin", "stereo_left", "stereo_right"):
        if name not in streams:
            yield unplaced(
                "hardware.cameras.streams",
                f"no stream {name}",
                "streams cell, bin, stereo_left, stereo_right",
                "perception looks through these four",
                f"{name}: {{width_px: 160, height_px: 120, rate_hz: 30}}",
            )
    for name in (*streams, *config.unit.cameras):
        if name not in mounts:
            place = "hardware.cameras.streams" if name in streams else "unit.cameras"
            yield unplaced(
                f"{place}.{name}",
                "a camera without a mount",
                f"one of {', '.join(mounts)}",
                "a picture from an unknown place says nothing about where people are",
                f"robot: cameras: {name}: {{pos_m: …, look_at_m: …, fovy_deg: …}}",
            )
    left, right = streams.get("stereo_left"), streams.get("stereo_right")
    if left and right and (left.width_px, left.height_px) != (right.width_px, right.height_px):
        yield unplaced(
            "hardware.cameras.streams.stereo_right.width_px",
            f"{right.width_px}×{right.height_px}",
            f"{left.width_px}×{left.height_px}, as the left eye",
            "depth comes from comparing the two pictures pixel by pixel",
            f"width_px: {left.width_px}",
        )


def _no_streams(config: Config) -> Iterator[Mistake]:
    """Replayed detections stand in for cameras: there are no pictures, and unit files move none."""
    if config.hardware.cameras.streams:
        names = ", ".join(config.hardware.cameras.streams)
        yield unplaced(
            "hardware.cameras.streams",
            f"{names} with source: replay",
            "no stream",
            "nobody would deliver these pictures, and whoever waits for one waits for ever",
            "streams: {}",
        )


def check_stand_ins(config: Config) -> Iterator[Mistake]:
    """An arm without a cell has nothing to show to cameras, and replayed parts are only picked
    where the plant takes the replay's word for what the cup touches."""
    hardware = config.hardware
    replayed = hardware.cameras.source is CameraSource.REPLAY
    arm = hardware.actuation
    plant = arm.plant if isinstance(arm, SimActuation) else None
    bare = plant is Plant.DYNAMICS
    if bare == replayed:
        return
    yield unplaced(
        "hardware.cameras.source",
        f"{hardware.cameras.source.value} with {f'plant: {plant}' if plant else 'a real arm'}",
        "replay exactly where actuation.plant is dynamics",
        "the robot would see one cell and touch another",
        "source: replay" if bare else "source: sim, or v4l2 on a real arm",
    )


def check_rates(config: Config) -> Iterator[Mistake]:
    """Perception is no faster than its camera; a command outlives the wait for the next.

    Commands come at the policy's rate in every mode; a mode may only slow what is decided.
    """
    camera = config.hardware.cameras.streams.get("cell")
    for name, level in config.perception.levels.items():
        if camera is not None and level.rate_hz > camera.rate_hz:
            yield unplaced(
                f"perception.levels.{name}.rate_hz",
                f"{level.rate_hz:g}",
                f"at most {camera.rate_hz:g}, the rate of camera cell",
                "it would look at the same picture twice",
                f"rate_hz: {camera.rate_hz:g}",
            )
    expiry_ms, period_ms = config.robot.safety.command.expiry_ms, 1000 / config.policy.rate_hz
    if expiry_ms < 1.5 * period_ms:
        yield unplaced(
            "robot.safety.command.expiry_ms",
            f"{expiry_ms} ms with a command every {period_ms:g} ms",
            f"at least {1.5 * period_ms:g}",
            "the arm would brake between any two commands",
            "policy.rate_hz: 100",
        )
    for name, mode in config.modes.table.items():
        if mode.behaviour.policy_rate_hz > config.policy.rate_hz:
            yield unplaced(
                f"modes.table.{name}.behaviour.policy_rate_hz",
                f"{mode.behaviour.policy_rate_hz}",
                f"at most {config.policy.rate_hz:g}, policy.rate_hz",
                "what is decided between two commands reaches nobody",
                f"policy_rate_hz: {config.policy.rate_hz:g}",
            )
