"""The deployment criteria as samples: the same drills, shorter, on the robot's own code."""

import json

import pytest
from typer.testing import CliRunner

from runtime.skills.refusal import RefusalReason
from sim.drills.cli import DRILLS, app, text_of
from sim.drills.drill import Drill, DrillOptions, Report, run_drill


def passes(name: str, scale: float) -> Report:
    drill = next(drill for drill in DRILLS if drill.name == name)
    report = run_drill(drill, DrillOptions(scale=scale))
    assert report.passed, text_of(report)
    return report


@pytest.mark.timeout(240)
def test_a_cached_skill_runs_offline_and_a_new_one_is_refused():
    report = passes("skill_cache", 1.0)
    assert report.figures["new_skill"] == RefusalReason.NOT_CACHED_OFFLINE.value


@pytest.mark.timeout(240)
def test_safety_works_with_the_gpu_gone():
    report = passes("safety_gpu_gone", 1.0)
    assert report.figures["estop_reaction_s"] != "never"


@pytest.mark.timeout(240)
def test_telemetry_survives_cuts_with_every_number_accounted_for():
    report = passes("telemetry_reconnect", 0.1)
    assert report.figures["missing"] == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_perception_degrades_under_load_and_comes_back():
    passes("perception_degrades", 1.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_minutes_offline_lose_nothing():
    report = passes("offline_hour", 1 / 30)
    assert report.figures["missing"] == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_deadline_is_missed():
    assert passes("deadlines", 0.05).figures["misses"] == 0


def test_a_report_with_nothing_checked_has_not_passed():
    assert not Report("empty").passed


def test_a_check_that_does_not_hold_fails_the_run_and_is_named(monkeypatch):
    def run(_options: DrillOptions, report: Report) -> None:
        report.expect("the moon is made of cheese", holds=False, found="rock")
        report.figures["distance_km"] = 384_400

    drill = Drill("moon", "looks up", run)
    monkeypatch.setattr("sim.drills.cli.DRILLS", (drill,))
    shown = CliRunner().invoke(app, ["run", "moon"])
    assert shown.exit_code == 1
    assert "FAILED  moon" in shown.output
    assert "NOT  the moon is made of cheese  [rock]" in shown.output
    asked = CliRunner().invoke(app, ["run", "moon", "--json"])
    assert json.loads(asked.stdout)[0]["passed"] is False


def test_an_unknown_drill_is_refused_with_the_known_ones():
    shown = CliRunner().invoke(app, ["run", "ofline_hour"])
    assert shown.exit_code == 2
    assert "offline_hour" in shown.output


def test_the_list_names_every_criterion():
    shown = CliRunner().invoke(app, ["list"])
    assert [line.split()[0] for line in shown.output.splitlines()] == [
        "offline_hour",
        "deadlines",
        "perception_degrades",
        "skill_cache",
        "safety_gpu_gone",
        "telemetry_reconnect",
    ]
