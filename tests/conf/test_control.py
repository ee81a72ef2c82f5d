"""The control file: exactly what Tier 1 parses, behind its hash."""

import hashlib
import json
import math
from functools import cache

import numpy as np
import pytest

from conf.calibration import calibrated_camera, calibrated_home, calibrated_limits, calibrated_model
from conf.control import control_bytes, control_section, write_control
from conf.load import Composed
from conf.load import compose as compose_anew
from conf.schema.base import FrozenDict
from conf.schema.hardware import Cia402Actuation


@cache
def compose(**choices: str) -> Composed:
    return compose_anew(
        hardware=choices.get("hardware"),
        facility=choices.get("facility"),
        robot_id=choices.get("robot_id"),
    )


SECTIONS = {
    "artifact_name", "collision", "command", "config_hash", "cycle", "estimator", "gpio", "gripper",
    "hal", "home_rad", "keep_out", "limits", "liveness", "model", "robot_id", "separation", "stop",
    "thermal", "verdict", "version", "watchdog", "workspace",
}  # fmt: skip
KEYS = {
    "cycle": {
        "cpu", "lock_memory", "miss_limit", "miss_reaction", "miss_window_cycles", "period_us",
        "policy", "priority", "realtime_required",
    },
    "separation": {
        "human_speed_m_s", "intrusion_m", "max_ratio_distance_m", "reaction_s",
        "slow_ratio_unknown", "stale_ms", "uncertainty_m",
    },
    "watchdog": {"check_ms", "timeout_ms"},
    "command": {"expiry_ms", "future_ms", "resume_ms"},
    "stop": {"hold_ms", "power_off_speed_rad_s", "power_off_timeout_ms"},
    "model": {"gravity_m_s2", "links", "name", "spheres", "tool"},
}  # fmt: skip


def test_file_is_a_hash_line_and_a_line_of_canonical_json(composed):
    digest, line, rest = control_bytes(composed.config).split(b"\n")
    assert rest == b""
    assert digest.decode() == hashlib.sha256(line).hexdigest()
    data = json.loads(line)
    compact = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert json.loads(compact) == data
    assert list(data) == sorted(data)
    assert b": " not in line


def test_section_has_exactly_the_keys_that_tier_1_knows(composed):
    section = control_section(composed.config)
    assert set(section) == SECTIONS
    for name, keys in KEYS.items():
        assert set(section[name]) == keys
    assert section["config_hash"] == composed.hash
    assert section["robot_id"] == "osaka-01"
    assert section["hal"] == {"kind": "sim"}
    assert section["gpio"] is None
    assert [box["name"] for box in section["keep_out"]] == sorted(composed.config.facility.keep_out)


def test_real_drives_come_with_their_bus():
    section = control_section(compose(hardware="jetson_agx_orin").config)
    hal = section["hal"]
    assert hal["kind"] == "cia402"
    assert len(hal["nodes"]) == len(hal["counts_per_rad"]) == len(section["model"]["links"]) == 7
    assert section["gpio"] == {"chip": "/dev/gpiochip0", "line": 43}
    assert section["cycle"]["realtime_required"] is True


def test_written_file_replaces_the_old_one_at_once(composed, tmp_path):
    write_control(composed.config, tmp_path / "control.json")
    write_control(composed.config, tmp_path / "control.json")
    assert (tmp_path / "control.json").read_bytes() == control_bytes(composed.config)
    assert [file.name for file in tmp_path.iterdir()] == ["control.json"]


@pytest.mark.parametrize("hardware", ["sim_x86", "qemu_arm64", "jetson_agx_orin", "jetson_thor"])
@pytest.mark.parametrize("facility", ["osaka", "gdansk"])
def test_tier_1_accepts_what_is_exported(hardware, facility, tmp_path):
    shm = pytest.importorskip(
        "runtime.shm", reason="runtime/controld/build.sh has not been run", exc_type=ImportError
    )
    config = compose(hardware=hardware, facility=facility).config
    arguments = (str(tmp_path / "control.json"), str(tmp_path / "shm"), 1)
    actuation = config.hardware.actuation
    if isinstance(actuation, Cia402Actuation):
        # The file is read and checked before the bus, and this bus is nowhere.
        absent = actuation.model_copy(update={"interface": "nocan0"})
        board = config.hardware.model_copy(update={"actuation": absent})
        write_control(config.model_copy(update={"hardware": board}), tmp_path / "control.json")
        with pytest.raises(OSError, match="nocan0"):
            shm.Core(*arguments)
        return
    write_control(config, tmp_path / "control.json")
    assert shm.Core(*arguments).period_ns == 1_000_000


