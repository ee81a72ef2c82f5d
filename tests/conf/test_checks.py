"""Each cross-check accepts what fits and refuses what does not."""

import pytest

from conf.canbus import Bus, classical_bits, cycle_us, fd_bits
from conf.checks import CHECKS, cross_check
from conf.load import Composed, compose, options_of
from conf.mistake import ConfigError


def problems(composed: Composed, **changes: object) -> dict[str, str]:
    """Path → what was got, of everything wrong after the changes (dotted path → value)."""
    config = composed.config
    for path, value in changes.items():
        config = changed(config, path.split("__"), value)
    return {problem.path: problem.got for problem in cross_check(config)}


def changed(model, keys, value):
    if not keys:
        return value
    if isinstance(model, dict):
        return type(model)({**model, keys[0]: changed(model[keys[0]], keys[1:], value)})
    inner = changed(getattr(model, keys[0]), keys[1:], value)
    return model.model_copy(update={keys[0]: inner})


@pytest.fixture(scope="module")
def orin() -> Composed:
    return compose(hardware="jetson_agx_orin")


@pytest.fixture(scope="module")
def thor() -> Composed:
    return compose(hardware="jetson_thor")


def test_shipped_profiles_have_no_problem(composed, orin, thor):
    assert problems(composed) == problems(orin) == problems(thor) == {}


def test_every_check_is_pure_and_named():
    assert len({check.__name__ for check in CHECKS}) == len(CHECKS)


def test_budget_of_the_specification_is_in_the_profile(orin):
    compute = orin.config.hardware.compute
    assert compute.fp16_tflops == 275
    assert {name: row.tflops for name, row in compute.shares.items()} == {
        "level_1": 3.5,
        "level_2": 40,
        "level_3": 650,
        "policy": 20,
        "safety": 10,
        "planning": 5,
    }


def test_level_3_does_not_fit_the_orin(tree):
    line = tree.replace("hardware/jetson_agx_orin.yaml", "placement: edge", "placement: robot")
    [mistake] = tree.mistakes(hardware="jetson_agx_orin")
    assert mistake.path == "hardware.compute.shares.level_3.tflops"
    assert mistake.got.startswith("728.5 TFLOPS when all fire at once (")
    assert mistake.allowed == "at most 275, the board's"
    assert mistake.origin.file == "conf/hardware/jetson_agx_orin.yaml"
    assert mistake.origin.line is not None
    assert mistake.origin.line < line
    assert "model_by_model" in mistake.suggestion


def test_level_3_model_by_model_must_meet_its_deadline(orin):
    name = "hardware__compute__shares__level_3"
    row = orin.config.hardware.compute.shares["level_3"]
    alone = row.model_copy(update={"placement": "robot", "execution": "model_by_model"})
    alone = type(row).model_validate_json(alone.model_dump_json(warnings=False))
    [(path, got)] = problems(orin, **{name: alone}).items()
    assert path == "hardware.compute.shares.level_3.execution"
    assert got == "662 ms a pass on the 196.5 TFLOPS that are left"
    slower = {
        name: alone,
        "perception__levels__level_3__rate_hz": 1.0,
        "perception__levels__level_3__deadline_ms": 700.0,
    }
    assert problems(orin, **slower) == {}


def test_level_3_fits_the_thor_with_everything_firing(thor):
    assert thor.config.hardware.compute.shares["level_3"].placement.value == "robot"


def test_missing_share_is_a_problem(composed):
    shares = dict(composed.config.hardware.compute.shares)
    del shares["policy"]
    found = problems(composed, hardware__compute__shares=shares)
    assert found == {"hardware.compute.shares": "no row policy"}


def test_row_must_be_the_sum_of_its_models(orin):
    found = problems(orin, hardware__compute__shares__level_1__tflops=3.0)
    assert found == {"hardware.compute.shares.level_1.tflops": "3"}


def test_level_faster_than_its_share_or_camera_is_a_problem(composed):
    found = problems(composed, perception__levels__level_1__rate_hz=60.0)
    assert found == {"perception.levels.level_1.rate_hz": "60"}


@pytest.mark.parametrize(
    ("thread", "change", "got"),
    [
        ("policyd", {"cpus": (0,)}, "[0] with isolated: true"),
        ("policyd", {"cpus": ()}, "[] with isolated: true"),
        ("visiond", {"cpus": (9,)}, "[9] without isolated: true"),
        ("telemetryd", {"cpus": (12,)}, "[12]"),
    ],
)
def test_affinity_outside_the_isolated_cpus_is_a_problem(orin, thread, change, got):
    row = orin.config.hardware.realtime.threads[thread].model_copy(update=change)
    found = problems(orin, **{f"hardware__realtime__threads__{thread}": row})
    assert found == {f"hardware.realtime.threads.{thread}.cpus": got}


