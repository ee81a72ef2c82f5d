"""One task as a state machine: what it does with everything it can see."""

from dataclasses import replace
from math import hypot

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from runtime.agent.execution import (
    Area,
    Execution,
    PolicyReport,
    Rules,
    Scene,
    SeenPart,
    Stage,
    View,
    advance,
    begin,
    choose_place,
    place_grid,
)
from runtime.agent.task import FailReason, Task, TaskSource

S = 1_000_000_000
STEP = 50_000_000
RULES = Rules(
    pick=Area((0.47, -0.24), (0.30, 0.30)), place=Area((0.47, 0.24), (0.30, 0.30)), attempts_max=3
)
TASK = Task(7, "pick_place", TaskSource.API, created_wall_ns=0)
RADIUS_M = 0.04
PART = SeenPart(3, (0.45, -0.2, 0.04), 0.9, RADIUS_M)
IDLE = View(scene=None, policy=None, holding=False, may_move=True)


def seen(now_ns: int, *parts: SeenPart) -> Scene:
    return Scene(now_ns, parts)


def report(*, done=False, failed=False, reason="none", task_id=7) -> PolicyReport:
    return PolicyReport(task_id, done, failed, reason)


def picking(now_ns: int = S) -> Execution:
    run = advance(begin(TASK, now_ns), replace(IDLE, scene=seen(now_ns, PART)), now_ns, RULES)
    assert run.stage is Stage.PICK
    return run


def placing(now_ns: int = S) -> Execution:
    run = advance(picking(now_ns), replace(IDLE, holding=True), now_ns, RULES)
    assert run.stage is Stage.PLACE
    return run


def verifying(now_ns: int = S) -> Execution:
    run = advance(placing(now_ns), replace(IDLE, policy=report(done=True)), now_ns, RULES)
    run = advance(run, replace(IDLE, at_home=True), now_ns, RULES)
    assert run.stage is Stage.VERIFY
    return run


def test_a_task_observes_picks_places_retreats_verifies_and_is_done():
    run = verifying()
    assert run.place_m is not None
    there = SeenPart(9, run.place_m, 0.8, RADIUS_M)
    done = advance(run, replace(IDLE, scene=seen(2 * S, there)), 2 * S, RULES)
    assert done.stage is Stage.DONE
    assert done.attempt == 1


def test_observe_ignores_a_picture_taken_before_it_began():
    run = begin(TASK, S)
    assert advance(run, replace(IDLE, scene=seen(S - 1, PART)), S, RULES).stage is Stage.OBSERVE


def test_observe_takes_the_part_that_was_asked_for_and_no_other():
    task = replace(TASK, object_id=5)
    other = SeenPart(5, (0.5, -0.3, 0.04), 0.6, RADIUS_M)
    run = advance(begin(task, S), replace(IDLE, scene=seen(S, PART, other)), S, RULES)
    assert run.target == other
    run = advance(begin(task, S), replace(IDLE, scene=seen(S, PART)), S, RULES)
    assert run.stage is Stage.OBSERVE


@pytest.mark.parametrize(
    "part",
    [
        replace(PART, confidence=0.3),
        replace(PART, position_m=(0.47, 0.24, 0.04)),
        replace(PART, position_m=(2.0, -0.2, 0.04)),
        replace(PART, position_m=(0.34, -0.39, 0.04)),  # the top of the bin's wall
    ],
)
def test_observe_does_not_pick_what_is_doubtful_or_lies_elsewhere(part):
    run = advance(begin(TASK, S), replace(IDLE, scene=seen(S, part)), S, RULES)
    assert run.stage is Stage.OBSERVE


def test_observe_that_sees_nothing_in_time_fails_after_its_attempts():
    run, now_ns = begin(TASK, 0), 0
    while not run.stage.is_final:
        now_ns += STEP
        run = advance(run, replace(IDLE, scene=seen(now_ns)), now_ns, RULES)
        assert now_ns < 100 * S
    assert (run.stage, run.reason, run.attempt) == (Stage.FAILED, FailReason.NO_PART_SEEN, 3)