def test_derating_lowers_limits_in_the_control_file_only(composed):
    worn = compose(robot_id="osaka-02").config
    new = control_section(composed.config)["limits"]
    old = control_section(worn)["limits"]
    assert old["tool_speed_m_s"] == pytest.approx(0.8 * new["tool_speed_m_s"])
    for a, b in zip(old["joints"], new["joints"], strict=True):
        assert a["velocity_rad_s"] == pytest.approx(0.8 * b["velocity_rad_s"])
        assert a["acceleration_rad_s2"] == pytest.approx(0.7 * b["acceleration_rad_s2"])
        assert a["jerk_rad_s3"] == pytest.approx(0.7 * b["jerk_rad_s3"])
        assert a["effort_nm"] == b["effort_nm"]
    assert worn.robot.limits == composed.config.robot.limits


# ---- calibration


def rotation(quat):
    w, x, y, z = quat
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def about(axis, angle):
    half = math.sin(angle / 2)
    return rotation((math.cos(angle / 2), *(part * half for part in axis)))


def tool_position(model, angles):
    turn, place = np.eye(3), np.zeros(3)
    for link, angle in zip(model.links, angles, strict=True):
        place = place + turn @ np.array(link.pos_m)
        turn = turn @ rotation(link.quat_wxyz) @ about(link.axis, angle)
    return place + turn @ np.array(model.tool.pos_m)


def test_calibrated_model_at_encoder_angles_is_the_model_at_true_angles():
    config = compose(robot_id="osaka-02").config
    offsets = np.array(config.unit.joint_offsets_rad)
    encoder = np.array(config.robot.home_rad) + 0.1
    true = tool_position(config.robot.model, encoder + offsets)
    seen = tool_position(calibrated_model(config), encoder)
    assert seen == pytest.approx(true, abs=1e-12)
    assert tool_position(config.robot.model, encoder) != pytest.approx(true, abs=1e-6)


def test_calibrated_limits_are_the_same_true_angles():
    config = compose(robot_id="osaka-02").config
    for joint, plain, offset in zip(
        calibrated_limits(config),
        config.robot.limits.ordered,
        config.unit.joint_offsets_rad,
        strict=True,
    ):
        assert joint.position_min_rad + offset == pytest.approx(plain.position_min_rad)
        assert joint.position_max_rad + offset == pytest.approx(plain.position_max_rad)
    home = calibrated_home(config)
    assert home[0] + config.unit.joint_offsets_rad[0] == pytest.approx(config.robot.home_rad[0])


def test_uncalibrated_robot_is_as_its_type(composed):
    assert calibrated_model(composed.config) == composed.config.robot.model
    assert calibrated_limits(composed.config) == composed.config.robot.limits.ordered
    assert calibrated_camera(composed.config, "bin") == composed.config.robot.cameras["bin"]


def test_camera_is_shifted_and_turned_by_its_trim():
    config = compose(robot_id="osaka-02").config
    plain, found = config.robot.cameras["cell"], calibrated_camera(config, "cell")
    assert found.pos_m == pytest.approx(np.add(plain.pos_m, [0.004, -0.002, 0.006]))
    before = np.array(plain.look_at_m) - np.array(plain.pos_m)
    after = np.array(found.look_at_m) - np.array(found.pos_m)
    trim = np.array(config.unit.cameras["cell"].rotation_rad)
    angle = float(np.linalg.norm(trim))
    assert after == pytest.approx(about(trim / angle, angle) @ before)
    assert np.linalg.norm(after) == pytest.approx(np.linalg.norm(before))


def test_right_eye_follows_the_left_one():
    config = compose(robot_id="osaka-02").config
    trim = config.unit.cameras["cell"]
    unit = config.unit.model_copy(update={"cameras": FrozenDict({"stereo_left": trim})})
    config = config.model_copy(update={"unit": unit})
    left, right = (calibrated_camera(config, name) for name in ("stereo_left", "stereo_right"))
    assert left.pos_m == right.pos_m
    assert right.baseline_m == config.robot.cameras["stereo_right"].baseline_m
