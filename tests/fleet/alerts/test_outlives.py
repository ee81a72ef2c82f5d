"""What fires outlives a killed fleetd: the real process, a real broker, a made-up robot."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from conf.load import compose
from conf.schema.alerts import Severity, Signal
from fleet.prepare import LocalRobot, Prepared, prepare
from fleet.settings import write_settings
from runtime.shm import StopLevel, StopReason
from tests.fleet.alerts.made import rule, rules
from tests.fleet.conftest import wait_for
from tests.fleet.ports import own_port
from tests.fleet.robotsim import Simulated
from tests.fleet.way_in import sign_in_link

RULES = rules(
    rule(alert="test.stop", signal=Signal.STOP_LEVEL, above=0.0, severity=Severity.CRITICAL),
    rule(alert="test.stop_long", signal=Signal.STOP_LEVEL, above=0.0, for_s=600.0),
)


@dataclass
class Fleet:
    """A broker, a made-up robot, and the real fleetd, to be killed."""

    prepared: Prepared
    folder: Path
    client: httpx.Client
    fleetd: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "fleetd.log").open("ab") as log:
            self.fleetd = subprocess.Popen(
                [sys.executable, "-m", "fleet.fleetd", "--fleet-dir", self.prepared.settings.root],
                stderr=log,
                env={**os.environ, "PYTHONPATH": "."},
            )
        wait_for(lambda: self.page() is not None, 60)

    def kill(self) -> None:
        if self.fleetd is not None:
            self.fleetd.send_signal(signal.SIGKILL)
            self.fleetd.wait()
            self.fleetd = None

    def page(self, path: str = "") -> str | None:
        try:
            if not self.client.cookies:
                self.client.get(sign_in_link(self.prepared.settings), timeout=20)
            url = f"http://127.0.0.1:{self.prepared.settings.page_port}/robots/osaka-01{path}"
            return self.client.get(url, timeout=10).text
        except httpx.TransportError:
            return None


@pytest.fixture
def fleet(has_mosquitto: None, tmp_path: Path) -> Iterator[Fleet]:
    ports = [
        f"telemetry.broker.port={own_port(45_883)}",
        f"telemetry.page.port={own_port(29_090)}",
        f"telemetry.page.enrolment_port={own_port(29_443)}",
    ]
    local = LocalRobot(tmp_path / "pki", tmp_path / "agent.sock", tmp_path / "faults.sock")
    prepared = prepare(compose(overrides=ports).config, tmp_path / "fleet", local)
    write_settings(prepared.settings.model_copy(update={"alerts": RULES}))
    broker = subprocess.Popen(prepared.broker, stderr=subprocess.DEVNULL)
    with httpx.Client() as client:
        fleet = Fleet(prepared, tmp_path, client)
        try:
            fleet.start()
            yield fleet
        finally:
            fleet.kill()
            broker.kill()
            broker.wait()


@pytest.fixture
def cell(fleet: Fleet, tmp_path: Path) -> Iterator[Simulated]:
    local = LocalRobot(tmp_path / "pki", tmp_path / "agent.sock", tmp_path / "faults.sock")
    made = Simulated(fleet.prepared, local)
    yield made
    made.close()


@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_alerts_outlive_a_killed_fleetd(fleet: Fleet, cell: Simulated) -> None:
    def shown(path: str = "") -> str:
        cell.say_live()
        time.sleep(0.1)
        return fleet.page(path) or ""

    cell.story.stop, cell.story.reason = StopLevel.HOLD, StopReason.REQUESTED
    wait_for(lambda: "test.stop" in shown(), 30)
    fleet.kill()
    fleet.start()
    # Nothing has been heard of the robot since: what is shown was remembered.
    wait_for(lambda: "test.stop" in (fleet.page() or ""), 30)
    assert fleet.page("/live") == "null"
    assert "test.stop_long" not in (fleet.page() or "")
    cell.story.stop, cell.story.reason = StopLevel.NONE, StopReason.NONE
    wait_for(lambda: "test.stop" not in shown() and shown("/live") != "null", 30)
