"""Alerts outlive the process that watches: what fired fires on, and a clock that ran runs on."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from conf.load import compose
from conf.schema.alerts import Alerts, NoData, Severity, Signal
from fleet.alerts import NS_PER_S, AlertState, Phase
from fleet.prepare import LocalRobot, Prepared, prepare
from fleet.robot import Robot
from fleet.settings import write_settings
from fleet.store.books import Books
from fleet.store.memory import AlertBook, Memory, Moment
from runtime.shm import StopLevel, StopReason
from tests.fleet.conftest import wait_for
from tests.fleet.ports import own_port
from tests.fleet.robotsim import Simulated
from tests.fleet.test_alerts import rule
from tests.fleet.way_in import sign_in_link

WALL_NS = 1_800_000_000 * NS_PER_S
STOPPED = rule(
    alert="test.stop_entered",
    signal=Signal.STOP_LEVEL,
    above=0,
    severity=Severity.CRITICAL,
)
RULES = Alerts(
    name="test",
    rules={
        "stopped": STOPPED,
        "stopped_long": STOPPED.model_copy(
            update={"alert": "test.stopped_long", "for_s": 600.0},
        ),
        "silent": STOPPED.model_copy(
            update={
                "alert": "test.robot_silent",
                "signal": Signal.SILENT_S,
                "above": 15.0,
                "no_data": NoData.FIRE,
            }
        ),
    },
)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    opened = Books(f"sqlite:///{tmp_path / 'books.sqlite'}")
    yield opened
    opened.close()


def robot() -> Robot:
    return Robot("osaka", "osaka-01", 2 * NS_PER_S, 10 * NS_PER_S)


def after(books: Books, moment: Moment, rules: Alerts = RULES) -> tuple[Robot, set[str]]:
    """The robot as the next process knows it, and what fires before anything is heard."""
    made = robot()
    (memory,) = AlertBook(books).load(moment)
    return made, {alert.key for alert in made.restore(memory, rules)}


def memory(**states: AlertState) -> Memory:
    return Memory("osaka-01", "osaka", states, None)


FIRING = AlertState(Phase.FIRING, 90 * NS_PER_S, 99 * NS_PER_S, 2.0)
PENDING = AlertState(Phase.PENDING, 80 * NS_PER_S, 99 * NS_PER_S, 1.0)
SAVED = Moment(100 * NS_PER_S, WALL_NS)


def test_states_come_back_on_another_boots_clock(books: Books) -> None:
    AlertBook(books).save([memory(stopped=FIRING, stopped_long=PENDING)], SAVED)
    later = Moment(7 * NS_PER_S, WALL_NS + 60 * NS_PER_S)
    found, fires = after(books, later)
    assert fires == {"stopped"}
    assert found.alerts["stopped"].since_ns == (7 - 60 - 10) * NS_PER_S
    assert found.alerts["stopped_long"].since_ns == (7 - 60 - 20) * NS_PER_S


def test_wall_clock_set_back_starts_a_clock_anew_instead_of_in_the_future(books: Books) -> None:
    AlertBook(books).save([memory(stopped_long=PENDING)], SAVED)
    back = Moment(101 * NS_PER_S, WALL_NS - 3600 * NS_PER_S)
    found, _ = after(books, back)
    assert found.alerts["stopped_long"].since_ns == back.now_ns


def test_state_of_a_rule_that_is_gone_is_forgotten(books: Books) -> None:
    AlertBook(books).save([memory(stopped=FIRING, gone=FIRING)], SAVED)
    found, fires = after(books, SAVED)
    assert fires == {"stopped"}
    assert set(found.alerts) == {"stopped"}


def test_what_has_ended_is_not_remembered(books: Books) -> None:
    book = AlertBook(books)
    book.save([memory(stopped=FIRING, stopped_long=PENDING)], SAVED)
    book.save([memory(stopped=FIRING)], SAVED)
    found, _ = after(books, SAVED)
    assert set(found.alerts) == {"stopped"}


def test_silence_is_counted_on_through_a_restart(books: Books) -> None:
    silent = robot()
    silent.watch(RULES, 0)
    assert {alert.key for alert in silent.watch(RULES, 20 * NS_PER_S)} == {"silent"}
    AlertBook(books).save([silent.memory(20 * NS_PER_S)], Moment(20 * NS_PER_S, WALL_NS))
    found, fires = after(books, Moment(1 * NS_PER_S, WALL_NS + NS_PER_S))
    assert fires == {"silent"}
    assert {alert.key for alert in found.watch(RULES, 2 * NS_PER_S)} == {"silent"}


def test_robot_that_was_heard_is_not_called_silent_for_the_time_nobody_listened(
    books: Books,
) -> None:
    AlertBook(books).save([memory()], SAVED)
    hour = 3600 * NS_PER_S
    found, _ = after(books, Moment(SAVED.now_ns + hour, WALL_NS + hour))
    assert found.watch(RULES, SAVED.now_ns + hour) == []


def test_only_a_phase_or_its_beginning_is_worth_a_write() -> None:
    once = memory(stopped=FIRING)
    assert once.is_as(memory(stopped=replace(FIRING, held_ns=1, value=7.0)))
    assert not once.is_as(memory(stopped=replace(FIRING, since_ns=1)))
    assert not once.is_as(replace(once, silent_ns=1))
    assert not once.is_as(None)


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
        wait_for(lambda: self.page() is not None, 40)

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

    def states(self) -> dict[str, tuple[str, int]]:
        """What lies in the books: rule → phase and beginning."""
        reader = sqlite3.connect(self.prepared.settings.root / "books.sqlite")
        rows = reader.execute("SELECT rule, phase, since_wall_ns FROM alert_state").fetchall()
        reader.close()
        return {rule: (phase, since_ns) for rule, phase, since_ns in rows}


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


@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_alerts_outlive_a_killed_fleetd(fleet: Fleet, cell: Simulated) -> None:
    def said(phases: dict[str, str]) -> bool:
        cell.say_live()
        time.sleep(0.1)
        return {rule: phase for rule, (phase, _) in fleet.states().items()} == phases

    both = {"stopped": "firing", "stopped_long": "pending"}
    cell.story.stop, cell.story.reason = StopLevel.HOLD, StopReason.REQUESTED
    wait_for(lambda: said(both) and "test.stop_entered" in (fleet.page() or ""), 30)
    before = fleet.states()
    fleet.kill()
    fleet.start()
    # Nothing has been heard of the robot since: what is shown was remembered.
    assert "test.stop_entered" in (fleet.page() or "")
    assert "test.stopped_long" not in (fleet.page() or "")
    assert fleet.page("/live") == "null"
    wait_for(lambda: said(both) and fleet.page("/live") != "null", 30)
    # The two clocks are not read in one instant, so the beginnings differ by microseconds.
    for rule_key, (_, since_ns) in fleet.states().items():
        assert abs(since_ns - before[rule_key][1]) < NS_PER_S // 10
    cell.story.stop, cell.story.reason = StopLevel.NONE, StopReason.NONE
    wait_for(lambda: said({}), 30)
    # The page's own judgement waits a moment longer, for samples that come late.
    wait_for(lambda: said({}) and "test.stop_entered" not in (fleet.page() or ""), 30)
