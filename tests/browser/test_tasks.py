"""A task's page and the list of events in a real browser, told by a robot over a real broker."""

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from runtime.telemetry.client import Record, RecordKind, Severity
from runtime.telemetry.span import Span, Status, fields_of, root_id_of, span_id_of, trace_id_of
from runtime.telemetry.stamp import Instant
from tests.browser.conftest import Served, fits
from tests.browser.test_page import DESK, PHONE, SHOTS, Visit
from tests.fleet.robotsim import Simulated

S = 10**9
TASK = 4711
pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def journey(now_ns: int) -> list[Span]:
    """A task that went wrong once, with a step whose parent never comes."""
    trace = trace_id_of("osaka", "osaka-01", TASK, 1)
    root = root_id_of(trace)
    made: list[Span] = []

    def add(name: str, parent: str, begin_s: float, end_s: float, good: bool, **said) -> str:
        span_id = span_id_of(trace, len(made))
        status = Status.OK if good else Status.ERROR
        start_ns, end_ns = now_ns - round((12 - begin_s) * S), now_ns - round((12 - end_s) * S)
        made.append(Span(trace, span_id, parent, name, TASK, start_ns, end_ns, status, said))
        return span_id

    task = {"skill": "pick_place", "asked_by": "api", "result": "done", "attempts": 2.0}
    made.append(Span(trace, root, "", "task", TASK, now_ns - 12 * S, now_ns, Status.OK, task))
    add("queue", root, 0, 1.5, True)
    first = add("attempt", root, 1.5, 5.5, False, attempt=1.0, reason="grasp_missed")
    add("select", first, 1.5, 2, True, object_id=3, parts_seen=4, picture_age_ms=31.0)
    pick = add("pick", first, 2, 5.5, False, reason="grasp_missed")
    add("inference", pick, 2, 5.4, True, chunks=21.0, slowest_ms=4.3, policy="primary")
    add("safety_check", pick, 2, 5.5, True, rejected_actions=0.0, verdict="ok")
    add("command", pick, 2.1, 5.5, True, cycles=3400.0, misses=0.0, source="policy")
    again = add("attempt", root, 5.5, 12, True, attempt=2.0)
    for name, begin_s, end_s in (("select", 5.5, 6), ("pick", 6, 8), ("place", 8, 10.5)):
        add(name, again, begin_s, end_s, True)
    add("retreat", again, 10.5, 11.4, True)
    add("verify", again, 11.4, 12, True, parts_seen=4)
    add("inference", "f" * 16, 8.2, 9.9, True, chunks=11.0)
    return made


def tell(robot: Simulated) -> None:
    now_ns = time.monotonic_ns()
    records = [
        Record(RecordKind.METRIC, "agentd", "span", Severity.INFO, now_ns, fields_of(span, now_ns))
        for span in journey(now_ns)
    ]
    done = robot.spool.commit(records, Instant(now_ns, time.time_ns()))
    robot.outbox.note_commit(robot.spool, done, now_ns)
    for name, fields in (
        ("task.started", {}),
        ("perception.looked", {"latency_ms": 31.0}),
        ("task.attempt_failed", {"reason": "grasp_missed"}),
        ("action.done", {"latency_ms": 240.0, "stage": "place"}),
        ("task.done", {"duration_s": 12.0, "attempt": 2}),
    ):
        severity = Severity.WARNING if "failed" in name else Severity.INFO
        robot.say_event(name, severity, task_id=TASK, skill="pick_place", **fields)


@pytest.fixture(scope="module")
def told(served: Served, browser: Browser) -> Served:
    """With a journey in the fleet's rows: the page is asked until it shows."""
    tell(served.robot)
    visit = Visit(browser, served.link("/fleet"), DESK, "light")
    link = f"{served.url}robots/osaka-01/tasks/{TASK}"
    deadline = time.monotonic() + 60
    while True:
        visit.page.goto(link, wait_until="domcontentloaded")
        page = visit.page.content()
        if "ingest" in page and "task.done" in page:
            break
        assert time.monotonic() < deadline, page[-1500:]
        time.sleep(0.3)
    visit.context.close()
    return served


@pytest.fixture
def page(browser: Browser, told: Served) -> Iterator[Page]:
    visit = Visit(browser, told.link(f"/robots/osaka-01/tasks/{TASK}"), DESK, "light")
    yield visit.page
    assert visit.errors == []
    visit.context.close()


def test_task_shows_every_step_with_its_length_and_what_is_missing(page: Page) -> None:
    rows = page.get_by_role("table").first.get_by_role("row")
    expect(rows.nth(1)).to_contain_text("task")
    expect(page.get_by_role("row", name="attempt 1")).to_contain_text("failed")
    expect(page.get_by_role("row", name="attempt 1")).to_contain_text("grasp_missed")
    expect(page.get_by_role("row", name="safety check")).to_contain_text("verdict ok")
    expect(page.get_by_role("row", name="not told")).to_contain_text("still on its way")
    expect(page.get_by_role("row", name="ingest")).to_contain_text("fleet")
    bars = page.locator("tr.missing svg rect.bar")
    expect(bars).to_have_count(1)
    begin = page.locator("tr", has_text="attempt 2").locator("rect.bar").bounding_box()
    whole = page.locator("tr", has_text="attempt 2").locator("rect.rail").bounding_box()
    assert begin is not None
    assert whole is not None
    assert abs((begin["x"] - whole["x"]) / whole["width"] - 5.5 / 12) < 0.02


def test_events_of_the_task_lead_to_the_list_and_its_filters(page: Page) -> None:
    page.get_by_role("link", name="All, with filters").click()
    expect(page).to_have_url(re.compile(f"/events\\?robot=osaka-01&task_id={TASK}"))
    page.get_by_label("Expression").fill("latency_ms > 200")
    page.keyboard.press("Enter")
    expect(page.locator("table.log tbody tr")).to_have_count(1)
    expect(page.locator("table.log tbody tr")).to_contain_text("action.done")
    page.get_by_label("Expression").fill("latency_ms >")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("a value is expected")
    page.get_by_role("link", name="all events").click()
    expect(page.locator("table.log tbody tr").first).to_be_visible()
    with page.expect_download() as taken:
        page.get_by_role("link", name="CSV").click()
    assert taken.value.suggested_filename == "events.csv"


@pytest.mark.parametrize(
    ("name", "size", "scheme"),
    [
        ("desk-light", DESK, "light"),
        ("desk-dark", DESK, "dark"),
        ("phone-light", PHONE, "light"),
        ("phone-dark", PHONE, "dark"),
    ],
)
def test_task_and_events_fit_their_screen(
    browser: Browser, told: Served, name: str, size: tuple[int, int], scheme: str
) -> None:
    pages = {"task": f"/robots/osaka-01/tasks/{TASK}", "events": "/events?type=task.*"}
    SHOTS.mkdir(parents=True, exist_ok=True)
    for what, link in pages.items():
        visit = Visit(browser, told.link(link), size, scheme)
        expect(visit.page.get_by_role("heading", level=1)).to_be_visible()
        assert fits(visit.page, size)
        visit.page.screenshot(path=SHOTS / f"{what}-{name}.png", full_page=True)
        assert visit.errors == []
        visit.context.close()
