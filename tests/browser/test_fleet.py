"""The fleet's page in a real browser: many robots through a real broker, each with its own key."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import orjson
import pytest
from playwright.sync_api import Browser, Page, expect

from fleet.pki import Authority, equip_robot
from runtime.telemetry.uplink import MqttUplink, Presence, UplinkSettings
from runtime.topics import TopicName
from tests.browser.conftest import Served, fits
from tests.browser.test_page import DESK, PHONE, SHOTS, Visit, bound
from tests.fleet.fleet_of import live_of, name_of, site_of

ROBOTS = 8
pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Crowd:
    """Robots that say what `live_of` makes up, over connections of their own."""

    def __init__(self, served: Served, folder: Path) -> None:
        authority, broker = Authority(served.settings.pki), served.settings.broker_port
        self.done = dict.fromkeys(range(ROBOTS), 100)
        self.silent: set[int] = set()
        self._uplinks: list[MqttUplink] = []
        for number in range(ROBOTS):
            keys = folder / name_of(number)
            equip_robot(authority, site_of(number), name_of(number), keys)
            files = (keys / "ca.crt", keys / "robot.crt", keys / "robot.key")
            settings = UplinkSettings("127.0.0.1", broker, 10, *files)
            presence = Presence(name_of(number), site_of(number), "v23", "f" * 64)
            self._uplinks.append(MqttUplink(settings, presence))
        self._ending = Event()
        self._thread = Thread(target=self._speak)
        self._thread.start()

    def _speak(self) -> None:
        while not self._ending.wait(0.4):
            for number, uplink in enumerate(self._uplinks):
                if number not in self.silent:
                    live = live_of(number, time.time_ns())
                    live["tasks"] = {"done": self.done[number], "failed": number, "waiting": 0}
                    uplink.send(TopicName.LIVE, orjson.dumps(live))

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        for uplink in self._uplinks:
            uplink.close()


@pytest.fixture(scope="module")
def crowd(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    made = Crowd(served, tmp_path_factory.mktemp("crowd"))
    yield made
    made.close()


@pytest.fixture
def page(browser: Browser, served: Served, crowd: Crowd) -> Iterator[Page]:
    visit = Visit(browser, served.link("/fleet"), DESK, "light")
    expect(row(visit.page, ROBOTS - 1)).to_contain_text("live")
    yield visit.page
    assert visit.errors == []
    visit.context.close()


def row(page: Page, number: int):
    return page.locator(f'[data-row="{name_of(number)}"]')


def test_every_robot_is_in_the_list_and_counted(page: Page) -> None:
    expect(bound(page, "n.robots").first).to_have_text(f"{ROBOTS + 1} robots")
    expect(page.locator("[data-row]")).to_have_count(ROBOTS + 1)
    expect(row(page, 5)).to_contain_text("stopped")
    expect(bound(page, "n.stopped")).to_have_text("1")
    expect(page.locator('[data-m="versions"]')).to_contain_text("v23")
    expect(page.locator('[data-m="attention"]')).to_contain_text(name_of(5))


def test_only_what_changes_is_sent_and_it_shows_without_a_reload(page: Page, crowd: Crowd) -> None:
    page.evaluate("document.querySelector('[data-row]').dataset.mark = 'same'")
    crowd.done[2] = 7654
    expect(row(page, 2)).to_contain_text("7,654")
    assert page.evaluate("document.querySelector('[data-row]').dataset.mark") == "same"


def test_robot_that_falls_silent_is_no_longer_called_live(page: Page, crowd: Crowd) -> None:
    crowd.silent.add(1)
    try:
        expect(row(page, 1)).to_contain_text("stale")
        expect(row(page, 1)).not_to_contain_text("live")
    finally:
        crowd.silent.clear()
    expect(row(page, 1)).to_contain_text("live")


def test_search_sorting_and_states_are_asked_of_the_server(page: Page) -> None:
    page.get_by_role("link", name="Failed").click()
    expect(page).to_have_url(re.compile("sort=failed&down=1"))
    expect(page.locator("[data-row]").first).to_have_attribute("data-row", name_of(ROBOTS - 1))
    expect(page.locator('[aria-sort="descending"]')).to_have_text("Failed")
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("lyon")
    page.keyboard.press("Enter")
    expect(page.locator("[data-row]")).to_have_count(sum(n % 3 == 2 for n in range(ROBOTS)))
    expect(page).to_have_url(re.compile("q=lyon.*sort=failed"))
    page.get_by_role("link", name="all robots").click()
    page.locator('a.duty[href*="duty=stopped"]').click()
    expect(page.locator("[data-row]")).to_have_count(1)


def test_list_leads_to_a_robot_and_back_by_keyboard(page: Page) -> None:
    link = page.get_by_role("link", name=name_of(3), exact=True)
    link.focus()
    page.wait_for_timeout(1500)  # rows change meanwhile
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/robots/{name_of(3)}$"))
    page.locator(".brand").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/fleet$"))


@pytest.mark.parametrize(
    ("name", "size", "scheme"),
    [
        ("fleet-desk-light", DESK, "light"),
        ("fleet-desk-dark", DESK, "dark"),
        ("fleet-phone-light", PHONE, "light"),
        ("fleet-phone-dark", PHONE, "dark"),
    ],
)
def test_fleet_fits_its_screen(
    browser: Browser, served: Served, crowd: Crowd, name: str, size: tuple[int, int], scheme: str
) -> None:
    visit = Visit(browser, served.link("/fleet"), size, scheme)
    expect(row(visit.page, 0)).to_be_visible()
    assert fits(visit.page, size)
    SHOTS.mkdir(parents=True, exist_ok=True)
    visit.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
    assert visit.errors == []
    visit.context.close()


def test_stranger_is_led_to_the_login_and_then_where_they_wanted(
    browser: Browser, served: Served, crowd: Crowd
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{served.url}fleet", wait_until="domcontentloaded")
    expect(page).to_have_url(re.compile("/login\\?next=/fleet"))
    page.get_by_label("Name").fill("owner")
    page.get_by_label("Password").fill("surely not this one")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / "login.png")
    context.close()


def test_logging_out_ends_open_pages_too(browser: Browser, served: Served, crowd: Crowd) -> None:
    visit = Visit(browser, served.link("/account"), DESK, "light")
    page = visit.page
    other = visit.context.new_page()
    other.goto(f"{served.url}fleet", wait_until="domcontentloaded")
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(re.compile("/login"))
    expect(other).to_have_url(re.compile("/login"), timeout=60_000)
    visit.context.close()
