"""An incident in a real browser: opened by an alert of a live robot, worked through by an operator.

The second one is opened by hand, on a phone, and closed.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from fleet.clock import SystemClock
from fleet.incidents.book import IncidentBook
from fleet.incidents.model import BY_ITSELF, Entry, Kind
from fleet.people.accounts import Accounts
from fleet.people.roles import Role
from fleet.store.rows import open_rows
from runtime.shm import StopLevel, StopReason
from tests.browser.conftest import Served, fits
from tests.browser.test_page import DESK, PHONE, SHOTS, Visit

PASSWORD = "nine robots and a lamp"
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def operator(served: Served) -> str:
    """The name of one who may work with robots and not with people."""
    rows = open_rows(served.settings.rows_url)
    Accounts(rows, SystemClock()).add("nina", Role.OPERATOR, PASSWORD)
    rows.dispose()
    return "nina"


def come_in(
    browser: Browser, served: Served, name: str, size: tuple[int, int], scheme: str
) -> Visit:
    visit = Visit(browser, f"{served.url}login?next=/incidents", size, scheme)
    visit.page.get_by_label("Name").fill(name)
    visit.page.get_by_label("Password").fill(PASSWORD)
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator("h1")).to_have_text("Incidents")
    return visit


@pytest.fixture
def desk(browser: Browser, served: Served, operator: str) -> Iterator[Visit]:
    visit = come_in(browser, served, operator, DESK, "light")
    yield visit
    visit.context.close()


@pytest.fixture
def touched(served: Served) -> Iterator[None]:
    """The arm touches something, and stands."""
    served.robot.story.stop, served.robot.story.reason = StopLevel.HOLD, StopReason.COLLISION
    yield
    served.robot.story.stop, served.robot.story.reason = StopLevel.NONE, StopReason.NONE


def a_mode_flaps(served: Served, incident: int) -> None:
    rows, now_ns = open_rows(served.settings.rows_url), SystemClock().wall_ns()
    said = [f"osaka-01: mode.{('left', 'entered')[at % 2]} number={at}" for at in range(40)]
    changes = [Entry(now_ns + at, Kind.CHANGED, BY_ITSELF, text) for at, text in enumerate(said)]
    IncidentBook(rows).note(incident, changes)
    rows.dispose()


def open_case(page: Page) -> None:
    case = page.locator(".case", has_text="touched something")
    for _ in range(120):
        if case.count():
            break
        page.wait_for_timeout(500)
        page.reload(wait_until="domcontentloaded")
    case.first.locator("a").focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(re.compile(r"Incident \d+"))


def test_operator_works_through_a_collision_by_keyboard(desk: Visit, touched: None) -> None:
    page = desk.page
    open_case(page)
    expect(page.locator("#steps .open")).not_to_have_count(0)
    expect(page.locator(".timeline")).to_contain_text("opened")
    page.screenshot(path=SHOTS / "incident-desk-light.png", full_page=True)
    page.get_by_role("button", name="Step 1 is done").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#steps li").first).to_contain_text("done: nina")
    page.get_by_role("button", name="Step 2 is not needed").focus()
    page.keyboard.press("Space")
    expect(page.locator("#steps li").nth(1)).to_contain_text("not needed: nina")
    page.get_by_label("What you saw, did or think").focus()
    page.keyboard.type("a box stood in the way")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".timeline")).to_contain_text("a box stood in the way")
    assert desk.errors == []
    page.get_by_label("Cause", exact=True).fill("a box")
    page.get_by_label("What keeps it from coming again").fill("a shelf for boxes")
    page.get_by_role("button", name="Close it").click()
    expect(page.get_by_role("alert")).to_contain_text("still fires")
    expect(page.locator("[name=cause]")).to_have_value("a box")
    (refused,) = desk.errors
    assert "409" in refused
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as a document").click()
    assert "a box stood in the way" in download.value.path().read_text()


def test_operator_opens_and_closes_an_incident_on_a_phone_in_the_dark(
    browser: Browser, served: Served, operator: str
) -> None:
    visit = come_in(browser, served, operator, PHONE, "dark")
    page = visit.page
    page.get_by_label("What is wrong").fill("a strange noise in the night")
    page.get_by_label("Robot, or").fill("osaka-01")
    page.get_by_label("Runbook").select_option("docs/runbooks/stuck.md")
    page.get_by_role("button", name="Open it").click()
    expect(page.locator("#h-what")).to_have_text("a strange noise in the night")
    expect(page.locator(".command").first).to_contain_text("recent-events osaka-01")
    expect(page.get_by_role("link", name="silent", exact=True)).to_have_attribute(
        "href", "/runbooks/silent"
    )
    assert fits(page, PHONE)
    page.screenshot(path=SHOTS / "incident-phone-dark.png", full_page=True)
    a_mode_flaps(served, int(page.url.rsplit("/", 1)[1]))
    page.reload()
    page.locator("summary", has_text="35 more changes").focus()
    expect(page.locator(".timeline", has_text="number=20")).to_have_count(1)
    expect(page.get_by_text("number=20")).not_to_be_visible()
    page.screenshot(path=SHOTS / "incident-folded-phone-dark.png", full_page=True)
    page.keyboard.press("Enter")
    expect(page.get_by_text("number=20")).to_be_visible()
    assert fits(page, PHONE)
    while page.locator("#steps .open").count():
        left = page.locator("#steps .open").count()
        page.locator("#steps .open").first.get_by_role("button", name="is done").click()
        expect(page.locator("#steps .open")).to_have_count(left - 1)
    page.get_by_label("Cause", exact=True).fill("a loose cover")
    page.get_by_label("What keeps it from coming again").fill("look at covers each week")
    page.get_by_role("button", name="Close it").click()
    expect(page.locator(".pill")).to_have_text("closed")
    expect(page.locator("#h-end")).to_be_visible()
    page.screenshot(path=SHOTS / "incident-closed-phone-dark.png", full_page=True)
    page.get_by_role("link", name="Incidents").click()
    case = page.locator(".case", has_text="a strange noise in the night").first
    expect(case).to_contain_text("closed")
    assert fits(page, PHONE)
    page.screenshot(path=SHOTS / "incidents-phone-dark.png", full_page=True)
    assert visit.errors == []
    visit.context.close()
