"""The fleet's numbers: each record counts once, whatever is resent, reordered, or killed."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.events.log import MEASUREMENT, read_event
from fleet.ingest import Incoming, Ingest
from fleet.metrics import (
    Dimension,
    Latency,
    Span,
    Tally,
    Where,
    failure_modes,
    latency,
    robots,
    snapshot,
    tally,
    tally_by,
    uptime_by_robot,
    week,
)
from fleet.metrics.measure import Alive, Measure, TaskEnd, Took, measures_of_event, reader_of
from fleet.metrics.rollup import Origin
from fleet.store.books import Books
from fleet.store.embedded import EmbeddedStore
from fleet.store.series import StoreUnavailableError
from records import Priority, TelemetryFrame
from runtime.telemetry.frame import encode_frame
from runtime.telemetry.line import encode_line, encode_tags, typed_names
from runtime.telemetry.ranges import fold

NOW_S = 1_700_000_000
DAY_S = 86_400


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def now_ns(self) -> int:
        return 1

    def wall_ns(self) -> int:
        return self.now_s * 10**9


class Said:
    """What one robot says, with a number for each record."""

    def __init__(self, robot: str = "r-1", site: str = "osaka", version: str = "v23") -> None:
        self.robot, self.site, self.version = robot, site, version
        self.tags = {"robot": robot, "site": site, "hardware": "x", "version": version}
        self.lines: list[bytes] = []

    def say(self, measurement: str, at_s: float, **fields: Any) -> None:
        seq = len(self.lines) + 1
        self.lines.append(
            encode_line(
                measurement,
                encode_tags(self.tags),
                fields,
                seq=seq,
                epoch=5,
                time_ns=round(at_s * 10**9) + seq,
            )
        )

    def event(self, name: str, at_s: float, **fields: Any) -> None:
        own = {"name": name, "severity": "info", "source": "agentd"}
        self.say("event", at_s, **typed_names(fields), **own)

    def task(self, at_s: float, skill: str, *, done: bool, reason: str = "none") -> None:
        name = "task.done" if done else "task.failed"
        more = {"attempt": 1 if done else 2, "reason": reason, "duration_s": 4.0}
        self.event(name, at_s, skill=skill, **more)

    def frame(self, sequences: Sequence[int], *, replayed: bool = False) -> Incoming:
        ordered = sorted(set(sequences))
        made = TelemetryFrame(
            robot_id=self.robot,
            site=self.site,
            hardware="x",
            artifact_name=self.version,
            config_hash="a" * 64,
            epoch=5,
            priority=Priority.METRIC,
            replayed=replayed,
            ranges=fold(ordered),
            thinned=(),
            lines=tuple(self.lines[seq - 1] for seq in ordered),
        )
        topic = f"bedplate/v1/{self.site}/{self.robot}/frames"
        return Incoming(topic, encode_frame(made))

    def all(self, **more: bool) -> Incoming:
        return self.frame(range(1, len(self.lines) + 1), **more)


class Side:
    def __init__(self, url: str, folder: Path) -> None:
        self.clock = Clock()
        self.store = EmbeddedStore(folder / "series.sqlite")
        self.books = Books(url)
        self.rows = self.books.engine
        self.ingest = Ingest(self.store, self.books, self.clock)

    def close(self) -> None:
        self.store.close()
        self.books.close()


@pytest.fixture
def side(rows_url: str, tmp_path: Path) -> Iterator[Side]:
    side = Side(rows_url, tmp_path)
    yield side
    side.close()


HOUR = Span(NOW_S - 3600, NOW_S)


def test_success_is_told_by_task_robot_version_and_site(side: Side) -> None:
    good, bad = Said("r-1", "osaka", "v23"), Said("r-2", "gdansk", "v24")
    for number in range(10):
        good.task(NOW_S - 60 - number, "grasp", done=True)
        good.task(NOW_S - 60 - number, "insert", done=number < 9, reason="grasp_missed")
        bad.task(NOW_S - 60 - number, "insert", done=number < 4, reason="part_dropped")
    side.ingest.process([good.all(), bad.all()])
    rows = side.rows
    assert tally(rows, HOUR) == Tally(
        done=23, failed=7, attempts=37, errors=14, duration_ms=120_000
    )
    by_task = tally_by(rows, HOUR, Dimension.TASK)
    assert {name: item.success_ratio for name, item in by_task.items()} == {
        "grasp": 1.0,
        "insert": 13 / 20,
    }
    by_robot = tally_by(rows, HOUR, Dimension.ROBOT, Where(task="insert"))
    assert {name: item.success_ratio for name, item in by_robot.items()} == {"r-1": 0.9, "r-2": 0.4}
    assert tally_by(rows, HOUR, Dimension.VERSION, Where(task="insert"))["v24"].failed == 6
    assert tally_by(rows, HOUR, Dimension.SITE)["gdansk"].ended == 10
    assert tally(rows, HOUR, Where(robot="r-1", task="insert")).failed == 1
    modes = [(mode.reason, mode.failed) for mode in failure_modes(rows, HOUR)]
    assert modes == [("part_dropped", 6), ("grasp_missed", 1)]
    assert tally(rows, Span(NOW_S - 7200, NOW_S - 3600)) == Tally()
    assert Tally().success_ratio is None


def test_what_comes_again_in_any_cut_and_order_counts_once(side: Side) -> None:
    said, draw = Said(), random.Random(7)
    for number in range(60):
        said.task(NOW_S - 100 - number, "grasp", done=number % 3 != 0)
        said.say("policy", NOW_S - 100 - number, inference_ms=20.0 + number)
    for _ in range(30):
        batch = [
            said.frame(
                draw.sample(range(1, 121), draw.randint(1, 40)), replayed=draw.random() < 0.5
            )
            for _ in range(draw.randint(1, 4))
        ]
        side.ingest.process(batch)
    side.ingest.process([said.all(), said.all()])
    assert tally(side.rows, HOUR).ended == 60
    assert tally(side.rows, HOUR, Where(robot="r-1")).done == 40
    assert latency(side.rows, HOUR, Latency.INFERENCE).count == 60
    assert latency(side.rows, HOUR, Latency.TASK, Where(task="grasp")).count == 60


def test_a_crash_between_store_and_books_counts_nothing_and_later_once(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Said()
    said.task(NOW_S - 5, "grasp", done=True)
    with monkeypatch.context() as patch:
        patch.setattr("fleet.metrics.rollup.Sums.write", _fail)
        with pytest.raises(StoreUnavailableError):
            side.ingest.process([said.all()])
    assert tally(side.rows, HOUR).ended == 0
    assert side.books.accounts() == []
    side.ingest.process([said.all()])
    assert tally(side.rows, HOUR).ended == 1


def _fail(*_arguments: Any) -> None:
    raise StoreUnavailableError("pulled out")


def test_times_that_cannot_be_true_count_when_they_arrive_and_are_named(side: Side) -> None:
    said = Said()
    for years in (-50, 0, 20):
        said.task(NOW_S + years * 365 * DAY_S, "grasp", done=True)
    side.ingest.process([said.all()])
    assert tally(side.rows, Span(NOW_S - 60, NOW_S + 60)).done == 3
    assert robots(side.rows)[0].misdated == 2


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_newest_record_says_which_version_runs_in_whatever_order_they_come(
    side: Side, order: tuple[int, ...]
) -> None:
    frames: list[Incoming] = []
    for number, (version, age_s) in enumerate((("v22", 7200), ("v23", 3600), ("v24", 60))):
        said = Said(version=version)
        said.lines = [b""] * number  # one robot's numbers go on after an update
        said.task(NOW_S - age_s, "grasp", done=True)
        frames.append(said.frame([number + 1], replayed=number < 2))
    for index in order:
        side.ingest.process([frames[index]])
    (seen,) = robots(side.rows)
    assert seen.version == "v24"
    (count,) = snapshot(side.rows, NOW_S * 10**9).versions
    assert (count.version, count.robots) == ("v24", 1)


def test_uptime_counts_minutes_and_a_stopped_robot_is_not_up(side: Side) -> None:
    said = Said()
    start_s = NOW_S // 3600 * 3600
    side.clock.now_s = start_s
    for minute in range(60):
        stopped = minute in (3, 4, 5)
        for second in (0, 30):
            at_s = start_s + minute * 60 + second
            said.say("control", at_s, stop_level=2.0 if stopped else 0.0, misses=0.0)
    side.ingest.process([said.frame([1])])
    side.clock.now_s = start_s + 3600
    side.ingest.process([said.all(), said.all()])
    span = Span(start_s, start_s + 3600)
    (found,) = uptime_by_robot(side.rows, span).values()
    assert (found.up_minutes, found.expected_minutes) == (57, 60)
    half = Span(start_s + 1800, start_s + 5400)
    assert uptime_by_robot(side.rows, half)["r-1"].ratio == 0.5


def test_uptime_does_not_expect_what_was_before_the_robot(side: Side) -> None:
    said = Said()
    said.say("control", NOW_S - 120, stop_level=0.0)
    side.ingest.process([said.all()])
    found = uptime_by_robot(side.rows, Span(NOW_S - DAY_S, NOW_S))["r-1"]
    assert found.expected_minutes <= 3


def test_a_week_has_all_its_days(side: Side) -> None:
    said = Said()
    for day in (0, 2, 6):
        said.task(NOW_S - day * DAY_S, "grasp", done=day != 2)
        said.say("control", NOW_S - day * DAY_S, stop_level=0.0, observed_age_ms=100.0 + day)
    side.ingest.process([said.all()])
    days = week(side.rows, NOW_S * 10**9)
    assert [day.tally.success_ratio for day in days] == [1.0, None, None, None, 0.0, None, 1.0]
    assert [day.action.samples for day in days] == [1, 0, 0, 0, 1, 0, 1]


def test_snapshot_of_nothing_knows_nothing(side: Side) -> None:
    now = snapshot(side.rows, NOW_S * 10**9)
    assert now.tally.success_ratio is None
    assert now.uptime.ratio is None
    assert now.latencies[Latency.ACTION].p95_ms is None


def test_success_interval_is_wide_for_few_and_narrow_for_many() -> None:
    few, many = Tally(done=9, failed=1), Tally(done=900, failed=100)
    (low, high), (low_many, high_many) = few.success_interval or (), many.success_interval or ()
    assert low < low_many < 0.9 < high_many < high
    assert Tally(done=3).success_interval == (pytest.approx(0.4385, abs=1e-3), 1.0)


def measures(line: bytes) -> Sequence[Measure]:
    measurement = line[: line.find(b",")]
    if measurement == MEASUREMENT:
        event = read_event(line, Origin("r", "s", "h", "v", "c", replayed=False), 1, 1)
        return () if event is None else measures_of_event(event.fields)
    read = reader_of(measurement)
    return () if read is None else read(line)


@settings(max_examples=200)
@given(line=st.binary(max_size=200))
def test_any_line_may_be_measured(line: bytes) -> None:
    for start in (b"", b"policy,", b"control,", b"perception,", b'event,a=b name="task.done"'):
        assert all(isinstance(said, TaskEnd | Took | Alive) for said in measures(start + line))


def test_a_text_cannot_pretend_to_be_a_field() -> None:
    said = Said()
    said.event("note", NOW_S, text='x name="task.done" skill="grasp"')
    assert not measures(said.lines[0])
