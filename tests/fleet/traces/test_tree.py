"""Spans put together: one tree whatever the order, nothing left out, gaps shown as gaps."""

from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from fleet.traces.told import as_lines, as_rows, beyond_words, draw, name_of, span_words
from fleet.traces.tree import Step, Trace, build
from runtime.telemetry.span import Status, root_id_of, span_id_of, trace_id_of

S = 10**9
NOW = 1_700_000_000 * S
TRACE = trace_id_of("osaka", "r-1", 7, NOW)
ROOT = root_id_of(TRACE)
IDS = [ROOT, *(span_id_of(TRACE, number) for number in range(6))]


def step(span_id: str, parent_id: str, begin: float, end: float | None, **more: object) -> Step:
    made = Step(
        trace_id=TRACE,
        span_id=span_id,
        parent_id=parent_id,
        name="step",
        robot="r-1",
        site="osaka",
        version="v1",
        source="agentd",
        on_robot=True,
        task_id=7,
        start_ns=NOW + round(begin * S),
        end_ns=None if end is None else NOW + round(end * S),
        status=Status.OK,
        attributes={},
    )
    return replace(made, **more)  # type: ignore[arg-type]


ANY_STEPS = st.lists(
    st.builds(
        step,
        st.sampled_from(IDS),
        st.sampled_from(["", "f" * 16, *IDS]),  # of itself, of one another, of one that is not here
        st.floats(-5, 5),
        st.one_of(st.none(), st.floats(5, 9)),
        on_robot=st.booleans(),
    ),
    unique_by=lambda made: made.span_id,
    max_size=7,
)
CIRCLE = [step(IDS[1], IDS[2], 0, 1), step(IDS[2], IDS[1], 0, 1), step(IDS[3], IDS[3], 0, 1)]


@given(ANY_STEPS, st.randoms())
@example(CIRCLE, None)
def test_steps_form_one_tree_whatever_their_order_and_none_is_left_out(steps, random) -> None:
    found = build(TRACE, steps)
    placed = [node.span_id for _, node in found.root.walk()]
    assert len(placed) == len(set(placed))
    assert sorted(s.span_id for s in found.steps) == sorted(s.span_id for s in steps)
    assert found.root.span_id == ROOT
    shuffled = list(steps)
    if random is not None:
        random.shuffle(shuffled)
    assert build(TRACE, shuffled) == found


@given(ANY_STEPS)
def test_a_parent_that_is_not_here_has_a_place_that_says_so(steps) -> None:
    found = build(TRACE, steps)
    here = {s.span_id for s in steps}
    parents = {s.parent_id for s in steps if s.span_id != ROOT}
    absent = parents - here - {"", ROOT}
    shown = {node.span_id for _, node in found.root.walk() if node.step is None}
    assert shown == absent | ({ROOT} - here)
    for row in as_rows(found):
        assert row["missing"] == (row["span_id"] in shown)


@given(ANY_STEPS)
def test_every_step_is_drawn_once_and_within_the_line(steps) -> None:
    drawing = draw(build(TRACE, steps))
    for bar in drawing.bars:
        assert 0.0 <= bar.left <= bar.right <= 1.0
    assert len(list(as_lines(build(TRACE, steps)))) == len(drawing.bars)


def test_parents_come_before_their_children_with_their_ids() -> None:
    steps = [step(ROOT, "", 0, 9), step(IDS[1], ROOT, 1, 5), step(IDS[2], IDS[1], 2, 3)]
    rows = list(as_rows(build(TRACE, [*steps, step(IDS[3], ROOT, 6, 8)])))
    assert [(row["depth"], row["parent_id"]) for row in rows] == [
        (0, None), (1, ROOT), (2, IDS[1]), (1, ROOT),
    ]  # fmt: skip


def journey(*more: Step) -> Trace:
    return build(TRACE, [step(ROOT, "", 0, 8), step(IDS[1], ROOT, 2, 6), *more])


def test_bars_lie_where_their_times_are() -> None:
    bars = draw(journey()).bars
    assert [(bar.left, bar.right) for bar in bars] == [(0.0, 1.0), (0.25, 0.75)]


def test_a_fleet_that_heard_an_hour_later_stands_at_the_edge_and_squeezes_nothing() -> None:
    late = step(IDS[2], ROOT, 3608, 3609, on_robot=False, name="ingest")
    bars = draw(journey(late)).bars
    assert (bars[1].left, bars[1].right) == (0.25, 0.75)
    assert (bars[2].left, bars[2].right) == (1.0, 1.0)
    assert beyond_words(bars[2].beyond_ns) == "1 h 0 min after the task"


def test_a_robot_whose_clock_is_years_ahead_is_said_to_differ() -> None:
    heard = step(IDS[2], ROOT, -5e7, -5e7 + 1, on_robot=False, name="ingest")
    words = beyond_words(draw(journey(heard)).bars[2].beyond_ns)
    assert words == "579 days before the task: the clocks differ"


def test_a_task_that_goes_on_is_drawn_as_far_as_it_is_known() -> None:
    steps = [step(ROOT, "", 0, None), step(IDS[1], ROOT, 1, 4)]
    drawing = draw(build(TRACE, steps))
    assert drawing.lasts_s == 4.0
    assert (drawing.bars[0].left, drawing.bars[0].right) == (0.0, 1.0)


def test_lengths_are_said_as_people_do() -> None:
    said = [span_words(round(seconds * S)) for seconds in (2e-6, 0.0123, 2.5, 75, 3700, 2e5)]
    assert said == ["2 µs", "12.3 ms", "2.5 s", "1 min 15 s", "1 h 1 min", "2 days"]
    assert span_words(None) == "no end yet"


def test_a_terminal_shows_errors_gaps_and_what_goes_on() -> None:
    steps = [
        step(ROOT, "", 0, 8, name="task", status=Status.ERROR, attributes={"reason": "slip"}),
        step(IDS[1], ROOT, 0, 4, name="attempt", attributes={"attempt": 1.0}),
        step(IDS[2], "f" * 16, 5, None, name="pick"),
    ]
    lines = list(as_lines(build(TRACE, steps)))
    assert "xxxx" in lines[0]
    assert "reason=slip" in lines[0]
    assert lines[1].lstrip().startswith("attempt 1")
    assert "????" in lines[2]
    assert "lost, thinned, or on its way" in lines[2]
    assert "...." in lines[3]
    assert name_of(build(TRACE, steps).root) == "task"
