"""Simulated robots: deterministic, plausible, and honest about what they hold."""

import itertools
import random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.load.held import Spool
from fleet.load.live import live_message
from fleet.load.plan import Bad, Plan
from fleet.load.story import Said, Story
from fleet.robot import parse_live
from records import Priority
from runtime.telemetry.frame import Ack, decode_frame, encode_frame
from runtime.telemetry.patience import LONGEST
from runtime.telemetry.ranges import SeqSet, expand
from runtime.telemetry.span import Span, Status, read_span

NS = 10**9
NOW_NS = 1_700_000_000 * NS
HOUR_NS = 3600 * 10**9


def told(plan: Plan, number: int, hours: float = 1.0, step_s: float = 60.0) -> list[Said]:
    story = Story(plan, number, NOW_NS)
    said: list[Said] = []
    for step in range(1, round(hours * 3600 / step_s) + 1):
        said += story.until(NOW_NS + round(step * step_s * 1e9))
    return said


def test_the_same_seed_tells_the_same_story_however_often_it_is_asked() -> None:
    plan = Plan(seed=3, metric_period_s=30)
    assert told(plan, 1, step_s=1.0) == told(plan, 1, step_s=600.0)
    assert told(plan, 1) != told(plan, 2)
    assert told(plan, 1) != told(Plan(seed=4, metric_period_s=30), 1)


def test_times_ascend_and_every_task_has_its_whole_story() -> None:
    said = told(Plan(metric_period_s=3600, task_period_s=20), 5)
    assert [item.at_ns for item in said] == sorted(item.at_ns for item in said)
    names = [item.fields["name"] for item in said if item.measurement == "event"]
    ended = names.count("task.done") + names.count("task.failed")
    assert 0 <= names.count("task.started") - ended <= 1
    for name in ("perception.looked", "decision.made", "feedback.given"):
        assert names.count(name) >= ended
    assert 0.75 < names.count("task.done") / ended < 1.0


def test_one_task_in_so_many_tells_its_journey_as_a_robot_does() -> None:
    plan = Plan(metric_period_s=3600, task_period_s=20, traces_ratio=0.25)
    said = told(plan, 5, hours=4)
    ends = {
        item.fields["task_id"]: item.fields["name"] == "task.done"
        for item in said
        if item.fields.get("name") in ("task.done", "task.failed")
    }
    spool = Spool("robot-005", plan.site(5), 7)
    spool.add([item for item in said if item.measurement == "span"], "v23")
    spans = [read_span(held.line) for held in spool.held.values()]
    journeys: dict[int, list[Span]] = {}
    for span in spans:
        assert span is not None
        journeys.setdefault(span.task_id, []).append(span)
    assert 0.15 < len(journeys) / len(ends) < 0.35
    for task_id, steps in journeys.items():
        (root,) = [step for step in steps if not step.parent_id]
        assert (root.status is Status.OK) is ends[task_id]
        ids = {step.span_id for step in steps}
        assert len(ids) == len(steps)
        assert {step.parent_id for step in steps} - {""} <= ids
        assert all(root.start_ns <= step.start_ns <= (step.end_ns or 0) for step in steps)
        assert {step.name for step in steps} >= {"attempt", "select", "inference", "command"}
    silent = told(Plan(metric_period_s=3600, task_period_s=20, traces_ratio=0.0), 5)
    assert not [item for item in silent if item.measurement == "span"]


def test_a_planted_version_is_told_of_and_fails_at_its_task_alone() -> None:
    bad = Bad("v24", "insert", 0.2, 1, 1, NOW_NS + HOUR_NS)
    said = told(Plan(metric_period_s=3600, task_period_s=6, bad=bad), 1, hours=4)
    (update,) = [item for item in said if item.fields.get("name") == "boot.reported"]
    assert update.at_ns >= bad.since_ns
    assert update.fields["artifact_name.text"] == "v24"

    def ratio(task: str, *, after: bool) -> float:
        ends = [
            item.fields["name"] == "task.done"
            for item in said
            if item.fields.get("name") in ("task.done", "task.failed")
            and item.fields["skill.text"] == task
            and (item.at_ns > bad.since_ns) is after
        ]
        return sum(ends) / len(ends)

    assert ratio("insert", after=False) > 0.8
    assert ratio("insert", after=True) < 0.4
    assert ratio("grasp", after=True) > 0.8