def test_pick_that_the_policy_gives_up_is_tried_again_with_another_part_first():
    other = SeenPart(8, (0.5, -0.3, 0.04), 0.7, RADIUS_M)
    run = advance(
        picking(), replace(IDLE, policy=report(failed=True, reason="grasp_missed")), S, RULES
    )
    assert (run.stage, run.attempt, run.reason) == (Stage.OBSERVE, 2, FailReason.GRASP_MISSED)
    run = advance(run, replace(IDLE, scene=seen(S, PART, other)), S, RULES)
    assert run.target == other


def test_pick_is_not_ended_by_a_report_about_another_task():
    view = replace(IDLE, policy=report(failed=True, task_id=6))
    assert advance(picking(), view, S, RULES).stage is Stage.PICK


def test_pick_that_takes_too_long_is_tried_again():
    run = picking(S)
    late = S + RULES.pick_timeout_ns + 1
    assert advance(run, IDLE, late, RULES).reason is FailReason.PICK_TIMEOUT


def test_place_without_a_part_in_the_tray_afterwards_is_no_success():
    """The policy says done; the picture does not agree, and the picture decides."""
    run, now_ns = verifying(), S
    while run.stage is Stage.VERIFY:
        now_ns += STEP
        run = advance(run, replace(IDLE, scene=seen(now_ns, PART)), now_ns, RULES)
    assert (run.stage, run.reason, run.attempt) == (Stage.OBSERVE, FailReason.PLACE_NOT_SEEN, 2)


def test_a_part_that_was_set_down_unseen_keeps_its_place_for_this_task_and_the_next():
    """Two dark parts on one dark spot would be pressed into each other."""
    run, now_ns = verifying(), S
    first = run.place_m
    while run.stage is not Stage.OBSERVE:
        now_ns += STEP
        run = advance(run, replace(IDLE, scene=seen(now_ns, PART)), now_ns, RULES)
    again = advance(run, replace(IDLE, scene=seen(now_ns, PART)), now_ns, RULES)
    after = advance(
        begin(TASK, now_ns, again.unseen), replace(IDLE, scene=seen(now_ns, PART)), now_ns, RULES
    )
    for chosen in (again, after):
        assert chosen.stage is Stage.PICK
        apart_m = hypot(chosen.place_m[0] - first[0], chosen.place_m[1] - first[1])
        assert apart_m > 2 * RADIUS_M


def test_verify_does_not_count_a_part_that_is_still_in_the_gripper():
    run = verifying()
    there = SeenPart(9, run.place_m, 0.8, RADIUS_M)
    view = replace(IDLE, scene=seen(2 * S, there), holding=True)
    assert advance(run, view, 2 * S, RULES).stage is Stage.VERIFY


def test_a_stop_with_a_part_in_the_gripper_goes_on_placing_afterwards():
    run = advance(placing(), replace(IDLE, may_move=False, holding=True), 2 * S, RULES)
    assert run.stopped_since_ns == 2 * S
    assert advance(run, replace(IDLE, holding=True), 3 * S, RULES).stage is Stage.PLACE


def test_a_stop_that_lost_the_part_looks_again_afterwards():
    run = advance(placing(), replace(IDLE, may_move=False), 2 * S, RULES)
    again = advance(run, IDLE, 3 * S, RULES)
    assert (again.stage, again.attempt, again.target) == (Stage.OBSERVE, 1, None)


def test_a_stop_that_lasts_gives_the_task_up():
    run = advance(picking(), replace(IDLE, may_move=False), 2 * S, RULES)
    late = 2 * S + RULES.stopped_max_ns
    assert advance(run, replace(IDLE, may_move=False), late, RULES).reason is FailReason.STOPPED


def test_a_task_moved_by_the_fallback_says_so():
    assert advance(picking(), replace(IDLE, fallback=True), S, RULES).fallback


def tray_parts() -> st.SearchStrategy[list[SeenPart]]:
    side = st.floats(-0.15, 0.15)
    place = st.tuples(side.map(lambda x: 0.47 + x), side.map(lambda y: 0.24 + y), st.just(0.04))
    part = st.builds(SeenPart, st.just(20), place, st.just(0.9), st.floats(0.02, 0.08))
    return st.lists(part, max_size=6)


@given(tray_parts(), st.floats(0.02, 0.08))
def test_a_part_is_placed_inside_the_tray_and_touches_no_other(parts: list[SeenPart], radius_m):
    place = choose_place(parts, replace(PART, radius_m=radius_m), RULES)
    if place is None:
        assert parts
        return
    assert RULES.place.holds(place, 1e-9 - radius_m)
    for other in parts:
        apart_m = hypot(place[0] - other.position_m[0], place[1] - other.position_m[1])
        assert apart_m > max(radius_m + other.radius_m, RULES.verify_radius_m)


