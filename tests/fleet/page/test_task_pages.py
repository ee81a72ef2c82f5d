"""Pages of events and of one task, as somebody without a screen gets them."""

import csv
import io
from collections.abc import Iterator

import orjson
import pytest

from fleet.people.roles import Role
from fleet.store.rows import open_rows
from runtime.telemetry.span import trace_id_of
from tests.fleet.api.test_interface import made_settings
from tests.fleet.metrics.test_rollup import NOW_S, Side
from tests.fleet.page_bench import Bench, Visitor, bench
from tests.fleet.people.conftest import People
from tests.fleet.traces.test_log import Teller, journey_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("pages")
    url = f"sqlite:///{folder / 'rows.sqlite'}"
    side = Side(url, folder)
    robot = Teller("r-1")
    robot.event("task.started", NOW_S - 9, skill="place", task_id=7)
    robot.tell(journey_of("r-1", 7, NOW_S - 1, failed=True), NOW_S - 1)
    robot.event("action.done", NOW_S - 2, skill="place", task_id=7, latency_ms=240.0)
    robot.event("task.failed", NOW_S - 1, skill="place", task_id=7, reason="gripper_slip")
    robot.event("task.done", NOW_S - 5, skill="insert", task_id=8)
    side.ingest.process([robot.all()])
    for number in range(120):
        many = Teller(f"m-{number}")
        many.event("boot.reported", NOW_S - 4000 - number, slot="B")
        side.ingest.process([many.all()])
    side.close()
    rows = open_rows(url)
    (folder / "fleet").mkdir()
    with bench(made_settings(folder), People(rows)) as served:
        yield served
    rows.dispose()


@pytest.fixture
def viewer(made: Bench) -> Iterator[Visitor]:
    with made.logged_in(Role.VIEWER) as client:
        yield client


def test_events_are_found_by_all_that_can_be_asked(viewer: Visitor) -> None:
    page = viewer.get("/events?robot=r-1&where=latency_ms+>+200").text
    assert "action.done" in page
    assert "task.failed" not in page
    page = viewer.get("/events?words=gripper+slip").text
    assert "task.failed" in page
    assert "action.done" not in page
    assert "No event fits" in viewer.get("/events?type=task.*&severity=critical").text


def test_pages_lead_to_older_ones_until_all_were_seen(viewer: Visitor) -> None:
    seen, link = 0, "/events?type=boot.reported"
    while link:
        page = viewer.get(link).text
        seen += page.count("<code>boot.reported</code>")
        found = page.split('rel="next" href="')
        link = found[1].split('"')[0].replace("&amp;", "&") if len(found) > 1 else ""
    assert seen == 120


def test_a_mistake_is_pointed_at_and_nothing_else_is_shown(viewer: Visitor) -> None:
    page = viewer.get("/events?where=latency_ms+>").text
    assert "a value is expected" in page
    assert "boot.reported" not in page
    assert viewer.get("/events/export?where=latency_ms+>").status_code == 400


def test_what_is_shown_can_be_taken_along(viewer: Visitor) -> None:
    reply = viewer.get("/events/export?robot=r-1&type=task.*&format=csv")
    assert reply.headers["content-type"].startswith("text/csv")
    assert "events.csv" in reply.headers["content-disposition"]
    names = [row["name"] for row in csv.DictReader(io.StringIO(reply.text))]
    assert names == ["task.failed", "task.done", "task.started"]
    lines = viewer.get("/events/export?robot=r-1&format=jsonl").text.splitlines()
    assert [orjson.loads(line)["task_id"] for line in lines] == [7, 7, 8, 7]


def test_a_task_has_its_journey_its_result_and_its_events(viewer: Visitor) -> None:
    page = viewer.get("/robots/r-1/tasks/7").text
    assert trace_id_of("osaka", "r-1", 7, 1) in page
    for word in ("attempt", "pick", "ingest", "task.failed", "gripper_slip", "8 s"):
        assert word in page
    assert "task.done" not in page
    assert page.count('role="rowheader"') == 4


def test_a_task_that_told_no_journey_still_shows_its_events_and_why(viewer: Visitor) -> None:
    page = viewer.get("/robots/r-1/tasks/8").text
    assert "task.done" in page
    assert "outside the share" in page


def test_what_nobody_has_told_of_is_not_there(viewer: Visitor) -> None:
    assert viewer.get("/robots/r-1/tasks/99").status_code == 404
    assert viewer.get("/robots/r-2/tasks/7").status_code == 404
    assert viewer.get(f"/robots/r-1/tasks/7?trace={'a' * 32}").status_code == 404
    assert viewer.get("/robots/r-1/tasks/x").status_code == 422


def test_a_stranger_is_led_to_the_login(made: Bench) -> None:
    with made.visitor() as stranger:
        for page in ("/events", "/robots/r-1/tasks/7"):
            assert stranger.get(page).headers["location"].startswith("/login?next=")
        assert stranger.get("/events/export").status_code == 401


def test_the_api_tells_journeys_by_pages_and_each_step_by_step(viewer: Visitor) -> None:
    trace_id = trace_id_of("osaka", "r-1", 7, 1)
    listed = viewer.get("/api/v1/traces?robot=r-1&status=error").json()
    assert [item["trace_id"] for item in listed["items"]] == [trace_id]
    assert listed["next"] is None
    steps = viewer.get(f"/api/v1/traces/{trace_id}").json()["steps"]
    assert [(step["depth"], step["name"]) for step in steps] == [
        (0, "task"), (1, "attempt"), (2, "pick"), (1, "ingest"),
    ]  # fmt: skip
    assert viewer.get(f"/api/v1/traces/{'0' * 32}").status_code == 404
    first = viewer.get("/api/v1/events?limit=2").json()
    again = viewer.get(f"/api/v1/events?limit=2&cursor={first['next']}").json()
    assert len({item["time_ns"] for item in (*first["items"], *again["items"])}) == 4
    assert viewer.get(f"/api/v1/events?cursor={'9' * 19}-1").status_code == 400
