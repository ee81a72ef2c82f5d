"""The watch over all robots: samples in, once a second; pages, messages and incidents out.

A task of fleetd. What blocks (rows, Alertmanager) happens on other threads, and a slow receiver of
messages never holds up the watch.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Engine

from fleet.alerts.facts import gather, presence_of
from fleet.alerts.recall import SIGNALS as RECALLED
from fleet.alerts.recall import Recall
from fleet.alerts.service import Alerts
from fleet.alerts.sources import Heard, RobotSource, fleet_samples
from fleet.alerts.tell import open_teller
from fleet.clock import Clock
from fleet.incidents.watch import Incidents
from fleet.local import ask
from fleet.robot import Freshness, Robot
from fleet.settings import FleetSettings
from fleet.store.books import Books
from fleet.store.series import SeriesStore, StoreUnavailableError

log = logging.getLogger(__name__)

EVERY_S = 1.0
FACTS_EVERY = 10  # rounds
RECONCILE_EVERY = 60


@dataclass(frozen=True)
class RobotNow:
    """What is known of a robot at this moment."""

    robot_id: str
    site: str
    presence: str
    heard: Heard
    is_offline: bool
    in_maintenance: bool


Robots = Callable[[], Iterable[RobotNow]]


def robot_now(robot: Robot, clock: Clock, *, in_maintenance: bool) -> RobotNow:
    """Silence is counted from the first moment somebody listened, and no sooner."""
    now_ns, wall_ns = clock.now_ns(), clock.wall_ns()
    freshness = robot.freshness(now_ns)
    is_live = freshness is Freshness.LIVE
    heard_ns = robot.first_ns if robot.live_ns is None else robot.live_ns
    heard = Heard(
        robot.live if is_live else None,
        (now_ns - heard_ns) / 1e9,
        robot.live_wall_ns or wall_ns,
        robot.earlier_misses(now_ns),
        was_heard=robot.live_ns is not None,
    )
    return RobotNow(
        robot.robot_id,
        robot.site,
        robot.presence,
        heard,
        is_offline=freshness in (Freshness.OFFLINE, Freshness.NEVER),
        in_maintenance=in_maintenance,
    )


class AlertWatch:
    def __init__(
        self,
        settings: FleetSettings,
        rows: Engine,
        series: SeriesStore,
        robots: Robots,
        clock: Clock,
    ) -> None:
        rules = settings.alerts
        self.incidents = Incidents(rules, rows, series, self._stop_robot)
        teller = open_teller(rules, rows, settings.page_url)
        self.alerts = Alerts.open(rules, rows, teller, self.incidents)
        self._recall = Recall(series, self.alerts)
        self._settings = settings
        self._rows = rows
        self._books = Books(rows)
        self._robots = robots
        self._clock = clock
        self._sources: dict[str, RobotSource] = {}

    async def run(self) -> None:
        """Until it is cancelled."""
        await asyncio.gather(self._every(self._round), self._every(self._deliver))

    def look(self, number: int) -> None:
        """One round; blocks on rows. `number` counts the rounds."""
        now_ns = self._clock.wall_ns()
        robots = list(self._robots())
        for robot in robots:
            source = self._sources.get(robot.robot_id)
            if source is None:
                source = RobotSource(robot.robot_id, self._settings.alerts)
                self._sources[robot.robot_id] = source
                self.alerts.begin(robot.robot_id, RECALLED)
                self.alerts.note_site(robot.robot_id, robot.site)
            source.maintenance = robot.in_maintenance
            source.note_presence(robot.presence, now_ns)
            self.alerts.observe(source.samples(robot.heard, now_ns))
            if source.heard_ns is not None:
                self.alerts.note_heard(robot.robot_id, source.heard_ns)
        if number % FACTS_EVERY == 0:
            self._look_at_books(robots, now_ns)
        live = [(one.robot_id, one.heard.live) for one in robots]
        self._recall.look([(robot_id, said) for robot_id, said in live if said is not None])
        self.alerts.tick(now_ns)
        if number % RECONCILE_EVERY == 0:
            self.incidents.reconcile(self.alerts.active(), now_ns)

    def _look_at_books(self, robots: list[RobotNow], now_ns: int) -> None:
        presence = presence_of(robot.is_offline for robot in robots)
        rules = self._settings.alerts
        try:
            facts = gather(self._rows, self._books, rules, self._settings.root, presence, now_ns)
        except StoreUnavailableError as error:
            log.warning("the fleet's numbers are not known just now: %s", error)
            return
        self.alerts.observe(fleet_samples(facts, rules))

    async def _round(self, number: int) -> None:
        await asyncio.to_thread(self.look, number)

    async def _deliver(self, _number: int) -> None:
        await asyncio.to_thread(self.alerts.deliver, self._clock.wall_ns())

    async def _every(self, act: Callable[[int], Any]) -> None:
        number = 0
        while True:
            try:
                await act(number)
            except Exception:  # whatever goes wrong in one round, the watch goes on
                log.exception("a round of the alerts failed")
            number += 1
            await asyncio.sleep(EVERY_S)

    def _stop_robot(self, robot_id: str) -> str:
        entry = self._settings.robot(robot_id)
        if entry is None:
            return f"{robot_id} is not on this machine and cannot be stopped from here"
        body = {"level": "controlled"}
        reply = asyncio.run(ask(entry.agent_socket, "POST", "/v1/stop", body))
        said = "a controlled stop is requested" if reply.is_good else f"refused: {reply.text}"
        return f"{robot_id}: {said}"