def test_an_empty_tray_is_filled_from_the_middle_with_large_parts():
    large, lying = replace(PART, radius_m=0.055), []
    for count in range(4):
        place = choose_place(lying, large, RULES)
        assert place is not None, f"no place beside {count} parts"
        lying.append(replace(large, position_m=place))
    assert lying[0].position_m[:2] == pytest.approx((0.47, 0.24))


def test_a_part_is_placed_where_it_has_room_not_just_beside_another():
    lying = SeenPart(20, (0.47, 0.24, 0.04), 0.9, 0.04)
    place = choose_place([lying], replace(PART, radius_m=0.04), RULES)
    assert place is not None
    assert hypot(place[0] - 0.47, place[1] - 0.24) >= 0.08 + RULES.place_room_m


def test_a_full_tray_leaves_no_place():
    places = place_grid(RULES, RADIUS_M)
    parts = [SeenPart(i, (x, y, 0.02), 0.9, RADIUS_M) for i, (x, y) in enumerate(places)]
    assert choose_place(parts, PART, RULES) is None
    assert choose_place([], PART, RULES) is not None


PARTS = [
    PART,
    SeenPart(4, (0.5, -0.3, 0.04), 0.4, RADIUS_M),
    SeenPart(10, (0.47, 0.24, 0.04), 0.9, RADIUS_M),
    SeenPart(11, (0.40, 0.16, 0.04), 0.9, RADIUS_M),
]
SIGHTS = st.none() | st.lists(st.sampled_from(PARTS), max_size=3, unique=True).map(tuple)
REPORTS = st.none() | st.builds(
    PolicyReport, st.sampled_from([0, 7]), st.booleans(), st.booleans(), st.just("x")
)
LOOKS = st.tuples(
    SIGHTS,
    REPORTS,
    st.sampled_from([None, False, True]),
    st.integers(0, 5),
    st.booleans(),
    st.sampled_from([0, 0, 0, STEP, 20 * S]),
    st.sampled_from([STEP, S, 30 * S]),
)


def look(drawn, now_ns: int) -> View:
    parts, policy, holding, moves, at_home, age_ns, _ = drawn
    return View(
        scene=None if parts is None else Scene(now_ns - age_ns, parts),
        policy=policy,
        holding=holding,
        may_move=moves > 0,
        at_home=at_home,
    )


@given(st.lists(LOOKS, max_size=40))
def test_whatever_is_seen_attempts_are_bounded_and_every_task_ends(looks):
    run, now_ns = begin(TASK, 0), 0
    for drawn in looks:
        now_ns += drawn[-1]
        after = advance(run, look(drawn, now_ns), now_ns, RULES)
        assert run.attempt <= after.attempt <= RULES.attempts_max
        if run.stage.is_final:
            assert after == run
        if after.stage in {Stage.PICK, Stage.PLACE}:
            assert after.target is not None
            assert after.place_m is not None
        run = after
    for _ in range(200):
        now_ns += 3 * S
        run = advance(run, replace(IDLE, scene=seen(now_ns)), now_ns, RULES)
    assert run.stage.is_final


def brought(scene: Scene, place_m: tuple[float, float, float]) -> bool:
    return any(
        hypot(part.position_m[0] - place_m[0], part.position_m[1] - place_m[1])
        <= RULES.verify_radius_m
        for part in scene.parts
    )


@given(st.lists(LOOKS, min_size=10, max_size=60))
def test_done_is_reached_only_with_a_part_seen_where_it_was_to_go(looks):
    run, now_ns = begin(TASK, 0), 0
    for drawn in looks:
        now_ns += STEP
        view = look(drawn, now_ns)
        after = advance(run, view, now_ns, RULES)
        if after.stage is Stage.PICK and run.stage is Stage.OBSERVE:
            assert not brought(view.scene, after.place_m)
        if after.stage is Stage.DONE and run.stage is not Stage.DONE:
            event("done")
            assert view.scene is not None
            assert run.place_m is not None
            assert view.holding is False
            assert view.scene.capture_ns >= run.stage_since_ns
            assert brought(view.scene, run.place_m)
        run = after