def said_once(at_ns: int, priority: Priority = Priority.METRIC) -> Said:
    return Said(at_ns, 0, "control", priority, {"a": 1.0})


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_nothing_held_is_lost_while_frames_and_acknowledgements_are(seed: int) -> None:
    """A channel that loses, doubles and reorders: in the end the fleet has every number."""
    draw = random.Random(seed)
    spool, stored, booked = Spool("r-1", "osaka", 7, cap=60, resend_s=2.0), SeqSet(), SeqSet()
    now_ns, on_way = NOW_NS, []
    for turn in range(130):
        now_ns += 10**9
        if turn < 60:
            spool.add((said_once(now_ns) for _ in range(draw.randint(0, 9))), f"v{turn // 30}")
        for frame in spool.frames(now_ns):
            on_way += [encode_frame(frame)] * (1 if turn > 80 else draw.choice((0, 1, 2)))
        draw.shuffle(on_way)
        for payload in on_way[: len(on_way) // 2 + 1]:
            frame = decode_frame(payload)
            for first, last in frame.ranges:
                stored.add(first, last)
            for first, last in frame.thinned:
                booked.add(first, last)
            if turn > 80 or draw.random() < 0.6:
                spool.note_ack(Ack(7, stored=frame.ranges, thinned=frame.thinned))
        on_way = on_way[len(on_way) // 2 + 1 :]
    assert spool.is_empty
    assert booked.minus(stored) == spool.thinned.minus(stored)
    everything = SeqSet(stored)
    everything.update(booked)
    assert everything.ranges() == ((1, spool.head),)


def test_a_fleet_that_does_not_answer_is_asked_ever_less_often_and_not_by_all_at_once() -> None:
    """By the rule of the robots' own outbox."""
    asked_s: dict[str, list[int]] = {}
    for name in ("r-1", "r-2"):
        spool = Spool(name, "osaka", 7, resend_s=5.0)
        spool.add([said_once(NOW_NS)], "v1")
        sent = asked_s[name] = [at_s for at_s in range(600) if spool.frames(NOW_NS + at_s * NS)]
        gaps = [after - before for before, after in itertools.pairwise(sent)]
        assert gaps[0] == 5
        assert min(gaps[4:]) >= 5 * LONGEST / 2
        assert max(gaps) <= 5 * LONGEST + 1
        spool.add([said_once(NOW_NS)], "v1")
        assert spool.frames(NOW_NS + 600 * NS)
        spool.note_ack(Ack(7, stored=((1, 1),)), NOW_NS + 601 * NS)  # somebody answers again
        assert spool.frames(NOW_NS + 606 * NS)
    assert asked_s["r-1"] != asked_s["r-2"]


def test_frames_have_one_version_and_mark_what_is_late() -> None:
    spool = Spool("r-1", "osaka", 7)
    spool.add([said_once(NOW_NS - HOUR_NS)] * 3, "v23")
    spool.add([said_once(NOW_NS)] * 2, "v24")
    first, second = spool.frames(NOW_NS)
    assert (first.artifact_name, first.replayed, list(expand(first.ranges))) == (
        "v23",
        True,
        [1, 2, 3],
    )
    assert (second.artifact_name, second.replayed) == ("v24", False)
    assert decode_frame(encode_frame(first)).lines == first.lines


def test_the_account_says_what_is_held() -> None:
    spool = Spool("r-1", "osaka", 7)
    spool.add([said_once(NOW_NS)] * 5, "v23")
    spool.note_ack(Ack(7, stored=((2, 3),), refused=((5, 5),)))
    account = orjson.loads(spool.account())
    assert (account["head"], account["pending"]) == (5, [[1, 1], [4, 4]])


@pytest.mark.parametrize("step_s", [1, 10, 100])
def test_a_live_message_is_one_the_page_can_read(step_s: int) -> None:
    plan = Plan()
    story, spool = Story(plan, 1, NOW_NS), Spool("robot-001", "osaka", 7)
    now_ns = NOW_NS + step_s * 10**9
    spool.add(story.until(now_ns), "v23")
    message = live_message("robot-001", "osaka", "v23", story, spool, now_ns)
    assert parse_live(orjson.dumps(message)) is not None
