"""A task's journey as spans: whatever happens to it, a tree without a gap, each step once."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from conf.schema.telemetry import Traces
from runtime.agent.actions import actions_of
from runtime.agent.execution import Scene, Stage, View, advance, begin
from runtime.agent.journey import Journey, follow, started
from runtime.agent.journeys import Journeys, Whose
from runtime.agent.look import ControlFigures, Look, PolicyFigures, VerdictFigures
from runtime.agent.task import FailReason, Task, TaskSource, TaskState
from runtime.hal.clock import VirtualClock
from runtime.telemetry.client import MemorySink, RecordKind, TelemetryClient
from runtime.telemetry.span import Span, Status, root_id_of, trace_id_of
from tests.agent.test_execution import PART, RULES, STEP, TASK, S, report

TRACE = trace_id_of("osaka", "r-1", TASK.task_id, TASK.created_wall_ns)
LOOK = Look(
    PolicyFigures(TASK.task_id, 3, 4.5, 0, "none", "primary"),
    ControlFigures(1000, "policy", 0, 0, 0, 1.0, "none"),
    VerdictFigures(1, "ok", 0.3),
)


def views(now_ns: int) -> st.SearchStrategy[View]:
    scenes = st.sampled_from([None, Scene(now_ns, ()), Scene(now_ns, (PART,))])
    reports = st.sampled_from([None, report(done=True), report(failed=True), report(task_id=99)])
    return st.builds(
        View,
        scene=scenes,
        policy=reports,
        holding=st.sampled_from([None, True, False]),
        may_move=st.sampled_from([True, True, True, False]),
        at_home=st.booleans(),
    )


@given(st.data())
def test_steps_of_any_execution_form_one_tree_and_each_ends_once(data: st.DataObject) -> None:
    now_ns, look = S, LOOK
    run = begin(TASK, now_ns)
    journey, first = started(TRACE, run, look, now_ns)
    told: list[Span] = [first]
    for _ in range(data.draw(st.integers(1, 60))):
        now_ns += data.draw(st.sampled_from([STEP, 3 * S, 70 * S]))
        view = data.draw(views(now_ns))
        look = busier(look, data.draw(st.integers(0, 3)))
        run = advance(run, view, now_ns, RULES)
        journey, spans = follow(journey, run, view, look, now_ns)
        told += spans
        if run.stage.is_final:
            break
    check_tree(told, ended=run.stage.is_final)


def busier(look: Look, more: int) -> Look:
    assert look.policy is not None
    assert look.control is not None
    policy = replace(
        look.policy, chunks=look.policy.chunks + more, rejected=look.policy.rejected + more
    )
    control = replace(look.control, cycle=look.control.cycle + 50)
    return replace(look, policy=policy, control=control)


def check_tree(told: list[Span], *, ended: bool) -> None:
    closed = [span.span_id for span in told if span.end_ns is not None]
    assert len(closed) == len(set(closed)), "a step ended twice"
    known = {span.span_id: span for span in told}
    still_open = {i for i, span in known.items() if span.end_ns is None and i not in closed}
    assert len(still_open) == (0 if ended else 1)
    for span in told:
        parent = span.parent_id
        # A stage's parts are told with it when it is over; only what goes on is not there yet.
        assert parent in known or parent == root_id_of(TRACE) or not ended
        assert span.end_ns is None or span.start_ns <= span.end_ns
        above = known.get(parent)
        if above is not None and above.end_ns is not None and span.end_ns is not None:
            assert above.start_ns <= span.start_ns
            assert span.end_ns <= above.end_ns


def play(*turns: View) -> list[Span]:
    now_ns, run, look = S, begin(TASK, S), LOOK
    journey, first = started(TRACE, run, look, now_ns)
    told = [first]
    for view in turns:
        now_ns, look = now_ns + STEP, busier(look, 2)
        scene = None if view.scene is None else Scene(now_ns, view.scene.parts)
        view = replace(view, scene=scene)
        run = advance(run, view, now_ns, RULES)
        journey, spans = follow(journey, run, view, look, now_ns)
        told += spans
    return told


WAIT = View(scene=None, policy=None, holding=False, may_move=True)
SEES = replace(WAIT, scene=Scene(0, (PART,)))
HOLDS = replace(WAIT, holding=True)


def test_a_retry_is_told_with_what_went_before_and_why() -> None:
    missed = replace(WAIT, policy=report(failed=True, reason="grasp_missed"))
    told = play(SEES, WAIT, WAIT, missed, SEES, WAIT, HOLDS)
    names = [(span.name, span.status) for span in told if span.end_ns is not None]
    moving = [("inference", Status.OK), ("safety_check", Status.OK), ("command", Status.OK)]
    assert names == [
        ("select", Status.OK),
        *moving,
        ("pick", Status.ERROR),
        ("attempt", Status.ERROR),
        ("select", Status.OK),
        *moving,
        ("pick", Status.OK),
    ]
    failed = next(span for span in told if span.name == "attempt" and span.end_ns is not None)
    assert failed.attributes["reason"] == FailReason.GRASP_MISSED.value
    assert len({span.span_id for span in told if span.name == "attempt"}) == 2
    chosen = next(span for span in told if span.name == "select")
    assert chosen.attributes["object_id"] == PART.object_id
    assert chosen.attributes["parts_seen"] == 1


def test_figures_are_what_was_counted_in_that_stage_alone() -> None:
    told = play(SEES, WAIT, WAIT, WAIT, HOLDS)
    by_name = {span.name: span for span in told}
    assert by_name["inference"].attributes["chunks"] == 8.0  # two a look, in four looks
    assert by_name["inference"].attributes["slowest_ms"] == 4.5
    assert by_name["safety_check"].attributes["rejected_actions"] == 8.0
    assert by_name["safety_check"].attributes["verdict"] == "ok"
    assert by_name["command"].attributes["cycles"] == 200.0
    assert by_name["command"].attributes["source"] == "policy"


def test_a_stop_is_told_inside_the_stage_that_it_interrupted() -> None:
    stopped = replace(WAIT, may_move=False)
    told = play(SEES, WAIT, stopped, stopped, WAIT, SEES, WAIT)
    stop = next(span for span in told if span.name == "stopped")
    interrupted = next(span for span in told if span.name == "pick")
    assert stop.parent_id == interrupted.span_id
    assert interrupted.status is Status.UNSET  # it neither failed nor came to its end
    assert stop.end_ns is not None
    assert stop.end_ns - stop.start_ns == 2 * STEP


def test_policy_that_started_again_is_counted_from_its_new_beginning() -> None:
    journey, _ = started(TRACE, begin(TASK, S), LOOK, S)
    moving = replace(journey, stage=Stage.PICK)
    assert LOOK.policy is not None
    again = replace(LOOK, policy=replace(LOOK.policy, chunks=1))
    run = replace(begin(TASK, S), stage=Stage.PICK)
    after, _ = follow(moving, run, WAIT, again, S + STEP)
    assert isinstance(after, Journey)
    assert after.motion.inference.number("chunks") == 1.0


class Robot:
    def __init__(self, policy: Traces) -> None:
        self.clock, self.sink = VirtualClock(5 * S), MemorySink()
        client = TelemetryClient(self.sink, "agentd", self.clock)
        self.journeys = Journeys(Whose("osaka", "r-1"), policy, self.clock, client)

    def task(self, number: int, *, well: bool) -> list[dict[str, object]]:
        task = Task(number, "pick_place", TaskSource.API, self.clock.wall_ns())
        self.journeys.submitted(task)
        self.clock.advance(S)
        run = begin(task, self.clock.now_ns())
        self.journeys.started(run, LOOK)
        self.clock.advance(S)
        if not well:
            run = replace(run, attempt=2, reason=FailReason.GRASP_MISSED)
            self.journeys.stepped(run, WAIT, LOOK, self.clock.now_ns())
        state = TaskState.DONE if well else TaskState.FAILED
        self.journeys.ended(task.finished(state, self.clock.wall_ns()))
        told = self.sink.drain()
        self.events = [record for record in told if record.kind is RecordKind.EVENT]
        return [record.fields for record in told if record.kind is RecordKind.METRIC]


def test_every_task_is_told_unless_the_profile_says_otherwise() -> None:
    robot = Robot(Traces())
    steps = [fields["step"] for fields in robot.task(1, well=True)]
    assert steps == ["task", "queue", "attempt", "task"]
    assert [f["ended_ago_us"] for f in robot.task(2, well=True)] == [-1.0, 0.0, -1.0, 0.0]


def test_a_task_outside_the_share_is_told_whole_when_it_fails_and_not_at_all_when_not() -> None:
    robot = Robot(Traces(share_ratio=0.0))
    assert robot.task(1, well=True) == []
    steps = [fields["step"] for fields in robot.task(2, well=False)]
    assert steps == ["task", "queue", "attempt", "select", "attempt", "attempt", "task"]
    assert Robot(Traces(share_ratio=0.0, failed=False)).task(1, well=False) == []


def test_a_robot_that_samples_nothing_keeps_nothing() -> None:
    robot = Robot(Traces(share_ratio=0.0))
    for number in range(30):
        robot.task(number, well=number % 2 == 0)
    assert robot.journeys._held == {}
    assert robot.journeys._told == set()


def test_what_was_done_is_told_as_events_whether_the_journey_is_or_not() -> None:
    robot = Robot(Traces(share_ratio=0.0, failed=False))
    assert robot.task(3, well=False) == []
    assert [record.name for record in robot.events] == ["perception.looked", "recovery.retried"]
    assert robot.events[0].fields["task_id"] == 3
    assert robot.events[0].fields["attempt"] == 1
    assert robot.events[1].fields["attempt"] == 2


def test_each_kind_of_step_has_its_event_with_what_was_measured() -> None:
    missed = replace(WAIT, policy=report(failed=True, reason="grasp_missed"))
    seen_at = replace(SEES, scene=Scene(S, (PART,)))
    told = play(seen_at, WAIT, WAIT, missed, SEES, WAIT, HOLDS)
    actions = list(actions_of(TASK, 1, told))
    assert [action.name for action in actions] == [
        "perception.looked",
        "decision.made",
        "action.failed",
        "recovery.retried",
        "perception.looked",
        "decision.made",
        "action.done",
    ]
    assert actions[1].fields["latency_ms"] == 4.5
    assert actions[2].fields["reason"] == "grasp_missed"
    assert actions[2].fields["stage"] == "pick"
    assert actions[6].fields["lasted_ms"] == 100.0
    assert "latency_ms" in actions[0].fields
