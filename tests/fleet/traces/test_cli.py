"""`bedplate fleet trace` and `traces`: a task for people and for programs, or why there is none."""

from pathlib import Path

import orjson
import pytest
import typer
from typer.testing import CliRunner, Result

from fleet.settings import FleetSettings
from fleet.traces.cli import COMMANDS, NOT_FOUND, REFUSED
from runtime.telemetry.span import trace_id_of
from tests.fleet.metrics.test_rollup import NOW_S, Side
from tests.fleet.traces.test_log import Teller, journey_of

app = typer.Typer()
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


@pytest.fixture
def told(settings: FleetSettings, tmp_path: Path) -> FleetSettings:
    settings.root.mkdir(exist_ok=True)
    side = Side(settings.rows_url, tmp_path)
    for name, failed in (("r-1", True), ("r-2", False)):
        robot = Teller(name)
        robot.tell(journey_of(name, 7, NOW_S - 1, failed=failed), NOW_S - 1)
        robot.tell(journey_of(name, 8 if failed else 9, NOW_S - 30), NOW_S - 30)
        side.ingest.process([robot.all()])
    side.close()
    return settings


def ask(settings: FleetSettings, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--fleet-dir", str(settings.root)])


def test_a_task_is_drawn_line_by_line(told: FleetSettings) -> None:
    shown = ask(told, "trace", "7", "--robot", "r-1")
    assert shown.exit_code == 0
    assert "r-1, task 7" in shown.stdout
    for word in ("task", "attempt 1", "pick", "ingest", "xxxx", "8 s"):
        assert word in shown.stdout


def test_a_program_gets_every_step(told: FleetSettings) -> None:
    trace_id = trace_id_of("osaka", "r-2", 9, 1)
    shown = orjson.loads(ask(told, "trace", trace_id, "--json").stdout)
    assert (shown["trace_id"], shown["missing"], len(shown["steps"])) == (trace_id, 0, 4)


def test_a_number_of_several_robots_asks_which(told: FleetSettings) -> None:
    shown = ask(told, "trace", "7")
    assert shown.exit_code == REFUSED
    assert "r-1, r-2" in shown.stderr
    assert ask(told, "trace", "9").exit_code == 0  # of one robot alone


def test_what_is_not_there_is_said_with_what_it_may_be(told: FleetSettings) -> None:
    shown = ask(told, "trace", "99")
    assert shown.exit_code == NOT_FOUND
    assert "not sampled" in shown.stderr
    assert ask(told, "trace", "seven").exit_code == REFUSED


def test_journeys_are_listed_by_result_and_robot(told: FleetSettings) -> None:
    failed = ask(told, "traces", "--failed").stdout.splitlines()
    assert len(failed) == 1
    assert "r-1" in failed[0]
    assert len(orjson.loads(ask(told, "traces", "--robot", "r-2", "--json").stdout)) == 2