def test_isolated_cpu_that_the_board_lacks_is_a_problem(orin):
    found = problems(orin, hardware__realtime__isolated_cpus=(8, 9, 10, 11, 12))
    assert "hardware.realtime.isolated_cpus" in found


def test_watchdog_on_the_loops_cpu_is_a_problem(orin):
    found = problems(orin, hardware__realtime__threads__controld_watchdog__cpus=(11,))
    assert found == {
        "hardware.realtime.threads.controld_watchdog.cpus": "[11], shared with controld"
    }


@pytest.mark.parametrize("priority", [0, 99])
def test_priority_that_the_loop_cannot_preempt_or_the_kernel_refuses(orin, priority):
    found = problems(orin, hardware__realtime__threads__policyd__priority=priority)
    assert list(found) == ["hardware.realtime.threads.policyd.priority"]


def test_loop_on_two_cpus_is_a_problem(orin):
    found = problems(orin, hardware__realtime__threads__controld__cpus=(9, 11))
    assert found == {"hardware.realtime.threads.controld.cpus": "[9, 11]"}


def test_loop_without_a_row_is_a_problem(orin):
    found = problems(orin, hardware__realtime__threads={})
    assert found == {"hardware.realtime.threads": "no row controld"}


def test_artifact_larger_than_a_slot_is_a_problem(composed):
    found = problems(composed, ota__artifact_max_mib=5000)
    assert found == {"ota.artifact_max_mib": "5000 MiB"}


def test_partitions_larger_than_the_disk_are_a_problem(composed):
    found = problems(composed, hardware__storage__disk_mib=8000)
    assert found == {"hardware.storage.disk_mib": "8000 MiB"}


def test_spool_larger_than_half_the_data_partition_is_a_problem(composed):
    found = problems(composed, hardware__storage__data_mib=700)
    assert found == {"telemetry.spool.max_mib": "500 MiB"}


def test_outage_that_the_spool_cannot_bridge_is_a_problem(composed):
    found = problems(composed, facility__network__outage_h=500.0)
    assert list(found) == ["facility.network.outage_h"]


def test_telemetry_above_the_uplink_is_a_problem(composed):
    found = problems(composed, facility__network__uplink_kbps=8.0)
    assert len(found) == 1
    [(path, got)] = found.items()
    assert path.startswith("telemetry.streams.")
    assert "kbit/s of telemetry in all" in got


def test_seven_axes_at_1_khz_do_not_fit_classical_can(orin):
    found = problems(orin, hardware__actuation__fd=False)
    assert found == {"hardware.actuation.fd": "7 axes that need 1945 µs of the wire each cycle"}


def test_seven_axes_at_1_khz_fit_can_fd(orin):
    actuation = orin.config.hardware.actuation
    assert actuation.kind == "cia402"
    assert actuation.fd
    slow = problems(orin, hardware__actuation__data_bitrate_bps=1_000_000)
    assert list(slow) == ["hardware.actuation.data_bitrate_bps"]


def test_frame_lengths_are_those_of_the_standard():
    # 135 is the well-known worst case of a classical frame of eight bytes, gap included.
    assert classical_bits(8) == 135
    assert classical_bits(0) == 55
    # The figures that Tier 1's own test states for the longest FD frame.
    assert fd_bits(64) == (33, 517 + 129 + 25 + 1 + 7 + 1)


