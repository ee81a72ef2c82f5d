"""How long the fleet's page takes: `python -m fleet.page.bench`, one JSON.

A real broker, ingestd and fleetd; robots of `fleet load` in a process of their own; Debian's
Chromium. Beside it, in the same run and the same browser, a page with nothing on it from a server
that does nothing: what the machine itself takes. On a busy machine the ratio says more than the
milliseconds, which is why the load average stands beside them.
"""

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import psutil

from conf.load import compose
from fleet.broker import free_port
from fleet.clock import SystemClock
from fleet.load.crowd import Robot, Watched
from fleet.load.plan import Plan
from fleet.people.first import welcome
from fleet.pki import Authority, equip_robot
from fleet.prepare import Prepared, prepare
from fleet.settings import FleetSettings
from fleet.store.rows import open_rows

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
TARGETS = {"first_paint_ms": 500, "update_ms": 1000}
START_S = 600.0  # for a thousand robots to be heard on a machine that has other work
UPDATE_S = 60.0
LOOK_MS = 20.0
HEARD_RATIO = 0.98
EMPTY = b"<!doctype html><title>empty</title><p>empty</p>"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
TIMES = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const [paint] = performance.getEntriesByName("first-contentful-paint");
  return paint ? {
    paint: paint.startTime, answer: page.responseStart, all: page.domContentLoadedEventEnd,
  } : null;
}"""
# The moment at which a row first shows a number, by the clock that the bench reads too.
WATCH = """() => {
  window.shown = {};
  const look = () => {
    const cell = document.querySelector('[data-row="robot-000"] .c-done');
    if (cell && !(cell.textContent in window.shown)) window.shown[cell.textContent] = Date.now();
  };
  new MutationObserver(look).observe(
    document.querySelector("[data-rows]"), { subtree: true, childList: true, characterData: true });
}"""


@dataclass(frozen=True)
class Spread:
    p50: float
    p95: float
    max: float


def spread(values: Sequence[float]) -> Spread:
    ordered = sorted(values)
    at = min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))
    return Spread(
        round(statistics.median(ordered), 1), round(ordered[at], 1), round(ordered[-1], 1)
    )


class Nothing(BaseHTTPRequestHandler):
    """The empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(EMPTY)))
        self.end_headers()
        self.wfile.write(EMPTY)

    def log_message(self, format: str, *args: Any) -> None:
        return


@contextlib.contextmanager
def empty_page() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass(frozen=True)
class Side:
    """What is measured, and how to get in."""

    settings: FleetSettings
    link: str
    fleetd: psutil.Process

    @property
    def url(self) -> str:
        return f"http://{self.settings.page_host}:{self.settings.page_port}/"


@contextlib.contextmanager
def fleet_side(folder: Path, robots: int) -> Iterator[Side]:
    ports = [
        f"telemetry.broker.port={free_port(23_983)}",
        f"telemetry.page.port={free_port(19_180)}",
        f"telemetry.page.enrolment_port={free_port(19_443)}",
        "telemetry.broker.via_relay=false",
    ]
    made: Prepared = prepare(compose(overrides=ports).config, folder / "fleet", None)
    command = [sys.executable, str(ROOT / "bedplate.py"), "fleet", "load"]
    # Rows of metrics now and then: what ingest takes is another bench's question.
    load = [*command, "--robots", str(robots), "--metric-period", "30s", "--task-period", "60s"]
    children: list[subprocess.Popen[bytes]] = []
    with (folder / "servers.log").open("ab") as log:
        try:
            for words in (made.broker, made.ingestd, made.fleetd):
                children.append(subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log))
            rows = open_rows(made.settings.rows_url)
            link = welcome(rows, SystemClock()).link(made.page_url)
            rows.dispose()
            side = Side(made.settings, link, psutil.Process(children[-1].pid))
            load += ["--fleet-dir", str(made.settings.root)]
            children.append(subprocess.Popen(load, cwd=ROOT, stdout=log, stderr=log))
            yield side
        finally:
            for child in reversed(children):
                child.kill()
                child.wait()


def wait_until_heard(client: httpx.Client, link: str, robots: int) -> int:
    """How many are live."""
    deadline, live = time.monotonic() + START_S, 0
    while live < robots * HEARD_RATIO:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{live} of {robots} robots are heard after {START_S:.0f} s")
        time.sleep(1.0)
        with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
            if not client.cookies:
                client.get(link)
            by_duty = client.get("api/v1/fleet").json()["counts"]["by_duty"]
            live = by_duty["busy"] + by_duty["idle"]
    return live


