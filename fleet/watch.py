"""The fleet's picture of its robots, fed by the broker, and what each open page is shown of it."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleet.alerts import FLEET, ActiveAlert
from fleet.clock import Clock
from fleet.events import Event, Wanted, find
from fleet.local import fault_listing
from fleet.mqtt import Saying
from fleet.page import health, parts
from fleet.page.upkeep import upkeep_words
from fleet.page.view import View, robot_view
from fleet.picture import Alarm, Picture, line_of, picture
from fleet.robot import Robot
from fleet.roster import Line
from fleet.settings import FleetSettings, RobotEntry
from fleet.store.books import Account, Books, Outcome
from fleet.store.series import EVENT, Query, SeriesStore, StoreUnavailableError
from fleet.upkeep import Maintenance
from runtime.telemetry.line import plain_names
from runtime.topics import TopicName, parse

log = logging.getLogger(__name__)

TICK_S = 0.25
SLOW_TICKS = 4  # events, faults and alerts are looked at once a second
RARE_TICKS = 20  # health, which is told twice a minute, and tasks
HEALTH_NS = 3_600_000_000_000
HEALTH_MAX = 200
TASK_EVENTS = 60
EVENTS_SHOWN = 40
ROBOTS_MAX = 5000
PICTURE_NS = 400_000_000  # so long a picture of the fleet is shared by all who look
HEALTH = "health"
NOT_SIMULATED = "This robot is not simulated: faults can be injected only in the simulated cell."


@dataclass
class Board:
    """Everything one page shows, and who looks at it."""

    robot: Robot
    entry: RobotEntry | None
    view: View = field(default_factory=View)
    alarms: tuple[Alarm, ...] = ()
    upkeep: Maintenance | None = None
    line: Line | None = None
    line_of: tuple[object, ...] = ()
    events: str = ""
    faults: str = ""
    health: str = ""
    health_word: tuple[str, str] = ("not known", "warn")
    tasks: str = ""
    viewers: int = 0

    @property
    def in_maintenance(self) -> bool:
        return self.upkeep is not None


class Watch:
    """Messages come on the broker's thread; everything else happens on the event loop."""

    def __init__(
        self, settings: FleetSettings, store: SeriesStore, books: Books, clock: Clock
    ) -> None:
        self.boards: dict[str, Board] = {}
        self._settings = settings
        self._store = store
        self._books = books
        self._clock = clock
        self._picture: Picture | None = None
        self._resting: Mapping[str, Maintenance] = {}
        self._active: Callable[[], Iterable[ActiveAlert]] | None = None
        self._of_fleet: tuple[Alarm, ...] = ()
        for entry in settings.robots:
            self._board(entry.site, entry.robot_id)

    def receive(self, messages: Sequence[Saying], _connection: int = 0) -> None:
        for message in messages:
            try:
                self._receive(message)
            except Exception:  # one robot's nonsense must not end what the others say
                log.exception("message on %s could not be handled", message.topic)

    def _receive(self, message: Saying) -> None:
        where = parse(message.topic)
        if where is None:
            return
        board = self._board(where.site, where.robot_id)
        if board is None:
            return
        payload, now_ns = message.payload, self._clock.now_ns()
        match where.topic.name:
            case TopicName.LIVE:
                board.robot.note_live(payload, now_ns, self._clock.wall_ns())
            case TopicName.PRESENCE:
                board.robot.note_presence(payload)
            case TopicName.SNAPSHOT:
                board.robot.note_snapshot(where.leaf, payload, now_ns)
            case TopicName.FRAMES | TopicName.ACK | TopicName.ACCOUNT:
                return

    async def run(self) -> None:
        ticks = 0
        while True:
            slow = ticks % SLOW_TICKS == 0
            for board in [one for one in self.boards.values() if one.viewers]:
                try:
                    await self._refresh(board, slow=slow, rare=ticks % RARE_TICKS == 0)
                except Exception:  # one robot's page must not end the others'
                    log.exception("page of %s could not be made", board.robot.robot_id)
            if slow:
                self.look_at_alerts()
            ticks += 1
            await asyncio.sleep(TICK_S)

    async def _refresh(self, board: Board, *, slow: bool, rare: bool) -> None:
        if slow:
            await asyncio.gather(self._look_at_events(board), self._look_at_faults(board))
        if rare:
            await self._look_at_health(board)
        board.view = self.compose(board)

    def compose(self, board: Board) -> View:
        """The page of this moment; also what a first load shows."""
        now_ns = self._clock.now_ns()
        view = robot_view(board.robot, now_ns)
        view.markup["alerts"] = parts.alert_list(board.alarms, self._clock.wall_ns() / 1e9)
        view.markup["events"] = board.events
        view.markup["faults"] = board.faults
        view.markup["health"] = board.health
        view.markup["tasks"] = board.tasks
        view.put("health", *board.health_word)
        view.put("upkeep", upkeep_words(board.upkeep))
        view.state["upkeep"] = "on" if board.in_maintenance else "off"
        for camera, snapshot in board.robot.snapshots.items():
            view.text[f"snapshot.{camera}"] = str(snapshot.number)
        return view

    async def load(self, board: Board) -> View:
        await asyncio.gather(
            self._look_at_events(board), self._look_at_faults(board), self._look_at_health(board)
        )
        return self.compose(board)

    def picture(self) -> Picture:
        """The fleet now; made anew at most a few times a second, whoever asks."""
        now_ns = self._clock.now_ns()
        if self._picture is None or not 0 <= now_ns - self._picture.at_ns < PICTURE_NS:
            boards = list(self.boards.values())
            together = ((b.robot, b.alarms, self._line(b, now_ns)) for b in boards)
            self._picture = picture(together, now_ns, self._of_fleet)
        return self._picture

    def line(self, robot_id: str) -> Line | None:
        board = self.boards.get(robot_id)
        return None if board is None else self._line(board, self._clock.now_ns())

    def _line(self, board: Board, now_ns: int) -> Line:
        """A robot of which nothing new was heard has the line that it had."""
        robot = board.robot
        freshness = robot.freshness(now_ns)
        same = (id(robot.live), robot.live_ns, freshness, board.alarms, board.in_maintenance)
        if board.line is None or board.line_of != same:
            board.line = line_of(robot, board.alarms, now_ns, in_maintenance=board.in_maintenance)
            board.line_of = same
        return board.line

    def attend(self, active: Callable[[], Iterable[ActiveAlert]]) -> None:
        """From now on pages and lists show these alerts, of robots and of the fleet."""
        self._active = active

    def look_at_alerts(self) -> None:
        """What fires now, and of which robots it asks for nobody any more."""
        self._end_maintenance()
        if self._active is None:
            return
        found: dict[str, list[Alarm]] = {}
        for one in self._active():
            alarm = Alarm(
                one.name,
                one.severity,
                one.summary,
                one.runbook,
                one.since_ns / 1e9,
                one.flapping,
                one.known,
            )
            found.setdefault(one.subject, []).append(alarm)
        self._of_fleet = tuple(found.pop(FLEET, ()))
        for board in self.boards.values():
            board.alarms = tuple(found.get(board.robot.robot_id, ()))

    def note_maintenance(self, robots: Mapping[str, Maintenance]) -> None:
        self._resting = robots
        for board in self.boards.values():
            board.upkeep = robots.get(board.robot.robot_id)

    def _end_maintenance(self) -> None:
        """Of robots whose time is over."""
        wall_ns = self._clock.wall_ns()
        if not all(one.holds(wall_ns) for one in self._resting.values()):
            held = {name: one for name, one in self._resting.items() if one.holds(wall_ns)}
            self.note_maintenance(held)

    def accounts(self, robot_id: str | None) -> list[Account]:
        return self._books.accounts(robot_id)

    async def events(self, robot_id: str, limit: int) -> list[dict[str, Any]]:
        query = Query(EVENT, robot_id, limit=limit)
        points = await asyncio.to_thread(self._store.points, query)
        return [{"time_ns": point.time_ns, **plain_names(point.fields)} for point in points]

    async def accounting(self, robot_id: str) -> list[Mapping[str, Any]]:
        accounts = await asyncio.to_thread(self._books.accounts, robot_id)
        return [account.__dict__ for account in accounts]

    def _board(self, site: str, robot_id: str) -> Board | None:
        board = self.boards.get(robot_id)
        if board is None and len(self.boards) < ROBOTS_MAX:
            robot = Robot(
                site,
                robot_id,
                self._settings.stale_ms * 1_000_000,
                self._settings.offline_ms * 1_000_000,
                self._clock.now_ns(),
            )
            board = Board(robot, self._settings.robot(robot_id))
            board.upkeep = self._resting.get(robot_id)
            self.boards[robot_id] = board
        return board

    async def _look_at_events(self, board: Board) -> None:
        try:
            board.events = await asyncio.to_thread(self._event_rows, board.robot.robot_id)
        except StoreUnavailableError as error:
            board.events = parts.notice_row(f"The store cannot be read: {error}")

    def _event_rows(self, robot_id: str) -> str:
        points = self._store.points(Query(EVENT, robot_id, limit=EVENTS_SHOWN))
        epochs = {int(p.fields["epoch"]) for p in points if "epoch" in p.fields}
        late = {epoch: self._books.settled(robot_id, epoch, Outcome.REPLAYED) for epoch in epochs}
        return parts.event_rows(points, late)

    async def _look_at_health(self, board: Board) -> None:
        try:
            found, tasks = await asyncio.to_thread(self._health_and_tasks, board.robot.robot_id)
        except StoreUnavailableError as error:
            board.health = board.tasks = parts.notice_row(f"The store cannot be read: {error}")
            board.health_word = ("not known", "warn")
            return
        board.health, board.health_word = health.health_rows(found), health.health_word(found)
        board.tasks = health.task_rows(tasks)

    def _health_and_tasks(self, robot_id: str) -> tuple[list[health.Found], Sequence[Event]]:
        now_ns = self._clock.wall_ns()
        query = Query(HEALTH, robot_id, since_ns=now_ns - HEALTH_NS, limit=HEALTH_MAX)
        found = health.findings(self._store.points(query), now_ns)
        wanted = Wanted(robot=robot_id, name="task.*")
        return found, find(self._books.engine, wanted, TASK_EVENTS)

    async def _look_at_faults(self, board: Board) -> None:
        entry = board.entry
        if entry is None or not entry.simulated:
            board.faults = parts.fault_groups(parts.VOCABULARY, NOT_SIMULATED)
            return
        listing = await fault_listing(entry.faults_socket)
        if listing:
            board.faults = parts.fault_groups(listing, "")
        else:
            why = "The simulator's fault service does not answer just now."
            board.faults = parts.fault_groups(parts.VOCABULARY, why)
