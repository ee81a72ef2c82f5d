"""An admin's pages in a real browser: by keyboard, on a phone, in light and dark."""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Served, fits
from tests.browser.test_page import DESK, PHONE, SHOTS, Visit

pytestmark = pytest.mark.timeout(240)


def test_admin_adds_somebody_and_they_come_in_and_are_shut_out(
    browser: Browser, served: Served
) -> None:
    visit = Visit(browser, served.link("/people"), DESK, "light")
    page = visit.page
    page.locator("[name=name]").focus()
    page.keyboard.type("clara")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("clara may come in as operator")
    password = page.locator(".secret").inner_text()
    guest = browser.new_context()
    other = guest.new_page()
    other.goto(f"{served.url}login", wait_until="domcontentloaded")
    other.get_by_label("Name").fill("clara")
    other.get_by_label("Password").fill(password)
    other.keyboard.press("Enter")
    expect(other).to_have_url(re.compile("/(fleet|robots/osaka-01)$"))
    other.goto(f"{served.url}people", wait_until="domcontentloaded")
    expect(other.locator("body")).to_contain_text("this needs the role admin")
    section = page.locator(".person", has=page.get_by_role("heading", name="clara"))
    section.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("status")).to_contain_text("clara can no longer come in")
    other.goto(f"{served.url}fleet", wait_until="domcontentloaded")
    expect(other).to_have_url(re.compile("/login"))
    page.get_by_role("link", name="Audit").click()
    expect(page.locator(".audit")).to_contain_text("/people/clara disable")
    assert visit.errors == []
    guest.close()
    visit.context.close()


@pytest.mark.parametrize("path", ["people", "audit", "account"])
@pytest.mark.parametrize(
    ("size", "scheme"), [(DESK, "light"), (DESK, "dark"), (PHONE, "light"), (PHONE, "dark")]
)
def test_admins_pages_fit_their_screen(
    browser: Browser, served: Served, path: str, size: tuple[int, int], scheme: str
) -> None:
    visit = Visit(browser, served.link(f"/{path}"), size, scheme)
    expect(visit.page.locator("main .panel").first).to_be_visible()
    assert fits(visit.page, size)
    kind = "desk" if size == DESK else "phone"
    SHOTS.mkdir(parents=True, exist_ok=True)
    visit.page.screenshot(path=SHOTS / f"{path}-{kind}-{scheme}.png", full_page=True)
    assert visit.errors == []
    visit.context.close()
