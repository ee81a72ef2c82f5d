"""Spans through ingest into rows, on both databases: each once, joined, in any order."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.store.rows import Transaction
from fleet.traces.context import parents_of
from fleet.traces.log import forget
from fleet.traces.query import Wanted, find_trace, journeys, trace, traces_of_task
from fleet.traces.tree import Trace
from runtime.telemetry.span import (
    Span,
    Status,
    contexts_of,
    fields_of,
    root_id_of,
    span_id_of,
    trace_id_of,
)
from tests.fleet.metrics.test_rollup import NOW_S, Said, Side

S = 10**9
NOW = NOW_S * S


@pytest.fixture
def side(rows_url: str, tmp_path: Path) -> Iterator[Side]:
    side = Side(rows_url, tmp_path)
    yield side
    side.close()


class Teller(Said):
    """A robot that tells journeys; what it says beside a message is what telemetryd says."""

    def tell(self, spans: list[Span], at_s: float) -> None:
        for span in spans:
            self.say("span", at_s, source="agentd", **fields_of(span, round(at_s * S)))

    def frame(self, sequences, *, replayed: bool = False):
        made = super().frame(sequences, replayed=replayed)
        lines = [self.lines[seq - 1] for seq in sorted(set(sequences))]
        return replace(made, said=tuple(contexts_of(lines)), received_ns=NOW - S // 5)


def journey_of(robot: str, task_id: int, end_s: float, *, failed: bool = False) -> list[Span]:
    """A task with a part in it, in the order in which a robot tells it."""
    trace_id = trace_id_of("osaka", robot, task_id, 1)
    end_ns = round(end_s * S)
    root = Span(trace_id, root_id_of(trace_id), "", "task", task_id, end_ns - 8 * S, None)
    attempt = Span(
        trace_id, span_id_of(trace_id, "attempt", 1), root.span_id, "attempt", task_id,
        end_ns - 7 * S, None, attributes={"attempt": 1},
    )  # fmt: skip
    pick = Span(
        trace_id, span_id_of(trace_id, "pick"), attempt.span_id, "pick", task_id,
        end_ns - 6 * S, end_ns - 2 * S, Status.OK, {"fallback": False},
    )  # fmt: skip
    status = Status.ERROR if failed else Status.OK
    closed = [replace(span, end_ns=end_ns, status=status) for span in (attempt, root)]
    return [root, attempt, pick, *closed]


def names(found: Trace | None) -> list[tuple[int, str]]:
    assert found is not None
    return [(depth, "?" if n.step is None else n.step.name) for depth, n in found.root.walk()]


def test_a_journey_is_stored_once_and_joined_by_the_fleets_own_step(side: Side) -> None:
    robot = Teller("r-1")
    robot.tell(journey_of("r-1", 7, NOW_S - 1), NOW_S - 1)
    for _ in range(3):
        side.ingest.process([robot.all()])
    trace_id = traces_of_task(side.rows, "r-1", 7)
    assert len(trace_id) == 1
    found = trace(side.rows, "r-1", trace_id[0])
    assert names(found) == [(0, "task"), (1, "attempt"), (2, "pick"), (1, "ingest")]
    assert found is not None
    ingest = found.steps[-1]
    assert not ingest.on_robot
    assert ingest.source == "ingestd"
    assert ingest.attributes == {"records": 5, "replayed": False}
    assert ingest.lasted_ns == S // 5
    root = found.steps[0]
    assert root.lasted_ns == 8 * S
    assert abs(root.start_ns - (NOW - 9 * S)) < 10_000
    assert (root.status, root.version, root.source) == (Status.OK, "v23", "agentd")


def test_a_frame_without_a_context_is_stored_and_not_joined(side: Side) -> None:
    robot = Teller("r-1")
    robot.tell(journey_of("r-1", 7, NOW_S - 1), NOW_S - 1)
    side.ingest.process([replace(robot.all(), said=())])
    found = find_trace(side.rows, trace_id_of("osaka", "r-1", 7, 1))
    assert names(found) == [(0, "task"), (1, "attempt"), (2, "pick")]


def test_a_robot_cannot_write_into_the_journey_of_another(side: Side) -> None:
    honest, liar = Teller("r-1"), Teller("r-2")
    honest.tell(journey_of("r-1", 7, NOW_S - 1), NOW_S - 1)
    liar.tell(journey_of("r-1", 7, NOW_S - 1, failed=True), NOW_S - 1)
    victim = trace_id_of("osaka", "r-1", 99, 1)
    claimed = (("traceparent", f"00-{victim}-{root_id_of(victim)}-01"),)
    side.ingest.process([replace(liar.all(), said=claimed), honest.all()])
    mine = trace(side.rows, "r-1", trace_id_of("osaka", "r-1", 7, 1))
    assert mine is not None
    assert {step.status for step in mine.steps} == {Status.OK}
    assert find_trace(side.rows, victim) is None


def test_what_is_not_there_yet_has_its_place_and_comes_into_it(side: Side) -> None:
    robot = Teller("r-1")
    robot.tell(journey_of("r-1", 7, NOW_S - 1), NOW_S - 1)
    trace_id = trace_id_of("osaka", "r-1", 7, 1)
    side.ingest.process([robot.frame([3])])  # the part alone: all above it is on its way
    found = find_trace(side.rows, trace_id)
    assert names(found) == [(0, "?"), (1, "?"), (2, "pick"), (1, "ingest")]
    side.ingest.process([robot.frame([4, 5])])
    found = find_trace(side.rows, trace_id)
    assert names(found) == [
        (0, "task"), (1, "attempt"), (2, "pick"), (1, "ingest"), (1, "ingest"),
    ]  # fmt: skip
    side.ingest.process([robot.frame([1, 2])])  # the beginnings come last and undo no end
    found = find_trace(side.rows, trace_id)
    assert found is not None
    assert all(step.end_ns is not None for step in found.steps)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_split_order_and_resend_gives_the_same_rows(tmp_path_factory, data) -> None:
    robot = Teller("r-1")
    for task in (1, 2):
        robot.tell(journey_of("r-1", task, NOW_S - 10 + task), NOW_S - 10 + task)
    numbers = list(range(1, len(robot.lines) + 1))
    draw = random.Random(data.draw(st.integers(0, 999)))
    frames = [draw.sample(numbers, draw.randint(1, 6)) for _ in range(6)] + [numbers]
    draw.shuffle(frames)
    folder = tmp_path_factory.mktemp("order")
    side = Side(f"sqlite:///{folder / 'rows.sqlite'}", folder)
    try:
        for frame in frames:
            side.ingest.process([robot.frame(frame)])
        for task in (1, 2):
            found = find_trace(side.rows, trace_id_of("osaka", "r-1", task, 1))
            assert found is not None
            on_robot = [step for step in found.steps if step.on_robot]
            assert [step.name for step in on_robot] == ["task", "attempt", "pick"]
            assert [step.lasted_ns for step in on_robot] == [8 * S, 7 * S, 4 * S]
            told = sum(int(step.attributes["records"]) for step in found.steps if not step.on_robot)
            assert told == 5  # each record came once, whatever was sent how often
    finally:
        side.close()


def test_a_line_that_is_no_span_is_stored_as_a_point_and_stops_nothing(side: Side) -> None:
    robot = Teller("r-1")
    robot.say("span", NOW_S, source="agentd", trace="nonsense", step="pick")
    robot.tell(journey_of("r-1", 7, NOW_S - 1), NOW_S - 1)
    side.ingest.process([robot.all()])
    assert find_trace(side.rows, trace_id_of("osaka", "r-1", 7, 1)) is not None
    assert side.books.settled("r-1", 5, "stored").ranges() == ((1, 6),)  # type: ignore[arg-type]


def test_journeys_are_asked_by_robot_time_result_and_length_and_come_in_pages(side: Side) -> None:
    one, two = Teller("r-1"), Teller("r-2", "gdansk", "v24")
    for task in range(5):
        one.tell(journey_of("r-1", task, NOW_S - 100 * task, failed=task == 2), NOW_S - 100 * task)
    two.tell(journey_of("r-2", 9, NOW_S - 50), NOW_S - 50)
    side.ingest.process([one.all(), two.all()])

    def tasks(limit: int = 100, **wanted) -> list[int]:
        return [item.step.task_id for item in journeys(side.rows, Wanted(**wanted), limit)]

    assert tasks() == [0, 9, 1, 2, 3, 4]
    assert tasks(robot="r-2", version="v24", site="gdansk") == [9]
    assert tasks(status=Status.ERROR) == [2]
    assert tasks(longer_ms=8001.0) == []
    assert tasks(longer_ms=7999.0, until_ns=NOW - 250 * S) == [3, 4]
    assert tasks(since_ns=NOW - 60 * S - 8 * S) == [0, 9]
    seen, after = [], None
    while page := journeys(side.rows, Wanted(), 4, after):
        seen += [item.step.task_id for item in page]
        after = page[-1].cursor
    assert seen == [0, 9, 1, 2, 3, 4]


def test_a_robot_that_counts_from_one_again_has_two_journeys_of_one_number(side: Side) -> None:
    robot = Teller("r-1")
    robot.tell(journey_of("r-1", 7, NOW_S - 500), NOW_S - 500)
    again = [
        replace(span, trace_id="a" * 32, span_id=span_id_of("a" * 32, index), parent_id="")
        for index, span in enumerate(journey_of("r-1", 7, NOW_S - 5)[2:3])
    ]
    robot.tell(again, NOW_S - 5)
    side.ingest.process([robot.all()])
    assert traces_of_task(side.rows, "r-1", 7) == ["a" * 32, trace_id_of("osaka", "r-1", 7, 1)]


def test_journeys_end_with_their_age_by_arrival(side: Side) -> None:
    robot = Teller("r-1")
    robot.tell(journey_of("r-1", 7, NOW_S - 1), NOW_S - 1)
    side.ingest.process([robot.all()])
    for before_s, left in ((NOW_S - 1, 1), (NOW_S + 1, 0)):
        with Transaction(side.rows) as connection:
            forget(connection, before_s)
        assert len(journeys(side.rows, Wanted())) == left


@given(st.lists(st.tuples(st.sampled_from(["traceparent", "Traceparent", "x"]), st.text())))
def test_no_user_property_breaks_the_reader(said: list[tuple[str, str]]) -> None:
    for trace_id, span_id in parents_of(said).items():
        assert (len(trace_id), len(span_id)) == (32, 16)


def test_a_context_is_read_as_the_standard_says() -> None:
    good = f"{'a' * 32}-{'b' * 16}"
    assert parents_of([("traceparent", f"00-{good}-01")]) == {"a" * 32: "b" * 16}
    assert parents_of([("TraceParent", f"cc-{good}-01-later")]) == {"a" * 32: "b" * 16}
    for bad in (f"ff-{good}-01", f"00-{good}-00", f"00-{'0' * 32}-{'b' * 16}-01", good, ""):
        assert parents_of([("traceparent", bad)]) == {}
