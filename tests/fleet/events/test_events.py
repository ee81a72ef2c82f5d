"""Events as rows, on both databases: found by everything that was said of them, once each."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from conf.schema.telemetry import Keep
from fleet.events import Wanted, find, parse_filter
from fleet.events.export import Format, export
from fleet.events.search import every
from fleet.metrics import Dimension, Span, tally, tally_by
from fleet.metrics.keep import thin
from fleet.metrics.measure import Latency
from fleet.metrics.query import latency
from fleet.store.rows import Transaction
from tests.fleet.metrics.test_rollup import DAY_S, NOW_S, Said, Side


@pytest.fixture
def side(rows_url: str, tmp_path: Path) -> Iterator[Side]:
    side = Side(rows_url, tmp_path)
    yield side
    side.close()


def names(side: Side, limit: int = 100, **wanted) -> list[str]:
    return [event.name for event in find(side.rows, Wanted(**wanted), limit)]


@pytest.fixture
def told(side: Side) -> Side:
    one, two = Said("robot-47"), Said("robot-21", "gdansk", "v24")
    one.event("task.started", NOW_S - 60, skill="place", task_id=5235)
    one.event("action.done", NOW_S - 56, skill="place", task_id=5235, latency_ms=240.0)
    one.event("task.failed", NOW_S - 54, skill="place", task_id=5235, reason="gripper_slip")
    two.event("task.started", NOW_S - 40, skill="insert", task_id=7)
    two.event("action.done", NOW_S - 39, skill="insert", task_id=7, latency_ms=12.0)
    two.event("boot.reported", NOW_S - 3000, slot="B", detail="v24; 100 % 'new' \"quoted\"")
    side.ingest.process([one.all(), two.all(), one.all()])
    side.ingest.process([two.all()])
    return side


def test_events_are_asked_by_time_robot_task_type_expression_and_words(told: Side) -> None:
    assert names(told) == [
        "action.done", "task.started", "task.failed", "action.done", "task.started",
        "boot.reported",
    ]  # fmt: skip
    assert names(told, robot="robot-47", name="task.*") == ["task.failed", "task.started"]
    assert names(told, task_id=5235, limit=1) == ["task.failed"]
    assert names(told, since_ns=(NOW_S - 41) * 10**9) == ["action.done", "task.started"]
    assert names(told, until_ns=(NOW_S - 100) * 10**9) == ["boot.reported"]
    assert names(told, where=parse_filter("latency_ms > 200")) == ["action.done"]
    assert names(told, version="v24", site="gdansk", name="boot.reported") == ["boot.reported"]
    assert names(told, task="insert", severity="critical") == []


@pytest.mark.parametrize(
    ("words", "found"),
    [("slip", 1), ("GRIPPER slip", 1), ("gripper_slip", 1), ("robot-47", 3), ("5235", 3),
     ("slip robot 21", 0), ("new quoted", 1), ("\" OR 1=1 '; --", 0), ("", 6), ("slip* NOT x", 0)],
)  # fmt: skip
def test_words_are_found_alike_on_both(told: Side, words: str, found: int) -> None:
    assert len(names(told, words=words)) == found


def test_pages_follow_each_other_without_gap_or_double(told: Side) -> None:
    seen, after = [], None
    while page := find(told.rows, Wanted(), 2, after):
        seen += [event.id for event in page]
        after = page[-1].cursor
    assert len(seen) == len(set(seen)) == 6
    assert [e.id for e in every(told.rows, Wanted(where=parse_filter("task_id > 0")), None, 2)] == [
        i for i in seen if i != seen[-1]
    ]


def test_export_can_be_read_back(told: Side) -> None:
    lines = list(export(find(told.rows, Wanted()), Format.JSONL))
    assert [orjson.loads(line)["name"] for line in lines][-1] == "boot.reported"
    rows = list(csv.DictReader(io.StringIO("".join(export(find(told.rows, Wanted()), Format.CSV)))))
    assert rows[2]["name"] == "task.failed"
    assert rows[2]["task_id"] == "5235"
    assert orjson.loads(rows[2]["fields"])["reason"] == "gripper_slip"


def test_a_text_of_a_robot_is_no_formula_of_a_table(side: Side) -> None:
    said = Said()
    said.event("note", NOW_S, skill="=cmd()")
    side.ingest.process([said.all()])
    row = list(export(find(side.rows, Wanted()), Format.CSV))[1]
    assert ",'=cmd()," in row


def test_sums_grow_coarser_and_stay_the_same(side: Side) -> None:
    said = Said()
    for hours in range(0, 24 * 50, 7):
        said.task(NOW_S - hours * 3600, "grasp", done=hours % 2 == 0, reason="slip")
    said.event("note", NOW_S)
    side.clock.now_s = NOW_S - 20 * DAY_S  # else the oldest would be taken for a wrong clock
    side.ingest.process([said.frame(range(60, len(said.lines) + 1))])
    side.clock.now_s = NOW_S
    side.ingest.process([said.all()])
    ever = Span(NOW_S - 60 * DAY_S, NOW_S + 60)
    before = (tally(side.rows, ever), tally_by(side.rows, ever, Dimension.ROBOT))
    slots = latency(side.rows, ever, Latency.TASK)
    keep = Keep(fine_hours=48, hourly_days=35, daily_days=400, events_days=30)
    for _ in range(2):
        thin(side.rows, NOW_S, keep)
        assert (tally(side.rows, ever), tally_by(side.rows, ever, Dimension.ROBOT)) == before
        assert latency(side.rows, ever, Latency.TASK) == slots
    late = Said()
    late.lines = [b""] * len(said.lines)
    late.task(NOW_S - 10 * DAY_S, "grasp", done=True)
    side.ingest.process([late.frame([len(late.lines)])])
    thin(side.rows, NOW_S, keep)
    assert tally(side.rows, ever).ended == before[0].ended + 1
    thin(side.rows, NOW_S + 500 * DAY_S, keep)
    assert tally(side.rows, ever).ended == 0
    assert names(side) == []


def test_fine_rows_are_few_after_thinning(side: Side) -> None:
    said = Said()
    for minute in range(300):
        said.task(NOW_S - 5 * DAY_S + minute * 60, "grasp", done=True)
    side.ingest.process([said.all()])
    thin(side.rows, NOW_S, Keep())
    with Transaction(side.rows) as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM rollup_count").scalar_one()
    assert count <= 2 * 6
