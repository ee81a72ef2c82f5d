"""The commit gate as a function: what passes, what waits, and that worse is never better."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.commit_gate import (
    RANK,
    Item,
    LatencyLimits,
    ProcessState,
    Reading,
    Verdict,
    Wakeups,
    badness,
    decide,
    judge_absence,
    judge_disk,
    judge_latency,
    judge_processes,
    judge_slot,
)
from records import Certainty

WELL = tuple(Reading(item, Certainty.OK, "well", "well") for item in Item)
LIMITS = LatencyLimits(limit_us=200.0, margin_ratio=1.25, cycles=1000, decides=True)


def reading(item: Item, level: int) -> Reading:
    """From well (0) to wrong for good (3)."""
    certainty = (Certainty.OK, Certainty.UNKNOWN, Certainty.WRONG, Certainty.WRONG)[level]
    return Reading(item, certainty, "well", f"level {level}", lasting=level == 3)


LEVELS = st.lists(st.integers(0, 3), min_size=len(Item), max_size=len(Item))
TIMES = st.floats(-10, 2000) | st.sampled_from([math.nan, math.inf])


def rows(levels: list[int]) -> tuple[Reading, ...]:
    return tuple(reading(item, level) for item, level in zip(Item, levels, strict=True))


def test_everything_well_in_time_passes_without_a_reason() -> None:
    decision = decide(WELL, 100, 600)
    assert decision.verdict is Verdict.PASS
    assert decision.reasons == ()


@pytest.mark.parametrize("item", Item)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_one_reading_that_is_not_well_never_passes(item: Item, level: int) -> None:
    found = tuple(row for row in WELL if row.item is not item)
    decision = decide((*found, reading(item, level)), 100, 600)
    assert decision.verdict is (Verdict.FAIL if level == 3 else Verdict.WAITING)
    assert any(item.value in reason for reason in decision.reasons)


@pytest.mark.parametrize("item", Item)
def test_a_reading_that_nobody_took_never_passes_and_fails_at_the_deadline(item: Item) -> None:
    found = tuple(row for row in WELL if row.item is not item)
    assert decide(found, 100, 600).verdict is Verdict.WAITING
    late = decide(found, 600, 600)
    assert late.verdict is Verdict.FAIL
    assert "not decided within 600 s" in late.reasons[0]
    assert any(item.value in reason for reason in late.reasons)


def test_the_deadline_ends_waiting_not_what_is_seen_to_be_well() -> None:
    """A slow start may use all the time there is: a slot that is well then is no bad one."""
    assert decide(WELL, 601, 600).verdict is Verdict.PASS
    assert decide((*WELL, reading(Item.FLEET, 1)), 601, 600).verdict is Verdict.FAIL


def test_nothing_read_at_all_is_unknown() -> None:
    assert decide((), 1, 600).verdict is Verdict.UNKNOWN


@given(LEVELS, TIMES, st.integers(0, len(Item) - 1), st.integers(1, 3))
def test_making_a_reading_worse_never_makes_the_verdict_better(
    levels: list[int], elapsed_s: float, index: int, more: int
) -> None:
    worse = list(levels)
    worse[index] = min(3, worse[index] + more)
    before, after = decide(rows(levels), elapsed_s, 600), decide(rows(worse), elapsed_s, 600)
    assert RANK[after.verdict] >= RANK[before.verdict]


@given(LEVELS, TIMES, st.integers(0, len(Item) - 1))
def test_leaving_a_reading_out_never_makes_anything_pass(
    levels: list[int], elapsed_s: float, index: int
) -> None:
    left = tuple(row for at, row in enumerate(rows(levels)) if at != index)
    assert decide(left, elapsed_s, 600).verdict is not Verdict.PASS


@given(LEVELS, st.floats(0, 2000), st.floats(0, 2000))
def test_time_alone_never_makes_the_verdict_better(
    levels: list[int], first_s: float, second_s: float
) -> None:
    early, late = sorted((first_s, second_s))
    before, after = decide(rows(levels), early, 600), decide(rows(levels), late, 600)
    assert RANK[after.verdict] >= RANK[before.verdict]


@given(LEVELS, TIMES, st.permutations(range(len(Item))))
def test_the_order_of_readings_does_not_matter(
    levels: list[int], elapsed_s: float, order: list[int]
) -> None:
    found = rows(levels)
    assert decide([found[at] for at in order], elapsed_s, 600) == decide(found, elapsed_s, 600)


@given(LEVELS, TIMES, st.sampled_from(Item), st.integers(0, 3))
def test_a_second_reading_of_an_item_can_only_make_it_worse(
    levels: list[int], elapsed_s: float, item: Item, level: int
) -> None:
    once = decide(rows(levels), elapsed_s, 600)
    twice = decide((*rows(levels), reading(item, level)), elapsed_s, 600)
    assert RANK[twice.verdict] >= RANK[once.verdict]


@given(LEVELS, TIMES)
def test_only_a_pass_has_no_reason(levels: list[int], elapsed_s: float) -> None:
    decision = decide(rows(levels), elapsed_s, 600)
    assert (decision.reasons == ()) == (decision.verdict is Verdict.PASS)


def test_a_slow_build_within_the_limit_but_beyond_the_margin_is_wrong_for_good() -> None:
    """The planted fault: 80 µs is below the limit of 200, but the last committed build had 40."""
    found = judge_latency(Wakeups(80.0, 90.0, 1000), 40.0, LIMITS)
    assert (found.certainty, found.lasting) == (Certainty.WRONG, True)
    assert "80.0 µs" in found.found
    assert "50.0 µs" in found.wanted


def test_the_same_latency_is_well_where_nothing_was_committed_before() -> None:
    assert judge_latency(Wakeups(80.0, 90.0, 1000), None, LIMITS).certainty is Certainty.OK


def test_latency_beyond_the_limit_is_wrong_whatever_was_committed() -> None:
    found = judge_latency(Wakeups(201.0, 300.0, 1000), 1000.0, LIMITS)
    assert found.certainty is Certainty.WRONG


def test_latency_of_too_few_cycles_is_unknown() -> None:
    assert judge_latency(Wakeups(1.0, 1.0, 999), None, LIMITS).certainty is Certainty.UNKNOWN
    assert judge_latency(None, None, LIMITS).certainty is Certainty.UNKNOWN


def test_latency_that_may_not_decide_is_told_and_well() -> None:
    told = replace(LIMITS, decides=False, why_not="its clock is the host's")
    found = judge_latency(Wakeups(9000.0, 9000.0, 1000), 1.0, told)
    assert found.certainty is Certainty.OK
    assert "its clock is the host's" in found.found


def test_latency_that_is_no_number_is_not_well() -> None:
    found = judge_latency(Wakeups(math.nan, 1.0, 1000), None, LIMITS)
    assert found.certainty is Certainty.WRONG


@given(st.floats(0, 1e5), st.floats(0, 1e5), st.none() | st.floats(0.1, 1e5))
def test_a_slower_loop_is_never_judged_better(a: float, b: float, committed: float | None) -> None:
    fast, slow = sorted((a, b))
    judged = [judge_latency(Wakeups(us, us, 1000), committed, LIMITS) for us in (fast, slow)]
    assert badness(judged[1]) >= badness(judged[0])


@given(st.floats(0, 1e5), st.floats(0.1, 1e5))
def test_a_committed_latency_only_ever_tightens(us: float, committed: float) -> None:
    free = judge_latency(Wakeups(us, us, 1000), None, LIMITS)
    bound = judge_latency(Wakeups(us, us, 1000), committed, LIMITS)
    assert badness(bound) >= badness(free)


def test_another_slot_than_the_one_that_should_have_booted_is_wrong_for_good() -> None:
    found = judge_slot("b", "a")
    assert (found.certainty, found.lasting) == (Certainty.WRONG, True)
    assert judge_slot("b", "b").certainty is Certainty.OK
    assert judge_slot(None, "b").certainty is Certainty.UNKNOWN
    assert judge_slot("b", None).certainty is Certainty.UNKNOWN


@pytest.mark.parametrize(
    ("reached", "excuse", "wanted"),
    [
        (True, None, Certainty.OK),
        (False, None, Certainty.WRONG),
        (None, None, Certainty.UNKNOWN),
        (False, "allowed", Certainty.OK),
        (None, "allowed", Certainty.OK),
    ],
)
def test_absence_counts_unless_it_is_excused(
    reached: bool | None, excuse: str | None, wanted: Certainty
) -> None:
    found = judge_absence(Item.FLEET, "the broker", reached, excuse)
    assert found.certainty is wanted
    assert not found.lasting


def state(name: str, since_s: float | None = 100.0, **changes: bool) -> ProcessState:
    return ProcessState(name, changes.get("active", True), changes.get("failed", False), since_s)


def test_processes_are_well_when_the_youngest_has_run_for_the_declared_time() -> None:
    found = {"controld": state("controld"), "agentd": state("agentd", 60.0)}
    assert judge_processes(found, found, 60).certainty is Certainty.OK
    assert judge_processes(found, found, 61).certainty is Certainty.UNKNOWN


def test_a_process_that_crash_loops_never_gets_old_enough() -> None:
    found = {"controld": state("controld"), "visiond": state("visiond", 2.0)}
    judged = judge_processes(found, found, 60)
    assert judged.certainty is Certainty.UNKNOWN
    assert "visiond only for 2 s" in judged.found


@pytest.mark.parametrize("changes", [{"failed": True}, {"active": False}])
def test_a_process_that_is_down_is_wrong(changes: dict[str, bool]) -> None:
    found = {"controld": state("controld", **changes)}
    assert judge_processes(found, found, 60).certainty is Certainty.WRONG


def test_a_process_nobody_can_see_is_unknown() -> None:
    assert judge_processes(["controld"], {}, 60).certainty is Certainty.UNKNOWN
    assert judge_processes([], {}, 60).certainty is Certainty.UNKNOWN
    found = {"controld": state("controld", None)}
    assert judge_processes(found, found, 60).certainty is Certainty.UNKNOWN


def test_disk_needs_the_declared_room() -> None:
    assert judge_disk(300.0, 256).certainty is Certainty.OK
    assert judge_disk(200.0, 256).certainty is Certainty.WRONG
    assert judge_disk(None, 256).certainty is Certainty.UNKNOWN
    assert judge_disk(math.nan, 256).certainty is Certainty.UNKNOWN
