"""The health panel: the newest word of each check, and nothing unknown is ever called well."""

from hypothesis import given
from hypothesis import strategies as st

from fleet.events import Event
from fleet.page.health import OLD_NS, findings, health_rows, health_word, task_rows
from runtime.telemetry.line import Point

NOW_NS = 10**18
STATES = ["ok", "warn", "fail", "unknown", "sparkling"]


def point(check: str, state: str, age_s: float = 1.0, **fields: object) -> Point:
    known = {"check": check, "state": state, "unit": "°C", "critical": False, **fields}
    return Point("health", {"robot": "r1"}, known, NOW_NS - round(age_s * 1e9))  # type: ignore[arg-type]


def word_of(*points: Point) -> tuple[str, str]:
    return health_word(findings(points, NOW_NS))


def test_newest_word_of_each_check_counts_and_the_worst_is_first() -> None:
    found = findings(
        [
            point("disk", "fail", 1),
            point("disk", "ok", 40),
            point("gpu_temp", "ok"),
            point("a", "ok"),
        ],
        NOW_NS,
    )
    assert [(one.check, one.state) for one in found] == [
        ("disk", "fail"),
        ("a", "ok"),
        ("gpu_temp", "ok"),
    ]


def test_figures_are_written_out() -> None:
    shown = {50_620.4: "50,620", 6.7e-07: "0", 0.9173: "0.917", 54.0: "54", 30.634: "30.63"}
    for value, words in shown.items():
        rows = health_rows(findings([point("a", "ok", value=value)], NOW_NS))
        assert f"<td>{words} °C</td>" in rows


def test_words_tell_a_limit_from_a_failure_and_a_failure_from_silence() -> None:
    assert word_of(point("disk", "ok")) == ("all well", "good")
    assert word_of(point("disk", "warn")) == ("1 check near a limit", "warn")
    assert word_of(point("disk", "fail")) == ("1 check failing", "warn")
    assert word_of(point("disk", "fail", critical=True)) == ("1 check failing", "bad")
    assert word_of(point("disk", "unknown")) == ("1 check not known", "warn")
    assert word_of(point("disk", "ok"), point("gpu", "ok", OLD_NS / 1e9 + 1))[1] == "warn"
    assert word_of() == ("not known", "warn")


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(STATES), st.floats(0, 600)), max_size=8
    )
)
def test_all_well_is_said_only_when_every_check_said_so_lately(
    told: list[tuple[str, str, float]],
) -> None:
    found = findings([point(*one) for one in told], NOW_NS)
    word, state = health_word(found)
    well = bool(found) and all(one.state == "ok" and one.age_ns <= OLD_NS for one in found)
    assert (state == "good") == well
    assert (word == "all well") == well


def test_words_of_a_robot_are_shown_as_words() -> None:
    rows = health_rows(
        findings([point("<b>", "ok", note="<script>", unit="<i>", value=3.0)], NOW_NS)
    )
    assert "<script>" not in rows
    assert "<i>" not in rows
    assert "&lt;b&gt;" in rows


def test_tasks_that_ended_are_listed_with_why_and_what_came_late() -> None:
    def event(name: str, **fields: object) -> Event:
        known = {"id": 1, "at_ns": NOW_NS, "clock_ns": NOW_NS, "robot": "r1", "site": "osaka"}
        told = {"version": "v1", "severity": "info", "source": "agentd", "task": "<grasp>"}
        return Event(**known, **told, name=name, task_id=7, replayed=True, fields=fields)  # type: ignore[arg-type]

    rows = task_rows(
        [event("task.started"), event("task.failed", reason="part_dropped", duration_s=3.25)]
    )
    assert rows.count("<tr>") == 1
    assert "&lt;grasp&gt; 7" in rows
    assert "part dropped" in rows
    assert "replayed" in rows
    assert "3.2 s" in rows
    assert "No task has ended" in task_rows([event("task.started")])
