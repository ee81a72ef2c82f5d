"""A page with a made-up robot behind it, and Debian's Chromium in front."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from conf.load import compose
from fleet.prepare import LocalRobot, Prepared, prepare
from fleet.settings import FleetSettings
from tests.fleet.ports import own_port
from tests.fleet.robotsim import ROOT, Simulated
from tests.fleet.way_in import sign_in_link

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Served:
    """The page's address, the robot that it shows, and ways in for new visitors."""

    url: str
    robot: Simulated
    paused: Event
    settings: FleetSettings

    def link(self, to: str = "/robots/osaka-01") -> str:
        """Signs in once, and leads there."""
        return f"{sign_in_link(self.settings)}&next={to}"


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if shutil.which("mosquitto", path="/usr/bin:/usr/sbin:/usr/local/sbin:/usr/local/bin") is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    folder = tmp_path_factory.mktemp("page")
    ports = [
        f"telemetry.broker.port={own_port(41_883)}",
        f"telemetry.page.port={own_port(28_090)}",
        f"telemetry.page.enrolment_port={own_port(28_443)}",
    ]
    local = LocalRobot(folder / "pki", folder / "agent.sock", folder / "faults.sock")
    prepared = prepare(compose(overrides=ports).config, folder / "fleet", local)
    log = (folder / "fleet.log").open("ab")
    commands = (prepared.broker, prepared.ingestd, prepared.fleetd)
    children = [subprocess.Popen(c, cwd=ROOT, stderr=log) for c in commands]
    robot, paused, ending = Simulated(prepared, local), Event(), Event()
    speaking = Thread(target=_speak, args=(robot, paused, ending))
    speaking.start()
    try:
        _wait_until_served(prepared, folder / "fleet.log")
        yield Served(prepared.page_url, robot, paused, prepared.settings)
    finally:
        ending.set()
        speaking.join()
        robot.close()
        for child in reversed(children):
            child.terminate()
            child.wait()
        log.close()


def _speak(robot: Simulated, paused: Event, ending: Event) -> None:
    step = 0
    while not ending.wait(0.25):
        if paused.is_set():
            continue
        robot.say_live()
        if step % 2 == 0:
            robot.say_pictures()
        robot.send_frames()
        step += 1


def _wait_until_served(prepared: Prepared, log: Path) -> None:
    deadline = time.monotonic() + 150
    with httpx.Client(base_url=prepared.page_url) as client:
        while True:
            try:
                if not client.cookies:
                    client.get(sign_in_link(prepared.settings))
                if client.get("/robots/osaka-01/live").json() is not None:
                    return
            except (httpx.HTTPError, ValueError):
                pass
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.1)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        expect.set_options(timeout=20_000)  # of a machine with other work
        yield started
        started.close()


def fits(page: Page, size: tuple[int, int]) -> bool:
    """Nobody has to scroll sideways."""
    return page.evaluate("document.documentElement.scrollWidth") <= size[0]
