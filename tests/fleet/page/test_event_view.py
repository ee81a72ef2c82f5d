"""Which events a viewer asks for: from an address and back, every mistake said, nothing obeyed."""

from urllib.parse import parse_qsl, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from fleet.events import Cursor, Event
from fleet.page.event_view import NAMES, asked_of, rows

NOW_NS = 1_700_000_000 * 10**9
KNOWN = {"site": "osaka", "version": "v1", "source": "agentd", "replayed": False}


def event(**more: object) -> Event:
    made = {"id": 4, "at_ns": NOW_NS, "clock_ns": NOW_NS, "robot": "r-1", "name": "task.done"}
    told = {"severity": "info", "task": "grasp", "task_id": 7, "fields": {}}
    return Event(**{**made, **KNOWN, **told, **more})  # type: ignore[arg-type]


def test_a_question_is_understood_and_comes_back_as_an_address() -> None:
    form = {
        "robot": "robot-47", "type": "task.*", "task": "insert", "task_id": "5235",
        "severity": "warning", "since": "1h", "words": "gripper slip", "where": "latency_ms > 200",
    }  # fmt: skip
    asked = asked_of(form, NOW_NS)
    assert asked.mistakes == ()
    wanted = asked.wanted
    assert (wanted.robot, wanted.name, wanted.task, wanted.task_id) == (
        "robot-47", "task.*", "insert", 5235,
    )  # fmt: skip
    assert wanted.since_ns == NOW_NS - 3600 * 10**9
    assert wanted.where is not None
    assert wanted.where.holds({"latency_ms": 240.0})
    again = dict(parse_qsl(urlsplit(asked.link()).query))
    assert again == form
    assert asked_of(again, NOW_NS).wanted == wanted
    assert asked.link("/events/export", format="csv").startswith("/events/export?")


def test_times_are_utc_and_go_before_the_last_hour() -> None:
    form = {"since": "1h", "from": "2023-11-14T22:00", "to": "2023-11-14T22:13:20"}
    wanted = asked_of(form, NOW_NS).wanted
    assert wanted.until_ns == NOW_NS
    assert wanted.since_ns == NOW_NS - 800 * 10**9


def test_all_mistakes_are_said_at_once() -> None:
    form = {
        "since": "soon", "from": "yesterday", "task_id": "x7", "severity": "loud", "where": "a >",
    }  # fmt: skip
    said = asked_of(form, NOW_NS).mistakes
    assert len(said) == 5
    assert any("^" in one for one in said)  # the expression, pointed at


def test_a_place_in_the_list_is_kept_and_nonsense_is_the_first_page() -> None:
    asked = asked_of({"before": str(event().cursor)}, NOW_NS)
    assert asked.after == Cursor(NOW_NS, 4)
    for nonsense in ("", "-", "x-1", "1", "9" * 19 + "-1", "9" * 30 + "-1"):
        assert asked_of({"before": nonsense}, NOW_NS).after is None


@given(st.dictionaries(st.sampled_from([*NAMES, "before", "x"]), st.text(max_size=30)))
def test_no_address_breaks_the_page(query: dict[str, str]) -> None:
    asked = asked_of(query, NOW_NS)
    assert asked.link().startswith("/events")


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_robots_words_are_shown_and_never_obeyed(name: str, said: str) -> None:
    shown = rows([event(name=f"<b>{name}", fields={"note": f"<script>{said}"}, robot="<r>")])
    assert "<script>" not in shown
    assert "<b><b>" not in shown
    assert "&lt;r&gt;" in shown


def test_rows_lead_to_the_task_and_say_what_came_late() -> None:
    shown = rows([event(replayed=True, fields={"latency_ms": 240.0, "reason": "none"})])
    assert 'href="/robots/r-1/tasks/7"' in shown
    assert "replayed" in shown
    assert "latency ms <b>240</b>" in shown
    assert "reason" not in shown
    assert "/tasks/" not in rows([event(task_id=None)])
