"""The fault table is complete: each pair works, or is refused with a reason."""

import itertools

import pytest

from sim.faults import (
    DUTY,
    PROCESSES,
    REFUSED,
    TABLE,
    ActiveFault,
    Component,
    FaultBoard,
    FaultPlan,
    FaultRefusedError,
    Kind,
    ScheduledFault,
    Venue,
    check_supported,
    parse_component,
    parse_kind,
    process_runs,
    supported_kinds,
)

PAIRS = list(itertools.product(Component, Kind))
S = 1_000_000_000


@pytest.mark.parametrize(("component", "kind"), PAIRS)
def test_each_pair_is_either_supported_or_refused_with_a_reason(
    component: Component, kind: Kind
) -> None:
    supported, refused = kind in TABLE[component], kind in REFUSED.get(component, {})
    assert supported != refused
    if supported:
        effect = TABLE[component][kind]
        assert effect.text
        assert effect.venues
    else:
        with pytest.raises(FaultRefusedError, match="use "):
            check_supported(component, kind, Venue.FREE_RUNNING)


def test_every_component_has_a_fault_in_some_venue() -> None:
    for component in Component:
        assert any(supported_kinds(component, venue) for venue in Venue)


def test_fault_of_another_venue_is_refused_with_that_venue() -> None:
    with pytest.raises(FaultRefusedError, match="free-running"):
        check_supported(Component.NETWORK, Kind.OFF, Venue.LOCK_STEP)


def test_unknown_words_are_refused_with_the_known_ones() -> None:
    with pytest.raises(FaultRefusedError, match=r"camera\.cell"):
        parse_component("camera.roof")
    with pytest.raises(FaultRefusedError, match="stuck"):
        parse_kind("broken")


def test_board_holds_one_fault_a_component() -> None:
    board = FaultBoard(Venue.LOCK_STEP)
    board.inject(Component.GRIPPER, Kind.OFF, 5)
    board.inject(Component.GRIPPER, Kind.SLOW, 9)
    assert board.all_active() == {Component.GRIPPER: ActiveFault(Kind.SLOW, 9)}
    assert board.clear(Component.GRIPPER) == ActiveFault(Kind.SLOW, 9)
    assert board.clear(Component.GRIPPER) is None


def test_plan_begins_and_ends_faults_at_their_times() -> None:
    board = FaultBoard(Venue.LOCK_STEP)
    fault = ScheduledFault(at_ns=2 * S, component=Component.GPU, kind=Kind.OFF, lasts_ns=3 * S)
    plan = FaultPlan([fault], board, start_ns=10 * S)
    assert plan.step(11 * S) == []
    assert plan.step(12 * S) == [(Component.GPU, Kind.OFF)]
    assert plan.step(14 * S) == []
    assert plan.step(15 * S) == [(Component.GPU, None)]
    assert board.all_active() == {}


def test_plan_does_not_end_a_fault_that_somebody_else_replaced() -> None:
    board = FaultBoard(Venue.LOCK_STEP)
    fault = ScheduledFault(at_ns=0, component=Component.GPU, kind=Kind.OFF, lasts_ns=S)
    plan = FaultPlan([fault], board, start_ns=0)
    plan.step(0)
    board.inject(Component.GPU, Kind.SLOW, 1)
    assert plan.step(2 * S) == []
    active = board.active(Component.GPU)
    assert active is not None
    assert active.kind is Kind.SLOW


def test_plan_with_an_unsupported_fault_is_refused_at_once() -> None:
    fault = ScheduledFault(at_ns=0, component=Component.DISK, kind=Kind.WRONG)
    with pytest.raises(FaultRefusedError):
        FaultPlan([fault], FaultBoard(Venue.LOCK_STEP), start_ns=0)


@pytest.mark.parametrize("kind", list(DUTY))
def test_duty_leaves_a_process_its_share(kind: Kind) -> None:
    still_ns, period_ns = DUTY[kind]
    fault = ActiveFault(kind, 0)
    grid = range(0, 4 * period_ns, period_ns // 100)
    share = sum(process_runs(fault, now) for now in grid) / len(grid)
    assert share == pytest.approx(1 - still_ns / period_ns, abs=0.02)


def test_a_process_without_fault_runs_and_one_that_is_off_does_not() -> None:
    assert process_runs(None, 0)
    for kind in TABLE[PROCESSES[0]]:
        runs = process_runs(ActiveFault(kind, 0), 0)
        assert runs == (kind is Kind.GARBAGE)
