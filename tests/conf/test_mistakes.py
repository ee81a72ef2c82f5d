"""What the writer of a wrong file reads."""

import pytest

from conf.load import compose
from conf.mistake import ConfigError


def test_five_parts_of_a_mistake(tree):
    line = tree.replace("hardware/sim_x86.yaml", "period_us: 1000", "period_us: 0")
    assert tree.text_of_refusal() == (
        f"conf/hardware/sim_x86.yaml:{line}  hardware.control.period_us\n"
        "  got 0, must be a whole number between 500 and 10000\n"
        "  because shield, estimator and drives are all dimensioned for this period\n"
        "  try  period_us: 1000\n"
        "\n"
        "1 problem; nothing was composed; cross-checks follow once these are gone"
    )


def test_all_mistakes_come_at_once_each_with_its_line(tree):
    lines = {
        "conf/hardware/sim_x86.yaml": tree.replace(
            "hardware/sim_x86.yaml", "miss_limit: 200", "miss_limit: many"
        ),
        "conf/robot/panda.yaml": tree.replace(
            "robot/panda.yaml", "tool_speed_m_s: 1.0", "tool_speed_m_s: .nan"
        ),
        "conf/policy/default.yaml": tree.replace(
            "policy/default.yaml", "rate_hz: 100", "rate_hertz: 100"
        ),
        "conf/ota/default.yaml": tree.replace(
            "ota/default.yaml", "soak_minutes: 240", "soak_minutes: 0"
        ),
    }
    found = {mistake.origin.file: mistake.origin.line for mistake in tree.mistakes()}
    # rate_hz has a default, so a misspelt one is one mistake: the unknown key.
    assert found.items() >= lines.items()


def test_misspelt_key_names_the_nearest(tree):
    line = tree.replace("robot/panda.yaml", "home_rad:", "home_rd:")
    text = tree.text_of_refusal()
    assert f"conf/robot/panda.yaml:{line}  robot.home_rd\n  got the unknown key home_rd" in text
    assert "try  home_rad: [0, " in text


def test_missing_key_says_what_belongs_there(tree):
    tree.replace("robot/panda.yaml", "gripper: {pressure_max_kpa: 80.0, ", "gripper: {")
    [mistake] = tree.mistakes()
    assert mistake.path == "robot.gripper.pressure_max_kpa"
    assert mistake.got == "nothing"
    assert mistake.origin.file == "conf/robot/panda.yaml"
    assert mistake.suggestion == "pressure_max_kpa: 80"


def test_unknown_option_of_a_group_lists_the_choices():
    with pytest.raises(ConfigError) as caught:
        compose(hardware="jetson_orin")
    [mistake] = caught.value.mistakes
    assert mistake.got == "jetson_orin"
    boards = "jetson_agx_orin, jetson_thor, qemu_arm64, qemu_arm64_icount, sim_x86"
    assert mistake.allowed == f"one of {boards}"
    assert mistake.suggestion == "hardware=jetson_agx_orin"


def test_unknown_option_in_a_defaults_list_lists_the_choices(tree):
    line = tree.replace("facility/gdansk.yaml", "override /robot: ur5e", "override /robot: ur7e")
    assert tree.text_of_refusal(facility="gdansk") == (
        f"conf/facility/gdansk.yaml:{line}  defaults\n"
        "  got robot/ur7e, must be one of panda, ur5e\n"
        "  because the choice names a file of the group\n"
        "  try  robot: ur5e\n"
        "\n"
        "1 problem; nothing was composed"
    )


def test_wrong_member_of_a_closed_set_lists_the_members(tree):
    line = tree.replace("hardware/sim_x86.yaml", "source: sim", "source: webcam")
    text = tree.text_of_refusal()
    assert f"conf/hardware/sim_x86.yaml:{line}  hardware.cameras.source" in text
    assert "got webcam, must be one of sim, v4l2" in text


