"""`bedplate alerts`: a mistake is shown with its place, and a shipped set has none."""

import time
from dataclasses import replace

import orjson
import pytest
from typer.testing import CliRunner

from conf.load import Composed
from conf.schema.alerts import Alerts as AlertRules
from fleet.alerts import Alerts, cli
from fleet.alerts.inspect import inspect, refusal_of
from fleet.incidents.runbook import ROOT, read_runbook
from fleet.settings import FleetSettings, write_settings
from fleet.store.rows import open_rows
from tests.fleet.alerts.made import at, rule, rules, sample

run = CliRunner()
HOUR = 3600


@pytest.fixture
def composed(whole: Composed, monkeypatch: pytest.MonkeyPatch) -> Composed:
    """One composition for all commands: they differ in what they do with it."""
    monkeypatch.setattr(cli, "compose", lambda facility=None: whole)
    return whole


def test_shipped_rules_runbooks_and_tests_fit(composed) -> None:
    done = run.invoke(cli.app, ["check", "--facility", "osaka"])
    assert (done.exit_code, done.stderr) == (0, "")
    assert "fits" in done.stdout


def test_list_and_show_say_what_a_rule_does_and_where_it_stands(composed) -> None:
    listed = orjson.loads(run.invoke(cli.app, ["list", "--json"]).stdout)
    assert listed["motor_hot"]["above"] == 70
    shown = run.invoke(cli.app, ["show", "motor_hot"]).stdout
    assert "motor_temp_c above 70 for 5 s, until below 65" in shown
    assert "conf/alerts/default.yaml:" in shown
    assert "1. The joints table" in shown


@pytest.mark.parametrize("words", [["show", "motor"], ["test", "motor"]])
def test_unknown_rule_is_refused_with_what_there_is(composed, words) -> None:
    done = run.invoke(cli.app, words)
    assert done.exit_code == cli.REFUSED
    assert "motor" in done.stderr


def test_failing_test_names_its_line_the_step_and_what_would_be_right(
    composed, monkeypatch
) -> None:
    alerts = composed.config.alerts
    tests = {**alerts.tests}
    tests["estop_is_pressed"] = tests["estop_is_pressed"].model_copy(
        update={"expect": "inactive x1 firing x3"}
    )
    spoilt = composed.config.model_copy(
        update={"alerts": alerts.model_copy(update={"tests": tests})}
    )
    other = replace(composed, config=spoilt)
    monkeypatch.setattr(cli, "compose", lambda facility=None: other)
    done = run.invoke(cli.app, ["test", "estop"])
    assert done.exit_code == cli.FAILED
    assert "conf/alerts/default.yaml:" in done.stderr
    assert "got inactive at step 3 (3 s, 0)" in done.stderr
    assert "inactive x1 firing x2 inactive x1" in done.stderr


def test_missing_runbook_and_a_command_that_is_none_are_found(tmp_path) -> None:
    made = rules(rule(), rule(alert="test.two", runbook="docs/runbooks/two.md"))
    (tmp_path / "docs/runbooks").mkdir(parents=True)
    two = tmp_path / "docs/runbooks/two.md"
    two.write_text("# Two\n\n1. Look.\n\n       $ bedplate fleet evnts --robot ROBOT\n")
    found = [str(mistake) for mistake in inspect(made, {}, tmp_path)]
    assert len(found) == 2
    assert "cannot be read" in found[0]
    assert "step 1: 'bedplate fleet evnts --robot ROBOT'" in found[1]


@pytest.mark.parametrize(
    ("command", "refused"),
    [
        ("bedplate fleet events --robot ROBOT --limit 50", False),
        ("bedplate config check", False),
        ("bedplate ota deployments", False),
        ("bedplate fleet enrol list", False),
        ("bedplate fleet events --rowboat ROBOT", True),
        ("bedplate fleet events --limit many", True),
        ("bedplate fleet", True),
        ("bedplate fligt", True),
        ("bedplate fleet events --help", True),
        ("rm -rf /", True),
        ("bedplate fleet events 'open", True),
    ],
)
def test_command_of_a_runbook_is_parsed_as_the_front_door_would(command, refused) -> None:
    assert bool(refusal_of(command)) is refused


def test_every_page_of_runbooks_can_be_followed_and_is_used(shipped: AlertRules) -> None:
    used = {one.runbook for one in shipped.rules.values()}
    for page in sorted((ROOT / "docs/runbooks").glob("*.md")):
        name = f"docs/runbooks/{page.name}"
        assert name in used, f"{name} is nobody's runbook"
        for step in read_runbook(name).steps:
            for command in step.commands:
                assert refusal_of(command) == "", f"{name}: step {step.number}"


def test_what_fires_is_listed_from_the_rows(settings: FleetSettings) -> None:
    made = rules(rule())
    write_settings(settings.model_copy(update={"alerts": made}))
    where = ["--fleet-dir", str(settings.root)]
    rows = open_rows(settings.rows_url)
    alerts = Alerts.open(made, rows)
    assert run.invoke(cli.app, ["active", *where]).stdout == "nothing fires\n"
    alerts.observe([sample(0, 80)])
    alerts.tick(at(0))
    rows.dispose()
    done = run.invoke(cli.app, ["active", *where])
    assert done.exit_code == 0, done.stderr
    assert "osaka-01 has 80, above 70." in done.stdout
    (row,) = orjson.loads(run.invoke(cli.app, ["active", "--json", *where]).stdout)
    assert (row["key"], row["since_ns"]) == ("rule_0", at(0))


def test_history_tells_what_was_found_afterwards(settings: FleetSettings) -> None:
    made = rules(rule())
    write_settings(settings.model_copy(update={"alerts": made}))
    where = ["--fleet-dir", str(settings.root), "--since", "1d"]
    rows, start_s = open_rows(settings.rows_url), (time.time_ns() - at(0)) / 1e9 - HOUR
    alerts = Alerts.open(made, rows)
    seconds = [*range(10), *range(HOUR - 10, HOUR), *range(10, HOUR - 10, 10)]
    for second in seconds:
        alerts.observe([sample(start_s + second, 80 if 600 < second < 1200 else 40)])
    alerts.tick(at(start_s + HOUR))
    rows.dispose()
    told = run.invoke(cli.app, ["history", *where]).stdout
    assert told.count("(found afterwards)") == 1
    assert "osaka-01 has 80, above 70." in told
    assert orjson.loads(run.invoke(cli.app, ["history", "--json", *where]).stdout)[0]["past"]
    nobody = run.invoke(cli.app, ["history", "--subject", "nobody", *where])
    assert (nobody.exit_code, nobody.stdout) == (0, "nothing fired in the last 1d\n")
    assert run.invoke(cli.app, ["history", *where[:2], "--since", "x"]).exit_code == cli.REFUSED


def test_silence_without_alertmanager_or_with_a_wrong_label_is_refused(
    settings: FleetSettings,
) -> None:
    where = ["--why", "x", "--fleet-dir", str(settings.root)]
    none = run.invoke(cli.app, ["silence", "subject=osaka-01", *where])
    assert (none.exit_code, "no Alertmanager" in none.stderr) == (cli.REFUSED, True)
    wrong = run.invoke(cli.app, ["silence", "robot=osaka-01", *where])
    assert "labels are alertname, rule, subject" in wrong.stderr
