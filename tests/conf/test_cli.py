"""`bedplate config …` as a user types it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bedplate import AREAS, Area, build_app
from conf.control import control_bytes
from conf.profile import read_profile

ROOT = Path(__file__).resolve().parents[2]


def bedplate(*arguments: str):
    return CliRunner().invoke(build_app(list(arguments)), list(arguments))


def test_overview_names_every_area_and_a_way_to_start():
    result = bedplate("--help")
    assert result.exit_code == 0
    here = [
        area
        for area in AREAS
        if (ROOT / area.module.replace(".", "/")).with_suffix(".py").is_file()
    ]
    assert len(here) > 2
    for area in here:
        assert f"  {area.command} " in result.output
        assert area.summary in result.output


def test_overview_leaves_out_what_this_machine_does_not_carry(monkeypatch):
    monkeypatch.setattr("bedplate.AREAS", (*AREAS, Area("x", "no_such_area.cli", "None.")))
    assert "None." not in bedplate("--help").output


def test_overview_shows_how_to_start():
    result = bedplate()
    assert "bedplate config show" in result.output


def test_unknown_command_is_refused():
    result = bedplate("confg")
    assert result.exit_code == 2
    assert "confg" in result.output


def test_command_whose_packages_are_missing_says_which(monkeypatch):
    monkeypatch.setattr("bedplate.AREAS", (Area("x", "no_such_area.cli", "None."),))
    with pytest.raises(SystemExit, match="needs the Python module no_such_area"):
        build_app(["x"])


def test_show_prints_values_with_their_places():
    result = bedplate("config", "show", "robot.limits", "--facility", "gdansk")
    assert result.exit_code == 0
    [line] = [line for line in result.output.splitlines() if "tool_speed_m_s" in line]
    assert line.split()[:2] == ["robot.limits.tool_speed_m_s", "0.7"]
    assert "conf/facility/gdansk.yaml:" in line
    assert "hardware." not in result.output


def test_show_ends_with_hashes_and_what_was_tightened(composed):
    result = bedplate("config", "show")
    assert f"config hash   {composed.hash}" in result.output
    assert "safety tightened by overlays:" in result.output
    assert "facility.keep_out.table" in result.output


def test_show_as_json_is_one_document(composed):
    result = bedplate("config", "show", "--json")
    data = json.loads(result.output)
    assert data["config_hash"] == composed.hash
    rows = {row["path"]: row for row in data["values"]}
    assert rows["facility.name"]["value"] == "osaka"
    assert rows["facility.name"]["origin"].startswith("conf/facility/osaka.yaml:")


def test_show_of_nothing_is_refused():
    result = bedplate("config", "show", "nowhere")
    assert result.exit_code == 2


def test_refused_configuration_prints_every_mistake_and_ends_with_2():
    result = bedplate("config", "show", "-s", "policy.retries=-1", "-s", "policy.retrys=1")
    assert result.exit_code == 2
    assert "policy.retries\n  got -1, must be a whole number between 0 and 10" in result.output
    assert "2 problems" in result.output


def test_check_without_a_choice_checks_every_pair():
    result = bedplate("config", "check")
    assert result.exit_code == 0
    assert result.output.count(" fits ") == 10


def test_check_of_one_pair_as_json_carries_the_parts_of_each_mistake():
    result = bedplate(
        "config", "check", "--hardware", "sim_x86", "--facility", "osaka", "--json",
        "-s", "facility.people.stale_ms=9999",
    )  # fmt: skip
    assert result.exit_code == 2
    [pair] = json.loads(result.output)
    [found] = [row for row in pair["mistakes"] if row["allowed"].startswith("a whole number")]
    assert set(found) == {"origin", "path", "got", "allowed", "because", "try"}


def test_diff_names_what_differs_and_from_where():
    result = bedplate("config", "diff", "osaka", "gdansk")
    assert result.exit_code == 0
    assert "facility.people.human_speed_m_s\n  1.6" in result.output
    assert bedplate("config", "diff", "osaka", "osaka").output == "0 values differ\n"


def test_diff_of_boards():
    result = bedplate("config", "diff", "osaka@jetson_thor", "osaka@jetson_agx_orin", "--json")
    assert "hardware.compute.fp16_tflops" in {row["path"] for row in json.loads(result.output)}


@pytest.mark.parametrize(
    "arguments",
    [
        ["osaka", "--hardware", "sim_x86", "--hardware", "jetson_thor"],
        ["osaka", "osaka", "--hardware", "sim_x86", "--hardware", "jetson_thor"],
        ["osaka@sim_x86", "--hardware", "jetson_thor"],
        ["osaka@sim_x86", "osaka", "--hardware", "jetson_thor"],
    ],
)
def test_diff_of_one_facility_on_two_boards(arguments):
    result = bedplate("config", "diff", *arguments)
    assert result.exit_code == 0, result.output
    text = result.output
    assert "hardware.name\n  sim_x86" in text
    assert "conf/hardware/sim_x86.yaml:" in text
    assert "conf/hardware/jetson_thor.yaml:" in text
    assert "facility." not in text


def test_diff_of_two_facilities_on_one_board():
    result = bedplate("config", "diff", "osaka", "gdansk", "--hardware", "jetson_thor", "--json")
    assert result.exit_code == 0
    paths = {row["path"] for row in json.loads(result.output)}
    assert "facility.name" in paths
    assert "hardware.name" not in paths


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["osaka"], "one side only"),
        (["osaka", "--hardware", "sim_x86"], "one side only"),
        (["osaka@sim_x86", "--hardware", "sim_x86"], "one side only"),
        (["osaka@sim_x86", "osaka@jetson_thor", "--hardware", "sim_x86"], "more boards"),
        (["osaka", "gdansk", *["--hardware", "sim_x86"] * 3], "more boards"),
        (["osaka", "--hardware", "sim_x86", "--hardware", "jetson_tor"], "jetson_thor"),
    ],
)
def test_diff_that_compares_nothing_is_refused(arguments, said):
    result = bedplate("config", "diff", *arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_help_of_diff_shows_both_ways_to_compare_boards():
    text = bedplate("config", "diff", "--help").output
    assert "--hardware sim_x86 --hardware" in " ".join(text.split())
    assert "osaka@sim_x86 osaka@jetson_thor" in " ".join(text.split())


def test_schema_is_a_json_schema():
    data = json.loads(bedplate("config", "schema").output)
    assert data["title"] == "Bedplate configuration"
    assert "config_hash" not in data["properties"]


def test_compile_writes_profile_and_control_file(tmp_path):
    out = tmp_path / "run"
    result = bedplate("config", "compile", "--out", str(out), "--robot-id", "osaka-02")
    assert result.exit_code == 0
    config = read_profile(out / "profile.json")
    assert config.robot_id == "osaka-02"
    assert (out / "control.json").read_bytes() == control_bytes(config)
