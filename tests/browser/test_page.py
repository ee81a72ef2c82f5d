"""The robot's page in a real browser: it moves, it obeys, by mouse, by keyboard, on a phone."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from runtime.shm import StopLevel, StopReason
from tests.browser.conftest import Served, fits

SHOTS = Path(__file__).resolve().parents[2] / "var" / "screenshots"
DESK, PHONE = (1440, 900), (390, 844)
pytestmark = pytest.mark.timeout(120)


class Visit:
    """A page, and what its console said."""

    def __init__(self, browser: Browser, url: str, size: tuple[int, int], scheme: str) -> None:
        width, height = size
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note)
        self.page.goto(url, wait_until="domcontentloaded")

    def _note(self, message) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)


@pytest.fixture
def visit(browser: Browser, served: Served) -> Iterator[Visit]:
    made = Visit(browser, served.link(), DESK, "light")
    yield made
    made.context.close()


def bound(page: Page, key: str):
    return page.locator(f'[data-b="{key}"]')


def test_page_shows_the_robot_live_without_an_error(visit: Visit, served: Served) -> None:
    page = visit.page
    expect(page).to_have_url(re.compile("/robots/osaka-01$"))
    expect(bound(page, "fresh")).to_have_text("live")
    expect(bound(page, "tasks.done")).to_have_text("211")
    first = bound(page, "control.cycles").inner_text()
    expect(bound(page, "control.cycles")).not_to_have_text(first)
    expect(page.locator('[data-m="cycle.chart"] rect.bar').first).to_be_visible()
    expect(page.locator('[data-m="shield"]')).to_contain_text("separation")
    expect(page.locator('[data-m="map"] circle.tool')).to_be_visible()
    expect(page.locator(".frame.has")).to_have_count(2)
    assert visit.errors == []


def test_pictures_are_replaced_as_they_come(visit: Visit) -> None:
    image = visit.page.locator('img[data-camera="cell"]')
    expect(image).to_have_attribute("src", re.compile(r"\?\d+"))
    first = image.get_attribute("src")
    expect(image).not_to_have_attribute("src", first or "")


def test_fault_button_breaks_and_mends_the_component(visit: Visit, served: Served) -> None:
    page = visit.page
    button = page.locator('[data-key="camera.cell/off"]')
    expect(button).to_have_attribute("aria-pressed", "false")
    button.click()
    expect(page.locator(".toast")).to_contain_text("camera.cell: is off now")
    expect(button).to_have_attribute("aria-pressed", "true")
    assert served.robot.story.faults == {"camera.cell": "off"}
    expect(page.locator('[data-m="events"]')).to_contain_text("fault.injected")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    page.locator('[data-key="gpu/slow"]').click()
    expect(page.locator('[data-key="gpu/slow"]')).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator('[data-key="gpu/slow"]')).to_have_attribute("aria-pressed", "false")
    assert served.robot.story.faults == {}
    assert visit.errors == []


def test_stop_raises_an_alert_and_rearm_ends_it(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="Stop").click()
    expect(bound(page, "stop")).to_have_text("Hold")
    expect(bound(page, "stop.reason")).to_have_text("requested")
    expect(page.locator(".alerts")).to_contain_text("safety.stop_entered")
    page.get_by_role("button", name="Re-arm").click()
    expect(bound(page, "stop")).to_have_text("moving allowed")
    expect(page.locator(".alerts")).not_to_contain_text("safety.stop_entered")
    assert visit.errors == []


def test_page_can_be_used_by_keyboard_alone(visit: Visit, served: Served) -> None:
    page = visit.page
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    reached: list[str] = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert "Re-arm" in reached
    assert "Stop" in reached
    button = page.locator('[data-key="person/wrong"]')
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(button).to_be_focused()
    page.keyboard.press("Space")
    expect(button).to_have_attribute("aria-pressed", "false")
    assert served.robot.story.faults == {}


def test_silence_is_shown_and_so_is_the_return(visit: Visit, served: Served) -> None:
    page = visit.page
    expect(bound(page, "fresh")).to_have_text("live")
    served.paused.set()
    try:
        expect(bound(page, "fresh")).to_have_text(re.compile(r"stale since \d\d:\d\d:\d\d UTC"))
    finally:
        served.paused.clear()
    expect(bound(page, "fresh")).to_have_text("live")


def test_hostile_words_of_a_robot_are_shown_as_words(visit: Visit, served: Served) -> None:
    words = "<img src=x onerror=alert(1)>"
    served.robot.say_event("task.failed", detail=words, reason="'\"&<script>")
    expect(visit.page.locator('[data-m="events"]')).to_contain_text(words)
    assert visit.page.locator('[data-m="events"] img').count() == 0
    assert visit.errors == []


def test_health_is_worst_first_and_nothing_unknown_is_well(visit: Visit, served: Served) -> None:
    page = visit.page
    served.robot.say_health("disk_free", "ok", value=0.4)
    expect(bound(page, "health").first).to_have_text("all well", timeout=60_000)
    served.robot.say_health("gpu_temp", "fail", value=99.0, note="<b>fan</b> stands")
    expect(bound(page, "health").first).to_have_text("1 check failing", timeout=60_000)
    expect(page.locator('[data-m="health"] tr').first).to_contain_text("<b>fan</b> stands")
    served.robot.say_health("gpu_temp", "ok", value=60.0)
    expect(bound(page, "health").first).to_have_text("all well", timeout=60_000)
    assert visit.errors == []


def test_maintenance_is_begun_and_ended_by_a_form_and_by_keyboard(visit: Visit) -> None:
    page = visit.page
    page.locator("[name=reason]").fill("new gripper")
    page.locator("[name=hours]").select_option("an hour")
    page.locator("[name=reason]").press("Enter")
    banner = page.locator('.banner[data-b="upkeep"]')
    expect(banner).to_contain_text("by owner: new gripper")
    expect(banner).to_be_visible()
    expect(page.locator("[name=reason]")).to_be_hidden()
    button = page.get_by_role("button", name="End the maintenance")
    button.focus()
    page.keyboard.press("Enter")
    expect(banner).to_be_hidden()
    expect(page.locator("[name=reason]")).to_be_visible()
    assert visit.errors == []


def test_task_is_given_by_a_form(visit: Visit, served: Served) -> None:
    page = visit.page
    page.get_by_label("valuable part").check()
    page.get_by_role("button", name="Give it this task").click()
    expect(page.locator(".toast")).to_have_text("task accepted")
    path, body = served.robot.story.wishes[-1]
    assert (path, body["skill"], body["high_value"]) == ("/v1/tasks", "pick_place", True)
    assert body["source"] == "fleet"
    assert visit.errors == []


@pytest.mark.parametrize(
    ("name", "size", "scheme"),
    [
        ("desk-light", DESK, "light"),
        ("desk-dark", DESK, "dark"),
        ("phone-light", PHONE, "light"),
        ("phone-dark", PHONE, "dark"),
    ],
)
def test_page_fits_its_screen(
    browser: Browser, served: Served, name: str, size: tuple[int, int], scheme: str
) -> None:
    served.robot.story.stop, served.robot.story.reason = StopLevel.NONE, StopReason.NONE
    visit = Visit(browser, served.link(), size, scheme)
    page = visit.page
    expect(page.locator(".frame.has")).to_have_count(2)
    assert fits(page, size)
    stop = page.get_by_role("button", name="Stop").bounding_box()
    assert stop is not None
    assert 0 <= stop["y"] <= size[1] - stop["height"]  # in sight without scrolling
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
    assert visit.errors == []
    visit.context.close()


def test_page_asks_nobody_else_for_anything(browser: Browser, served: Served) -> None:
    context = browser.new_context()
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(served.link(), wait_until="domcontentloaded")
    expect(page.locator(".frame.has")).to_have_count(2)
    assert all(url.startswith(served.url) for url in asked)
    context.close()


def test_page_without_javascript_shows_the_moment_of_loading(
    browser: Browser, served: Served
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(served.link(), wait_until="domcontentloaded")
    expect(bound(page, "tasks.done")).to_have_text("211")
    expect(page.locator('[data-m="cycle.chart"] rect.bar').first).to_be_visible()
    context.close()


PAGE = "robots/osaka-01"


def token_of(client: httpx.Client) -> str:
    found = re.search(r'csrf-token" content="([0-9a-f]+)"', client.get(f"/{PAGE}").text)
    assert found is not None
    return found[1]


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with logged_in(served) as client:
        yield client


@contextmanager
def logged_in(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url) as client:
        assert client.get(served.link()).status_code == 303
        yield client


def test_wish_with_the_pages_token_is_granted(client: httpx.Client, served: Served) -> None:
    headers = {"x-csrf-token": token_of(client)}
    reply = client.post(f"/{PAGE}/rearm", json={}, headers=headers)
    assert (reply.status_code, reply.json()) == (200, {"ok": True, "message": "re-armed"})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"x-csrf-token": "0" * 64}, 403),
        ({"x-csrf-token": "TOKEN", "origin": "http://elsewhere.example"}, 403),
        ({"x-csrf-token": "TOKEN", "host": "elsewhere.example"}, 421),
        ({"x-csrf-token": "é".encode().decode("latin-1")}, 403),
    ],
)
def test_wish_from_elsewhere_is_refused(
    client: httpx.Client, served: Served, headers: dict[str, str], status: int
) -> None:
    token = token_of(client)
    sent = {key: token if value == "TOKEN" else value for key, value in headers.items()}
    before = len(served.robot.story.wishes)
    raw = {key: value.encode("latin-1") for key, value in sent.items()}
    reply = client.post(f"/{PAGE}/stop", json={}, headers=raw)
    assert reply.status_code == status
    assert len(served.robot.story.wishes) == before


def test_token_of_one_visitor_is_no_good_for_another(client: httpx.Client, served: Served) -> None:
    token = token_of(client)
    with logged_in(served) as other:
        reply = other.post(f"/{PAGE}/rearm", json={}, headers={"x-csrf-token": token})
    assert reply.status_code == 403


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("faults", {"component": "../x", "kind": "off"}, 422),
        ("faults", {"component": "warp_core", "kind": "off"}, 400),
        ("faults", {"component": "gpu"}, 422),
        ("stop", {"level": "gently"}, 422),
        ("tasks", {"skill": "pick_place", "extra": 1}, 422),
    ],
)
def test_wish_that_makes_no_sense_is_refused(
    client: httpx.Client, path: str, body: dict, status: int
) -> None:
    headers = {"x-csrf-token": token_of(client)}
    assert client.post(f"/{PAGE}/{path}", json=body, headers=headers).status_code == status


def test_every_answer_carries_the_policy(client: httpx.Client) -> None:
    for path in (f"/{PAGE}", "/static/page.css", "/robots/nobody", f"/{PAGE}/snapshot/cell"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_runbooks_are_served_and_nothing_beside_them(client: httpx.Client) -> None:
    pages = sorted(path.stem for path in Path("docs/runbooks").glob("*.md"))
    for name in pages:
        shown = client.get(f"/runbooks/{name}")
        assert shown.status_code == 200
        assert '<ol class="todo">' in shown.text, name
    assert "collision" in pages
    assert client.get("/runbooks/..%2f..%2fREADME").status_code == 404
