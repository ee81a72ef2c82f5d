"""An incident from its first alert to its document, on real rows."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import sqlalchemy as sql
from sqlalchemy.engine import Engine as Rows
from typer.testing import CliRunner

from conf.schema.alerts import FirstAction, Signal
from fleet.alerts import Alerts
from fleet.incidents.cli import app
from fleet.incidents.evidence import version_changes
from fleet.incidents.export import export
from fleet.incidents.model import Kind, State
from fleet.incidents.watch import Incidents
from fleet.metrics.tables import COUNT
from fleet.settings import FleetSettings, write_settings
from fleet.store.embedded import EmbeddedStore
from fleet.store.rows import open_rows
from fleet.store.series import StoreUnavailableError
from tests.fleet.alerts.made import START_NS, at, rule, rules, sample

RUNBOOK = "docs/runbooks/stuck.md"
HOT = rule(
    incident=True,
    runbook=RUNBOOK,
    first_actions=(FirstAction.GATHER_EVENTS, FirstAction.STOP_ROBOT),
)
RULES = rules(HOT, rule(alert="test.two", runbook=RUNBOOK, signal=Signal.STUCK_S))
run = CliRunner()


@pytest.fixture
def rows(both_settings: FleetSettings) -> Iterator[Rows]:
    write_settings(both_settings.model_copy(update={"alerts": RULES}))
    engine = open_rows(both_settings.rows_url)
    yield engine
    engine.dispose()


@pytest.fixture
def series(settings: FleetSettings) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore(settings.series)
    yield store
    store.close()


class World:
    def __init__(self, rows: Rows, series: EmbeddedStore) -> None:
        self.stopped: list[str] = []
        self.incidents = Incidents(RULES, rows, series, self.stop)
        self.alerts = Alerts.open(RULES, rows, listener=self.incidents)
        self.book = self.incidents.book

    def stop(self, robot_id: str) -> str:
        self.stopped.append(robot_id)
        return f"{robot_id}: controlled stop requested"

    def feed(self, second: float, value: float, subject: str = "osaka-01", **more) -> None:
        self.alerts.note_site(subject, "osaka")
        self.alerts.observe([sample(second, value, subject=subject, **more)])
        self.alerts.tick(at(second))


@pytest.fixture
def world(rows: Rows, series: EmbeddedStore) -> World:
    return World(rows, series)


def event(second: float, name: str, robot_id: str = "osaka-01", **fields: str) -> bytes:
    text = "".join(f',{key}="{value}"' for key, value in fields.items())
    return (
        f'event,robot={robot_id},site=osaka name="{name}",severity="info"{text} {at(second)}'
    ).encode()


def test_alert_opens_an_incident_with_steps_what_changed_and_what_was_done(
    world: World, series: EmbeddedStore
) -> None:
    series.write(
        [
            event(-600, "mode.changed", modes="gpu_overloaded"),
            event(-500, "task.done"),
            event(-400, "mode.changed", "gdansk-09"),
            event(-9000, "boot.reported"),
        ]
    )
    world.feed(0, 80)
    (found,) = world.book.open_ones()
    assert (found.state, found.subject, found.site) == (State.OPEN, "osaka-01", "osaka")
    assert [step.number for step in found.steps] == [1, 2, 3, 4, 5, 6, 7]
    changed = [one.text for one in found.timeline if one.kind is Kind.CHANGED]
    assert changed == ["osaka-01: mode.changed modes=gpu_overloaded"]
    done = " ".join(one.text for one in found.timeline if one.kind is Kind.ACTION)
    assert "task.done" in done
    assert "controlled stop requested" in done
    assert world.stopped == ["osaka-01"]


def test_robots_with_the_same_trouble_at_one_site_are_one_incident(world: World) -> None:
    world.feed(0, 80)
    world.feed(1, 90, "osaka-02")
    world.feed(2, 500, signal=Signal.STUCK_S)  # another rule with the same runbook
    (found,) = world.book.open_ones()
    assert [(one.subject, one.rule) for one in found.members] == [
        ("osaka-01", "rule_0"),
        ("osaka-02", "rule_0"),
        ("osaka-01", "rule_1"),
    ]
    assert world.stopped == ["osaka-01"]  # first actions are those of the opening


def test_incident_recovers_with_its_last_alert_and_not_before(world: World) -> None:
    world.feed(0, 80)
    world.feed(1, 90, "osaka-02")
    world.feed(5, 40)
    assert world.book.open_ones()[0].state is State.OPEN
    world.feed(9, 40, "osaka-02")
    (found,) = world.book.open_ones()
    assert (found.state, found.recovered_ns) == (State.RECOVERED, at(9))
    world.feed(12, 80)
    assert world.book.open_ones()[0].state is State.OPEN


def test_what_a_crash_left_out_is_made_good(world: World, monkeypatch) -> None:
    def fail(*_) -> None:
        raise StoreUnavailableError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(world.book, "open_ones", fail)
        world.feed(0, 80)
    assert world.book.open_ones() == []
    for _ in range(2):
        world.incidents.reconcile(world.alerts.active(), at(1))
    assert len(world.book.open_ones()[0].members) == 1
    for _ in range(2):
        world.incidents.reconcile([], at(2))
    assert world.book.open_ones()[0].recovered_ns == at(2)


def test_version_that_a_robot_took_before_it_failed_is_in_the_timeline(
    world: World, rows: Rows
) -> None:
    start_s = START_NS // 10**9
    with rows.begin() as connection:
        for version, second in (("v23", -90_000), ("v24", -3600)):
            row = {"width_s": 60, "start_s": start_s + second, "robot": "osaka-01"}
            names = {"site": "osaka", "version": version, "task": "pick_place"}
            counts = dict.fromkeys(("done", "failed", "attempts", "errors", "duration_ms"), 1)
            connection.execute(sql.insert(COUNT).values(**row, **names, **counts))
    world.feed(0, 80)
    texts = [one.text for one in world.book.open_ones()[0].timeline]
    assert "osaka-01: from v23 to v24" in texts


class Row:
    def __init__(self, robot: str, version: str, first_s: int) -> None:
        self.robot, self.version, self.first_s = robot, version, first_s


def test_first_version_of_a_robot_is_no_change() -> None:
    rows = [Row("a", "v1", 10), Row("b", "v2", 20), Row("b", "v1", 5)]
    found = version_changes(rows, 0, 10**12)
    assert [(one.robot_id, one.before, one.version) for one in found] == [("b", "v1", "v2")]
    assert version_changes(rows, 0, 10**9) == []


def words(settings: FleetSettings, *more: str) -> list[str]:
    return [*more, "--fleet-dir", str(settings.root)]


def test_incident_is_worked_through_by_the_commands_alone(
    world: World, settings: FleetSettings, tmp_path: Path
) -> None:
    world.feed(0, 80)
    listed = orjson.loads(run.invoke(app, words(settings, "list", "--json")).stdout)
    assert [(row["incident_id"], row["firing"]) for row in listed] == [(1, 1)]
    shown = run.invoke(app, words(settings, "show", "1")).stdout
    assert "$ bedplate fleet recent-events osaka-01 --since 2h" in shown
    refused = run.invoke(app, words(settings, "close", "1", "--cause", "c", "--prevention", "p"))
    assert refused.exit_code == 1
    assert "still fires" in refused.stderr
    assert "steps 1, 2, 3, 4, 5, 6, 7" in refused.stderr
    run.invoke(app, words(settings, "note", "1", "a part hung in the way", "--who", "ana"))
    for number in "123456":
        assert run.invoke(app, words(settings, "tick", "1", number, "--who", "ana")).exit_code == 0
    again = run.invoke(app, words(settings, "tick", "1", "6", "--who", "ben"))
    assert again.exit_code == 2
    assert "open are: 7" in again.stderr
    run.invoke(app, words(settings, "tick", "1", "7", "--skip", "--who", "ben"))
    world.feed(5, 40)
    done = run.invoke(
        app, words(settings, "close", "1", "--cause", "a part", "--prevention", "a rail")
    )
    assert done.exit_code == 0, done.stderr
    assert run.invoke(app, words(settings, "list")).stdout == "no incident is open\n"
    out = tmp_path / "incident.md"
    run.invoke(app, words(settings, "export", "1", "--out", str(out)))
    text = out.read_text()
    for word in ("a part hung in the way", "a rail", "- [x] 7.", "not needed: ben", "osaka-01"):
        assert word in text


def test_incident_is_opened_by_hand_and_asked_for_by_number(
    rows: Rows, series: EmbeddedStore, settings: FleetSettings
) -> None:
    opened = run.invoke(
        app, words(settings, "open", "strange noise", "--subject", "osaka-01", "--runbook", RUNBOOK)
    )
    assert opened.stdout == "incident 1 is open\n"
    shown = orjson.loads(run.invoke(app, words(settings, "show", "1", "--json")).stdout)
    assert (shown["title"], shown["state"], len(shown["steps"])) == ("strange noise", "open", 7)
    wrong = run.invoke(app, words(settings, "open", "x", "--runbook", "docs/runbooks/no.md"))
    assert wrong.exit_code == 2
    assert "cannot be read" in wrong.stderr
    missing = run.invoke(app, words(settings, "show", "9"))
    assert missing.exit_code == 2
    assert "incident list --all" in missing.stderr


def test_document_cannot_be_given_markup_by_what_somebody_wrote(world: World) -> None:
    world.feed(0, 80)
    world.book.close(1, "ana", at(9), cause="# [click](http://x) <b>", prevention="`p`")
    found = world.book.find(1)
    assert found is not None
    text = export(found)
    assert "\\# \\[click\\](http://x) \\<b\\>" in text
    assert [line for line in text.splitlines() if line.startswith("# ")] == [
        f"# Incident 1: {found.title}"
    ]
