"""The watch over the robots, on real rows and with a clock of its own."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from fleet.alerts import FLEET
from fleet.alerts.alertd import AlertWatch, robot_now
from fleet.alerts.sample import ns
from fleet.robot import Robot
from fleet.settings import FleetSettings
from fleet.store.embedded import EmbeddedStore
from fleet.store.rows import open_rows
from tests.fleet.alerts.test_sources import NOW, live


@dataclass
class Hands:
    """A clock that is moved by hand; monotonic and wall go together."""

    seconds: float = 0.0

    def now_ns(self) -> int:
        return ns(1000 + self.seconds)

    def wall_ns(self) -> int:
        return NOW + ns(self.seconds)


class World:
    def __init__(self, settings: FleetSettings) -> None:
        self.clock = Hands()
        self.rows = open_rows(settings.rows_url)
        self.series = EmbeddedStore(settings.series)
        self.robot = Robot("osaka", "osaka-01", ns(2), ns(15), self.clock.now_ns())
        self.resting = False
        self.settings = settings
        self.watch = self.make()
        self.rounds = 0

    def make(self) -> AlertWatch:
        return AlertWatch(self.settings, self.rows, self.series, self.robots, self.clock)

    def robots(self) -> list[Any]:
        return [robot_now(self.robot, self.clock, in_maintenance=self.resting)]

    def go(self, seconds: int, message: dict[str, Any] | None) -> None:
        """A second at a time; None: the robot says nothing."""
        for _ in range(seconds):
            self.clock.seconds += 1
            if message is not None:
                said = orjson.dumps(message | {"v": 1, "wall_ns": self.clock.wall_ns()})
                self.robot.live = orjson.loads(said)
                self.robot.live_ns = self.clock.now_ns()
                self.robot.live_wall_ns = self.clock.wall_ns()
            self.watch.look(self.rounds)
            self.rounds += 1

    def fires(self) -> set[str]:
        return {one.key for one in self.watch.alerts.active("osaka-01")}


@pytest.fixture
def world(settings: FleetSettings) -> Iterator[World]:
    made = World(settings)
    yield made
    made.series.close()
    made.rows.dispose()


HOT = {"control": {"joints": [{"temp_c": 75.0}]}}


def test_robot_that_is_well_fires_nothing(world: World) -> None:
    world.go(40, live())
    assert world.fires() == set()
    assert world.watch.alerts.active(FLEET) == []


def test_hot_motor_is_told_and_ends(world: World) -> None:
    world.go(5, live())
    world.go(8, live(**HOT))
    assert world.fires() == {"motor_hot"}
    world.go(75, live())
    assert world.fires() == set()


def test_silent_robot_has_one_alert_and_one_in_maintenance_none(world: World) -> None:
    world.go(5, live())
    world.go(40, None)
    assert world.fires() == {"silent"}
    world.resting = True
    world.go(12, None)
    assert world.fires() == set()


def test_collision_opens_an_incident_that_recovers(world: World) -> None:
    stopped = {"stop": {"level": "hold", "reason": "collision"}}
    world.go(3, live())
    world.go(5, live(control=stopped))
    assert {"collision", "stop_entered"} <= world.fires()
    (incident,) = world.watch.incidents.book.open_ones()
    assert incident.runbook == "docs/runbooks/collision.md"
    world.go(40, live())
    assert world.watch.incidents.book.open_ones()[0].recovered_ns is not None


def test_what_fires_is_known_to_the_next_process(world: World) -> None:
    world.go(8, live(**HOT))
    world.watch = world.make()
    assert world.fires() == {"motor_hot"}
    world.go(3, live(**HOT))
    assert len([row for row in world.watch.alerts.history() if row["rule"] == "motor_hot"]) == 1


def test_silence_goes_on_through_a_restart_and_ends_when_the_robot_is_heard(world: World) -> None:
    world.go(5, live())
    world.go(20, None)
    assert world.fires() == {"silent"}
    world.watch = world.make()
    world.robot = Robot("osaka", "osaka-01", ns(2), ns(15), world.clock.now_ns())
    for _ in range(30):
        world.go(1, None)
        assert world.fires() == {"silent"}
    world.go(8, live())
    assert world.fires() == set()


def test_robot_that_was_heard_is_not_silent_for_the_time_nobody_listened(world: World) -> None:
    world.go(5, live())
    world.clock.seconds += 3600
    world.watch = world.make()
    world.robot = Robot("osaka", "osaka-01", ns(2), ns(15), world.clock.now_ns())
    world.go(14, None)
    assert world.fires() == set()
    world.go(4, None)
    assert world.fires() == {"silent"}


def test_robot_that_cannot_be_reached_says_so_instead_of_being_stopped(world: World) -> None:
    with ThreadPoolExecutor(1) as aside:  # as the watch does: its own thread has a loop
        said = list(aside.map(world.watch._stop_robot, ("gdansk-01", "osaka-01")))
    assert "not on this machine" in said[0]
    assert "refused" in said[1]
