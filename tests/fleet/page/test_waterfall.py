"""A journey as a table with bars: it says in words what it shows in colours."""

import re

from fleet.page.waterfall import waterfall
from fleet.traces.tree import build
from runtime.telemetry.span import Status
from tests.fleet.traces.test_tree import IDS, ROOT, TRACE, step


def drawn(*steps) -> list[str]:
    """One row of markup for each step."""
    return re.findall(r"<tr role=.*?</tr>", waterfall(build(TRACE, steps)))[1:]


def test_each_step_has_a_row_with_its_length_and_its_time_in_words() -> None:
    rows = drawn(step(ROOT, "", 0, 8, name="task"), step(IDS[1], ROOT, 2, 6, name="safety_check"))
    assert "safety check" in rows[1]
    assert ">4 s<" in rows[1]
    assert 'aria-label="from 2 s to 6 s"' in rows[1]
    assert 'x="250.0" width="500.0"' in rows[1]
    assert 'class="d1"' in rows[1]


def test_failure_gap_and_the_fleets_own_steps_are_said_in_words_too() -> None:
    rows = drawn(
        step(ROOT, "", 0, 8, name="task", status=Status.ERROR, attributes={"reason": "slip"}),
        step(IDS[1], "f" * 16, 1, 2, name="pick"),
        step(IDS[2], ROOT, 3608, 3609, name="ingest", on_robot=False),
        step(IDS[3], ROOT, 4, None, name="attempt", attributes={"attempt": 2.0}),
    )
    assert "failed" in rows[0]
    assert "reason <b>slip</b>" in rows[0]
    assert "not told" in rows[1]
    assert "still on its way" in rows[1]
    by_name = {name: row for row in rows for name in ("ingest", "attempt 2") if name in row}
    assert ">fleet<" in by_name["ingest"]
    assert "1 h 0 min after the task" in by_name["ingest"]
    assert "no end yet" in by_name["attempt 2"]
    assert 'aria-label="from 4 s on"' in by_name["attempt 2"]


def test_what_a_robot_says_is_never_markup() -> None:
    said = {"<i>": "<script>alert(1)</script>", "detail": '"><svg onload=x>'}
    rows = drawn(step(ROOT, "", 0, 8, name="<b>task", attributes=said))
    assert "<script>" not in rows[0]
    assert "<b>task" not in rows[0]
    assert "<svg onload" not in rows[0]


def test_a_step_too_short_to_see_is_still_a_mark() -> None:
    rows = drawn(
        step(ROOT, "", 0, 3600, name="task"), step(IDS[1], ROOT, 3600, 3600, name="verify")
    )
    assert 'x="996.0" width="4.0"' in rows[1]