def visit(page: "Page", url: str) -> dict[str, float]:
    """Milliseconds from the start of the navigation."""
    page.goto(url, wait_until="load")
    return told(page, TIMES)


def told(page: "Page", words: str) -> Any:
    """What the page answers as soon as it has an answer.

    The page forbids that texts become programs in it, so the question is asked from outside.
    """
    deadline = time.monotonic() + UPDATE_S
    while (answer := page.evaluate(words)) is None:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the page has no answer after {UPDATE_S:.0f} s: {words}")
        page.wait_for_timeout(LOOK_MS)
    return answer


def paints(page: "Page", url: str, empty: str, times: int) -> dict[str, Any]:
    """The page and the empty one by turns, so that both meet the same machine."""
    mine: list[dict[str, float]] = []
    none: list[dict[str, float]] = []
    visit(page, url)  # style and scripts are kept from here on, as they are for an operator
    for _ in range(times):
        none.append(visit(page, empty))
        mine.append(visit(page, url))
    both = {"page": mine, "empty": none}
    found: dict[str, Any] = {
        name: {
            key: asdict(spread([row[key] for row in rows])) for key in ("answer", "paint", "all")
        }
        for name, rows in both.items()
    }
    ratio = found["page"]["paint"]["p50"] / max(0.1, found["empty"]["paint"]["p50"])
    return {**found, "paint_ratio": round(ratio, 2)}


def updates(page: "Page", side: Side, times: int) -> Spread:
    """From a robot's message to the number in its row, in milliseconds."""
    clock, keys = SystemClock(), side.settings.root / "load" / "robot-000"
    plan = Plan(robots=1, task_period_s=10**6, metric_period_s=10**6)
    equip_robot(Authority(side.settings.pki), plan.site(0), plan.name(0), keys)
    watched, took = Watched(), []
    robot = Robot(plan, 0, side.settings, keys, clock.wall_ns())
    robot.connect(watched)
    while not robot.connected:
        watched.turn(0.05)
    page.evaluate(WATCH)
    for number in range(101, 101 + times):
        robot.story.totals.done = number
        robot.due.send_ns = 0
        said_ms = clock.wall_ns() / 1e6
        robot.turn(clock.now_ns(), clock.wall_ns(), clock.wall_ns())
        for _ in range(3):
            watched.turn(0.01)
        took.append(told(page, f"window.shown['{number}'] ?? null") - said_ms)
        page.wait_for_timeout(200 + 37 * (number % 11))  # not in step with the page's own beat
    robot.close()
    watched.turn(0.1)
    return spread(took)


def answers(client: httpx.Client, times: int) -> dict[str, Any]:
    """The server alone."""
    took, size = [], 0
    for _ in range(times):
        began = time.monotonic()
        size = len(client.get("fleet").content)
        took.append((time.monotonic() - began) * 1000)
    return {"ms": asdict(spread(took)), "html_bytes": size}


def measure(robots: int, times: int) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise RuntimeError("chromium is not installed; try  apt-get install chromium")
    with (
        tempfile.TemporaryDirectory(prefix="bedplate-page-bench-") as folder,
        fleet_side(Path(folder), robots) as side,
        httpx.Client(base_url=side.url, timeout=60) as client,
        empty_page() as empty,
        sync_playwright() as playwright,
    ):
        live = wait_until_heard(client, side.link, robots)
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        for name, value in client.cookies.items():
            context.add_cookies([{"name": name, "value": value, "url": side.url}])
        page = context.new_page()
        page.set_default_timeout(120_000)
        before, began = side.fleetd.cpu_times(), time.monotonic()
        found = {
            "robots": robots,
            "robots_live": live,
            "server": answers(client, times),
            "paint_ms": paints(page, f"{side.url}fleet", empty, times),
            "update_ms": asdict(updates(page, side, times)),
        }
        after, took = side.fleetd.cpu_times(), time.monotonic() - began
        browser.close()
    cpu_s = after.user + after.system - before.user - before.system
    load = round(os.getloadavg()[0], 1)
    return {**found, "fleetd_cpu_ratio": round(cpu_s / took, 3), "load_average": load}


def main() -> None:
    parser = argparse.ArgumentParser(prog="page-bench")
    parser.add_argument("--robots", type=int, default=1000)
    parser.add_argument("--times", type=int, default=20)
    args = parser.parse_args()
    figures = {"cpus": os.cpu_count(), "targets": TARGETS, **measure(args.robots, args.times)}
    sys.stdout.write(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode() + "\n")


if __name__ == "__main__":
    main()
