"""The runbook for a high failure rate, played: a bad version is planted, and the commands name it.

Nothing but the commands is asked. Robots, broker, ingest and database are the real ones; what the
robots say is made up, with one fault in it.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from fleet.cli import app
from fleet.clock import SystemClock
from fleet.load.crowd import Crowd
from fleet.load.plan import Bad, Plan
from fleet.settings import FleetSettings, write_settings
from tests.fleet.conftest import Broker, Postgres, wait_for

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def fleet(
    request: pytest.FixtureRequest, broker: Broker, settings: FleetSettings
) -> Iterator[FleetSettings]:
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        settings = settings.model_copy(update={"postgres": server.new_settings()})
        write_settings(settings)
    command = [sys.executable, "-m", "fleet.ingestd", "--fleet-dir", str(settings.root)]
    with (settings.root / "ingestd.log").open("ab") as log:
        ingest = subprocess.Popen(command, stderr=log, cwd=ROOT)
    yield settings
    ingest.terminate()
    ingest.wait(90)  # it ends its batch first


def ask(settings: FleetSettings, *words: str, status: int = 0) -> Any:
    done = CliRunner().invoke(app, [*words, "--json", "--fleet-dir", str(settings.root)])
    assert done.exit_code == status, done.output
    return orjson.loads(done.output)


def test_a_planted_bad_version_is_found_and_named_by_the_commands_alone(
    fleet: FleetSettings,
) -> None:
    clock = SystemClock()
    since_ns = clock.wall_ns() - 50 * 60 * 10**9
    plan = Plan(
        robots=8,
        seed=11,
        task_period_s=40,
        metric_period_s=600,
        bad=Bad("v24", "insert", 0.2, 3, 5, since_ns),
    )
    crowd = Crowd(plan, fleet, clock, history_s=3600)
    began = clock.now_ns()
    crowd.run(lambda: crowd.head > 0 and clock.now_ns() - began > 2 * 10**9)
    assert crowd.settle(lambda: clock.now_ns() - began > 180 * 10**9)
    crowd.close()
    records = sum(robot.spool.head for robot in crowd.robots)

    # 1 · Verify the alert.
    (whole,) = ask(fleet, "success-rate", "--since", "2h")
    assert whole["ended"] > 500
    assert 0.7 < whole["success_ratio"] < 0.9
    # 2 · Which tasks?
    tasks = ask(fleet, "success-rate", "--by", "task", "--since", "2h")
    assert [item["name"] for item in tasks if item["is_low"]] == ["insert"]
    # 3 · Which robots?
    robots = ask(fleet, "success-rate", "--by", "robot", "--task", "insert", "--since", "2h")
    low = sorted(item["name"] for item in robots if item["is_low"])
    assert low == ["robot-003", "robot-004", "robot-005"]
    # 4 · What changed on one of them, and is it that?
    events = ask(fleet, "recent-events", low[0], "--since", "2h")
    (update,) = [event for event in events if event["name"] == "boot.reported"]
    assert abs(update["time_ns"] - since_ns) < 120 * 10**9
    before, after = update["before"], update["artifact_name"]
    compared = ask(fleet, "compare-versions", before, after, "--since", "3h")
    assert [item["task"] for item in compared["tasks"] if item["is_lower"]] == ["insert"]
    assert sorted(compared["sides"][1]["robots"]) == low
    assert compared["sides"][1]["failures"][0]["reason"] == "gripper_slip"
    # 7 · Watch it.
    now = ask(fleet, "monitor", "--for", "1s", "--every", "5s", "--since", "2h")
    assert now["done"] + now["failed"] == whole["ended"]
    # And nothing of what was said is lost.
    accounts = wait_for_accounts(fleet, records)
    assert sum(item["stored"] for item in accounts) == records
    assert all(item["missing"] == 0 for item in accounts)
    slips = ask(
        fleet, "events", "--type", "task.failed", "--where", "reason ~ slip and attempt = 1",
        "--robot", low[0], "--words", "insert",
    )  # fmt: skip
    assert slips
    assert {event["robot"] for event in slips} == {low[0]}


def wait_for_accounts(fleet: FleetSettings, records: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def booked() -> bool:
        nonlocal found
        found = ask(fleet, "account")
        return sum(item["sent"] for item in found) == records

    wait_for(booked, 60)
    return found


def test_the_same_answers_are_there_for_people(fleet: FleetSettings) -> None:
    def said(*words: str) -> str:
        done = CliRunner().invoke(app, [*words, "--fleet-dir", str(fleet.root)])
        assert done.exit_code == 0, done.output
        return done.output

    wait_for(
        lambda: CliRunner().invoke(app, ["account", "--fleet-dir", str(fleet.root)]).exit_code == 0
    )
    assert "unknown" in said("success-rate")
    assert "no task has ended" in said("success-rate", "--by", "robot")
    assert "now on 0 robots" in said("compare-versions", "v23", "v24")
    assert said("recent-events", "robot-001") == ""
    assert "success unknown" in said("monitor", "--for", "1s", "--every", "5s")
    wrong = CliRunner().invoke(
        app, ["success-rate", "--since", "soon", "--fleet-dir", str(fleet.root)]
    )
    assert (wrong.exit_code, "no length of time" in wrong.output) == (2, True)
    wrong = CliRunner().invoke(app, ["events", "--where", "a >", "--fleet-dir", str(fleet.root)])
    assert (wrong.exit_code, "at character" in wrong.output) == (2, True)