def test_can_time_grows_with_axes_and_falls_with_bitrate():
    bus = Bus(fd=True, bitrate_bps=1_000_000, data_bitrate_bps=5_000_000)
    fast = Bus(fd=True, bitrate_bps=1_000_000, data_bitrate_bps=8_000_000)
    assert cycle_us(6, bus) < cycle_us(7, bus)
    assert cycle_us(7, fast) < cycle_us(7, bus)


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("robot__limits__joints__j2__position_min_rad", 5.0, "position_min_rad"),
        ("facility__workspace__min_m", (0.9, -0.6, 0.0), "facility.workspace.min_m[0]"),
        ("facility__keep_out__table__max_m", (-1.0, 0.5, 0.0), "facility.keep_out.table.min_m[0]"),
        ("robot__safety__thermal__motor_limit_c", 90.0, "robot.safety.thermal.motor_limit_c"),
        ("robot__gripper__pressure_holding_kpa", 90.0, "robot.gripper.pressure_holding_kpa"),
        ("robot__home_rad", (0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0), "robot.home_rad[3]"),
        ("robot__pick__center_m", (2.0, 0.0), "robot.pick.center_m[0]"),
        ("unit__joint_offsets_rad", (0.1,), "unit.joint_offsets_rad"),
        ("policy__rate_hz", 50.0, "robot.safety.command.expiry_ms"),
        ("hardware__control__miss_limit", 2000, "hardware.control.miss_limit"),
        ("robot__limits__joints__j1__acceleration_rad_s2", 0.2, "j1.acceleration_rad_s2"),
    ],
)
def test_settings_that_contradict_each_other(composed, path, value, problem):
    assert any(problem in found for found in problems(composed, **{path: value}))


@pytest.mark.parametrize(("expiry_ms", "fits"), [(14, False), (15, True), (20, True)])
def test_command_must_live_for_one_and_a_half_periods(composed, expiry_ms, fits):
    found = problems(composed, robot__safety__command__expiry_ms=expiry_ms)
    assert (found == {}) == fits
    assert fits or found == {
        "robot.safety.command.expiry_ms": "14 ms with a command every 10 ms",
    }


def test_mode_that_decides_more_often_than_it_commands_is_a_problem(composed):
    nominal = composed.config.modes.table["nominal"].behaviour
    assert nominal.policy_rate_hz == composed.config.policy.rate_hz
    found = problems(composed, modes__table__nominal__behaviour__policy_rate_hz=101)
    assert found == {"modes.table.nominal.behaviour.policy_rate_hz": "101"}


def test_more_boxes_than_tier_1_has_room_for_are_a_problem(composed):
    box = composed.config.facility.keep_out["table"]
    found = problems(composed, facility__keep_out={f"box_{i}": box for i in range(17)})
    assert found == {"facility.keep_out": "17 boxes"}


def test_camera_without_a_mount_is_a_problem(composed):
    mounts = dict(composed.config.robot.cameras)
    del mounts["bin"]
    found = problems(composed, robot__cameras=mounts)
    assert found == {"hardware.cameras.streams.bin": "a camera without a mount"}


def test_missing_stream_and_unequal_eyes_are_problems(composed):
    streams = dict(composed.config.hardware.cameras.streams)
    del streams["cell"]
    found = problems(composed, hardware__cameras__streams=streams)
    assert "hardware.cameras.streams" in found
    found = problems(composed, hardware__cameras__streams__stereo_right__width_px=200)
    assert found == {"hardware.cameras.streams.stereo_right.width_px": "200×120"}


def test_problem_of_a_cross_check_carries_the_line_of_the_setting(tree):
    line = tree.replace("ota/default.yaml", "artifact_max_mib: 3500", "artifact_max_mib: 9000")
    text = tree.text_of_refusal()
    assert text.startswith(f"conf/ota/default.yaml:{line}  ota.artifact_max_mib\n  got 9000 MiB")
    assert text.endswith("1 problem; nothing was composed")


def test_replayed_parts_are_only_picked_by_a_bare_arm(tree):
    """The plant of the whole cell has parts of its own, elsewhere than those of a recording."""
    for hardware, override in (
        ("sim_x86", "hardware.actuation.plant=dynamics"),
        ("qemu_arm64", "hardware.actuation.plant=mujoco"),
    ):
        with pytest.raises(ConfigError, match="see one cell and touch another"):
            tree.compose(hardware=hardware, overrides=[override])


def test_replay_has_no_cameras(tree):
    wish = "hardware.cameras.streams={cell: {width_px: 160, height_px: 120, rate_hz: 30}}"
    with pytest.raises(ConfigError, match="nobody would deliver these pictures"):
        tree.compose(hardware="qemu_arm64", overrides=[wish])


def test_no_real_arm_can_be_slowed(tree):
    with pytest.raises(ConfigError, match="slow_motion"):
        tree.compose(hardware="jetson_agx_orin", overrides=["hardware.actuation.slow_motion=2"])


@pytest.mark.parametrize("facility", options_of("facility"))
def test_a_grippers_vacuum_is_counted_from_that_of_the_sites_arm(facility):
    config = compose(facility=facility).config
    assert config.alerts.gripper_full_kpa == config.robot.gripper.pressure_max_kpa
