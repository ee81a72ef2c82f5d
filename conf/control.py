"""The control section: the part of a configuration that Tier 1 reads, and nothing else.

File: 64 hexadecimal digits (sha256 of the next line), a line feed, canonical JSON, a line feed.
"""

import hashlib
from pathlib import Path
from typing import Any, Final

from conf.calibration import calibrated_home, calibrated_limits, calibrated_model
from conf.profile import canonical
from conf.schema import Config
from conf.schema.hardware import Cia402Actuation, SimActuation
from conf.schema.robot import JointLimits
from conf.schema.unit import Derating

VERSION: Final = 1


def control_section(config: Config) -> dict[str, Any]:
    """What Tier 1 is told, with this robot's derating and calibration applied."""
    robot, facility = config.robot, config.facility
    safety = robot.safety
    return {
        "version": VERSION,
        "config_hash": config.config_hash,
        "artifact_name": config.artifact_name,
        "robot_id": config.robot_id,
        "cycle": _cycle(config),
        "model": calibrated_model(config).model_dump(mode="json"),
        "limits": _limits(config),
        "workspace": facility.workspace.model_dump(mode="json"),
        "keep_out": [
            {"name": name, **facility.keep_out[name].model_dump(mode="json")}
            for name in sorted(facility.keep_out)
        ],
        "separation": facility.people.model_dump(mode="json"),
        "collision": safety.collision.model_dump(mode="json"),
        "gripper": robot.gripper.model_dump(mode="json"),
        "thermal": safety.thermal.model_dump(mode="json"),
        "command": safety.command.model_dump(mode="json"),
        "verdict": safety.verdict.model_dump(mode="json"),
        "liveness": safety.liveness.model_dump(mode="json"),
        "estimator": robot.estimator.model_dump(mode="json"),
        "stop": safety.stop.model_dump(mode="json"),
        "watchdog": {
            "check_ms": config.hardware.control.watchdog_check_ms,
            "timeout_ms": config.hardware.control.watchdog_timeout_ms,
        },
        "gpio": _gpio(config),
        "home_rad": list(calibrated_home(config)),
        "hal": _hal(config),
    }


def control_bytes(config: Config) -> bytes:
    line = canonical(control_section(config))
    return hashlib.sha256(line).hexdigest().encode() + b"\n" + line + b"\n"


def write_control(config: Config, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(path.suffix + ".part")
    partial.write_bytes(control_bytes(config))
    partial.replace(path)


def _cycle(config: Config) -> dict[str, Any]:
    control, realtime = config.hardware.control, config.hardware.realtime
    thread = realtime.threads["controld"]
    return {
        "period_us": control.period_us,
        "policy": thread.policy.value,
        "priority": thread.priority,
        "cpu": thread.cpus[0],
        "lock_memory": control.lock_memory,
        "realtime_required": realtime.required,
        "miss_window_cycles": control.miss_window_cycles,
        "miss_limit": control.miss_limit,
        "miss_reaction": control.miss_reaction.value,
    }


def _limits(config: Config) -> dict[str, Any]:
    limits, derating = config.robot.limits, config.unit.derating
    return {
        "joints": [_derated(joint, derating) for joint in calibrated_limits(config)],
        "tool_speed_m_s": limits.tool_speed_m_s * derating.velocity_ratio,
    }


def _derated(joint: JointLimits, derating: Derating) -> dict[str, float]:
    return {
        "position_min_rad": joint.position_min_rad,
        "position_max_rad": joint.position_max_rad,
        "velocity_rad_s": joint.velocity_rad_s * derating.velocity_ratio,
        "acceleration_rad_s2": joint.acceleration_rad_s2 * derating.acceleration_ratio,
        "jerk_rad_s3": joint.jerk_rad_s3 * derating.acceleration_ratio,
        "effort_nm": joint.effort_nm * derating.effort_ratio,
    }


def _gpio(config: Config) -> dict[str, Any] | None:
    gpio = config.hardware.control.gpio
    return gpio.model_dump(mode="json") if gpio is not None else None


def _hal(config: Config) -> dict[str, Any]:
    match config.hardware.actuation:
        case SimActuation() as arm:
            slow = {} if arm.slow_motion == 1 else {"slow_motion": arm.slow_motion}
            return {"kind": "sim", **slow}
        case Cia402Actuation() as bus:
            drive = config.robot.drive
            return {
                **bus.model_dump(mode="json"),
                "nodes": list(drive.nodes),
                "counts_per_rad": list(drive.counts_per_rad),
            }