def test_text_is_no_number_and_a_number_is_no_text(tree):
    tree.replace("policy/default.yaml", "rate_hz: 100", 'rate_hz: "100"')
    tree.replace("facility/osaka.yaml", "title: Osaka, line 3, cell 1", "title: 3")
    found = {mistake.path: mistake.got for mistake in tree.mistakes()}
    assert found == {"policy.rate_hz": "the text '100'", "facility.title": "3"}


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
def test_nan_and_infinity_are_refused(tree, value):
    tree.replace("robot/panda.yaml", "motor_stop_c: 85.0", f"motor_stop_c: {value}")
    [mistake] = tree.mistakes()
    assert mistake.path == "robot.safety.thermal.motor_stop_c"


def test_environment_reads_are_refused(tree):
    line = tree.append("facility/osaka.yaml", "artifact_name: ${oc.env:HOME}\n")
    text = tree.text_of_refusal()
    assert f"conf/facility/osaka.yaml:{line}  artifact_name" in text
    assert "got the interpolation ${oc.env:HOME}" in text


@pytest.mark.parametrize(
    "text",
    ["${ oc.env:x}", "a${oc.decode:x}", "${hydra:x}", "${oc.create:${a}}", "${${a}:x}", "${env:"],
)
def test_no_resolver_is_let_through(tree, text):
    tree.append("facility/osaka.yaml", f"artifact_name: '{text}'\n")
    assert "interpolation" in tree.text_of_refusal()


@pytest.mark.parametrize("key", ["_target_", "_partial_", "_args_", "hydra"])
def test_keys_that_make_objects_or_steer_the_composer_are_refused(tree, key):
    line = tree.append("facility/osaka.yaml", f"{key}: os.system\n")
    assert f"conf/facility/osaka.yaml:{line}  {key}" in tree.text_of_refusal()


def test_nested_target_is_refused(tree):
    tree.append("policy/default.yaml", "planner: {rate_hz: 10, _target_: os.system}\n")
    assert "policy/default.yaml" in tree.text_of_refusal()


def test_duplicate_key_is_refused(tree):
    line = tree.append("ota/default.yaml", "artifact_max_mib: 10\n")
    assert f"conf/ota/default.yaml:{line}" in tree.text_of_refusal()


def test_alias_is_refused(tree):
    tree.append("facility/osaka.yaml", "policy:\n  retries: &n 1\n  chunk_steps: *n\n")
    assert "alias" in tree.text_of_refusal()


def test_broken_yaml_names_the_line(tree):
    line = tree.append("facility/osaka.yaml", "robot: {limits: [\n")
    text = tree.text_of_refusal()
    assert text.startswith(f"conf/facility/osaka.yaml:{line + 1}  the file\n")


def test_reference_to_nothing_is_refused(tree):
    tree.append("facility/osaka.yaml", "artifact_name: ${facility.nme}\n")
    assert "facility.nme" in tree.text_of_refusal()


def test_value_left_open_is_refused(tree):
    line = tree.append("facility/osaka.yaml", "artifact_name: ???\n")
    assert f"conf/facility/osaka.yaml:{line}  artifact_name\n  got ???" in tree.text_of_refusal()


def test_value_of_an_override_left_open_is_refused():
    with pytest.raises(ConfigError):
        compose(overrides=["artifact_name=???"])


def test_unit_file_may_set_nothing_but_the_unit(tree):
    tree.write(
        "robot/unit/osaka-09.yaml",
        "# @package _global_\nunit: {robot_id: osaka-09}\npolicy:\n  retries: 0\n",
    )
    [mistake] = tree.mistakes(robot_id="osaka-09")
    assert (mistake.origin.line, mistake.path) == (3, "policy")


def test_hash_cannot_be_set(tree):
    line = tree.append("facility/osaka.yaml", f"config_hash: {'0' * 64}\n")
    assert f"conf/facility/osaka.yaml:{line}  config_hash" in tree.text_of_refusal()


@pytest.mark.parametrize(
    "override", ["nonsense", "+a=1", "~robot", "hydra.run.dir=/", "a=${b}", "robot/unit", "=", ""]
)
def test_override_that_is_no_assignment_is_refused(override):
    with pytest.raises(ConfigError):
        compose(overrides=[override])


@pytest.mark.parametrize("override", ["policy.retries=1,2", "policy.retries=[", "policy={a: {"])
def test_override_with_a_broken_value_is_refused(override):
    with pytest.raises(ConfigError):
        compose(overrides=[override])
