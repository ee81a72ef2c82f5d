"""Pages of the list of robots: whole, without overlap, in order, whatever is asked."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.schema.alerts import Severity
from fleet.picture import line_of
from fleet.robot import Freshness, Robot
from fleet.roster import (
    CursorError,
    Duty,
    Line,
    SortKey,
    Wanted,
    choose,
    count,
    duty_of,
    fits,
    is_healthy,
    page_after,
    read_cursor,
)
from tests.fleet.fleet_of import live_of

BLANK = line_of(Robot("osaka", "r", 1, 2, 0), [], 0, in_maintenance=False)
MAYBE = st.none() | st.integers(0, 3)
NAMES = [f"robot-{n}" for n in range(30)]
DESCENDING = st.booleans()


@st.composite
def fleets(draw: st.DrawFn) -> list[Line]:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=12))
    return [
        replace(
            BLANK,
            robot_id=name,
            site=draw(st.sampled_from(["osaka", "lyon"])),
            duty=draw(st.sampled_from(Duty)),
            healthy=draw(st.booleans()),
            done=draw(MAYBE),
            failed=draw(MAYBE),
            misses=draw(MAYBE),
            cycle_p99_us=draw(st.none() | st.floats(0, 100)),
            artifact=draw(st.none() | st.sampled_from(["v1", "v2"])),
            alerts=draw(st.integers(0, 3)),
            worst=draw(st.none() | st.sampled_from(Severity)),
        )
        for name in names
    ]


@given(fleets(), st.sampled_from(SortKey), DESCENDING, st.integers(1, 5))
def test_pages_together_are_the_list_and_nothing_comes_twice(lines, sort, descending, limit):
    wanted, cursor, seen = Wanted(sort=sort, descending=descending), None, []
    while True:
        page, cursor = page_after(lines, wanted, cursor, limit)
        assert len(page) <= limit
        seen += page
        if cursor is None:
            break
    assert seen == choose(lines, wanted)
    assert len({line.robot_id for line in seen}) == len(lines)


@given(fleets(), st.sampled_from(SortKey), DESCENDING, st.integers(1, 4), st.data())
def test_robots_that_come_and_go_move_nobody_to_another_page(lines, sort, descending, limit, data):
    wanted = Wanted(sort=sort, descending=descending)
    page, cursor = page_after(lines, wanted, None, limit)
    if cursor is None:
        return
    gone = data.draw(st.sampled_from(page))
    left = [line for line in lines if line is not gone]
    rest, _ = page_after(left, wanted, cursor, 100)
    assert rest == choose(lines, wanted)[limit:]


@given(fleets(), st.sampled_from(SortKey))
def test_what_is_not_known_comes_last_whichever_way_one_looks(lines, sort):
    for descending in (False, True):
        ordered = choose(lines, Wanted(sort=sort, descending=descending))
        known = [line.success_ratio is not None for line in ordered]
        if sort is SortKey.SUCCESS:
            assert known == sorted(known, reverse=True)


@given(fleets())
def test_counts_add_up(lines):
    counts = count(lines)
    assert sum(counts.by_duty.values()) == counts.robots == len(lines)
    assert counts.healthy <= counts.robots


@given(fleets(), st.sampled_from(Duty), st.booleans())
def test_filters_take_only_what_they_say(lines, duty, healthy):
    for line in choose(lines, Wanted(duty=duty, healthy=healthy, site="lyon", artifact="v1")):
        assert (line.duty, line.healthy, line.site, line.artifact) == (duty, healthy, "lyon", "v1")


def test_search_wants_every_word_somewhere():
    line = replace(BLANK, robot_id="robot-7", site="lyon", modes=("gpu_offline",))
    assert fits(line, Wanted(search="LYON gpu"))
    assert not fits(line, Wanted(search="lyon osaka"))


@given(st.text())
def test_nonsense_is_no_cursor(text):
    with pytest.raises(CursorError):
        read_cursor(text, Wanted())


@given(st.binary(max_size=60), st.sampled_from(SortKey))
def test_no_cursor_breaks_the_list(raw, sort):
    import base64

    text = base64.urlsafe_b64encode(raw).decode()
    try:
        page, more = page_after([BLANK], Wanted(sort=sort), text, 1)
    except CursorError:
        return
    assert (page in ([], [BLANK]), more) == (True, None)


def test_cursor_of_another_order_is_refused():
    lines = [replace(BLANK, robot_id=name) for name in NAMES]
    _, cursor = page_after(lines, Wanted(), None, 3)
    with pytest.raises(CursorError, match="another order"):
        page_after(lines, Wanted(descending=True), cursor, 3)


@given(st.sampled_from(Freshness), st.booleans())
def test_a_robot_that_is_not_heard_is_neither_busy_nor_idle_nor_healthy(freshness, resting):
    live = live_of(1, 0)
    duty = duty_of(freshness, live, in_maintenance=resting)
    if freshness is not Freshness.LIVE:
        assert duty not in (Duty.BUSY, Duty.IDLE)
        assert not is_healthy(duty, live, None)
    if resting:
        assert duty is Duty.MAINTENANCE


def test_health_needs_tier_1_and_nobody_wanted():
    live = live_of(1, 0)
    assert is_healthy(Duty.BUSY, live, None)
    assert is_healthy(Duty.BUSY, live, Severity.INFO)
    assert not is_healthy(Duty.BUSY, live, Severity.WARNING)
    assert not is_healthy(Duty.BUSY, {**live, "control": None}, None)
    old = {**live, "control": {**live["control"], "age_ms": 5000}}
    assert not is_healthy(Duty.BUSY, old, None)


@pytest.mark.parametrize(
    ("part", "duty"),
    [
        ({"control": None}, Duty.STOPPED),
        ({"goal": None}, Duty.IDLE),
        ({"goal": {"phase": "idle"}}, Duty.IDLE),
        ({"goal": {"phase": "pick"}}, Duty.BUSY),
    ],
)
def test_duty_is_what_the_robot_says(part, duty):
    assert duty_of(Freshness.LIVE, {**live_of(1, 0), **part}, in_maintenance=False) is duty


def test_a_robot_never_heard_says_nothing():
    assert BLANK.duty is Duty.OFFLINE
    assert (BLANK.done, BLANK.success_ratio, BLANK.artifact, BLANK.healthy) == (
        None,
        None,
        None,
        False,
    )
