import itertools

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from conf.control import control_bytes
from conf.load import compose, options_of
from conf.mistake import Origin
from conf.plain import at, leaves
from conf.profile import dump, parse_profile, profile_bytes
from conf.schema import Config
from conf.shape import shape_at

PAIRS = list(itertools.product(options_of("hardware"), options_of("facility")))


def test_the_promised_boards_and_sites_are_there():
    boards = {"sim_x86", "qemu_arm64", "qemu_arm64_icount", "jetson_agx_orin", "jetson_thor"}
    assert boards <= set(options_of("hardware"))
    assert {"osaka", "gdansk"} <= set(options_of("facility"))


def without_rule_tests(config: Config) -> Config:
    """What proves an alert rule stays with the tree; a robot's profile has the rules alone."""
    return config.model_copy(update={"alerts": config.alerts.model_copy(update={"tests": {}})})


@pytest.mark.parametrize(("hardware", "facility"), PAIRS)
def test_every_facility_fits_every_board(hardware, facility, tmp_path):
    composed = compose(hardware=hardware, facility=facility)
    assert composed.config.hardware.name == hardware
    assert composed.config.facility.name == facility
    assert control_bytes(composed.config).count(b"\n") == 2
    again = parse_profile(profile_bytes(composed.config), where=tmp_path)
    assert again == without_rule_tests(composed.config)


@pytest.mark.parametrize("scenario", options_of("scenario"))
def test_every_scenario_composes(scenario):
    assert compose(scenario=scenario).choices["scenario"] == scenario


@pytest.mark.parametrize("unit", [name for name in options_of("robot/unit") if name != "none"])
def test_every_unit_file_composes_with_the_id_of_its_name(unit):
    assert compose(robot_id=unit).config.robot_id == unit


@pytest.mark.parametrize("facility", options_of("facility"))
def test_files_are_laid_over_each_other_as_hydra_does(tree, facility):
    overrides = [
        "robot.limits.tool_speed_m_s=0.2",
        "ota.artifact_max_mib=3000",
        "facility.keep_out={pole: {min_m: [1.0, 1.0, 0.0], max_m: [1.1, 1.1, 2.0]}}",
    ]
    data = dump(tree.compose(facility=facility, scenario="crowded", overrides=overrides).config)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(tree.folder), version_base="1.3"):
        forced = [f"++{override}" for override in overrides]
        arguments = [f"facility={facility}", "scenario=crowded", *forced]
        expected = OmegaConf.to_container(hydra_compose("robot", arguments), resolve=True)
    for path, value in leaves(expected):
        assert at(data, path) == value, path


def test_facilities_differ_in_more_than_a_name():
    osaka, gdansk = compose(facility="osaka").config, compose(facility="gdansk").config
    assert osaka.robot.arm.kind != gdansk.robot.arm.kind
    assert osaka.facility.workspace != gdansk.facility.workspace
    assert osaka.facility.people != gdansk.facility.people
    assert osaka.facility.network != gdansk.facility.network
    assert osaka.robot.limits.tool_speed_m_s != gdansk.robot.limits.tool_speed_m_s
    assert osaka.telemetry.streams != gdansk.telemetry.streams


def test_value_of_an_overlay_carries_the_overlays_line(tree):
    line = tree.append("facility/osaka.yaml", "robot:\n  limits:\n    tool_speed_m_s: 0.4\n") + 2
    composed = tree.compose(facility="osaka")
    assert composed.config.robot.limits.tool_speed_m_s == 0.4
    origin = composed.origins["robot", "limits", "tool_speed_m_s"]
    assert origin == Origin("conf/facility/osaka.yaml", line)


def test_value_of_the_command_line_says_so(composed):
    changed = compose(overrides=["policy.retries=1"])
    assert changed.origins["policy", "retries"] == Origin("command line")
    assert changed.hash != composed.hash


def test_default_of_the_schema_says_so(composed):
    assert composed.origins["hardware", "storage", "esp_mib"].file == "default of the schema"


def test_every_value_has_an_origin_and_a_place_in_the_schema(composed):
    data = dump(composed.config)
    for path, _ in leaves(data):
        assert shape_at(Config, path, data) is not None, path
        if path[0] not in ("config_hash", "unit_hash"):
            assert path in composed.origins


def test_unit_file_changes_the_unit_hash_alone(composed):
    other = compose(robot_id="osaka-02")
    assert other.config.robot_id == "osaka-02"
    assert other.config.config_hash == composed.config.config_hash
    assert other.config.unit_hash != composed.config.unit_hash


def test_robot_id_without_a_file_is_an_id_alone(composed):
    other = compose(robot_id="osaka-17")
    assert other.config.robot_id == "osaka-17"
    assert other.config.config_hash == composed.config.config_hash


def test_tightening_is_listed_with_the_file_that_did_it():
    composed = compose(facility="gdansk", scenario="crowded")
    rows = {".".join(map(str, row.path)): row for row in composed.tightened}
    assert rows["robot.limits.tool_speed_m_s"].origin.file == "conf/scenario/crowded.yaml"
    assert rows["facility.people.reaction_s"].origin.file == "conf/facility/gdansk.yaml"


def test_unfinished_facility_of_a_colleague_stops_only_itself(tree):
    tree.write("facility/lodz.yaml", "facility: {name: lodz\n  site: [")
    assert tree.compose(facility="osaka").config.facility.name == "osaka"
    assert "conf/facility/lodz.yaml:" in tree.text_of_refusal(facility="lodz")
