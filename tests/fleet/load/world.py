"""Robots, frames, ingest, store and books, all of it the real code; the network is a list.

It loses, doubles and reorders, and a crash is a new ingester on the same files.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet.events import Wanted
from fleet.events.search import every
from fleet.ingest import Incoming, Ingest, Outgoing
from fleet.load.held import Spool
from fleet.load.plan import Plan
from fleet.load.story import Story
from fleet.metrics import Span, tally
from fleet.metrics.loss import losses
from fleet.store.books import Books
from fleet.store.embedded import EmbeddedStore
from fleet.store.series import Query, SeriesStore, StoreUnavailableError
from runtime.telemetry.frame import decode_ack, encode_frame
from runtime.topics import TopicName, address

NOW_S = 1_700_000_000
MEASUREMENTS = ("event", "span", "control", "joint", "perception", "policy")
YEAR_S = 365 * 86_400
PLAN = Plan(robots=4, seed=5, task_period_s=20, metric_period_s=15, traces_ratio=0.3)


class Clock:
    def __init__(self) -> None:
        self.s = float(NOW_S)

    def now_ns(self) -> int:
        return round((self.s - NOW_S) * 1e9)

    def wall_ns(self) -> int:
        return round(self.s * 1e9)


@dataclass
class Robot:
    """One of the load's robots, its clock off by so many seconds."""

    number: int
    off_s: float
    spool: Spool = field(init=False)
    story: Story = field(init=False)
    events: int = 0
    ended: int = 0

    def __post_init__(self) -> None:
        self.id, self.site = PLAN.name(self.number), PLAN.site(self.number)
        self.spool = Spool(self.id, self.site, epoch=self.number, cap=3000, resend_s=3)
        self.story = Story(PLAN, self.number, self.clock_ns(NOW_S))

    def clock_ns(self, now_s: float) -> int:
        return round((now_s + self.off_s) * 1e9)

    def tell(self, now_s: float) -> None:
        said = self.story.until(self.clock_ns(now_s))
        self.spool.add(said, PLAN.version)
        self.events += sum(item.measurement == "event" for item in said)
        self.ended += sum(item.fields.get("name") in ("task.done", "task.failed") for item in said)

    def say(self, now_s: float) -> list[Incoming]:
        frames = self.spool.frames(self.clock_ns(now_s))
        messages = [self._message(TopicName.FRAMES, encode_frame(frame)) for frame in frames]
        return [*messages, self._message(TopicName.ACCOUNT, self.spool.account())]

    def _message(self, name: TopicName, payload: bytes) -> Incoming:
        return Incoming(address(name, self.site, self.id), payload)


class World:
    """`fault` is asked before each batch; it may break what follows."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        off_s: Sequence[float] = (0, 0, 0, 0),
        *,
        make_store: Callable[[], SeriesStore] | None = None,
        rows_url: str = "",
    ) -> None:
        self.draw = random.Random(seed)
        self.clock = Clock()
        self.robots = [Robot(number + 1, off) for number, off in enumerate(off_s)]
        self._make_store = make_store or (lambda: EmbeddedStore(folder / "series.sqlite"))
        self._rows_url = rows_url or f"sqlite:///{folder / 'books.sqlite'}"
        self._up: list[Incoming] = []
        self._down: list[Outgoing] = []
        self.crashes = self.refusals = 0
        self._open()

    def _open(self) -> None:
        self.store = self._make_store()
        self.books = Books(self._rows_url)
        self.ingest = Ingest(self.store, self.books, self.clock)

    def crash(self) -> None:
        """The process is gone; what it had committed is not."""
        self.crashes += 1
        self.close()
        self._open()

    def close(self) -> None:
        self.store.close()
        self.books.close()

    def run(self, turns: int, step_s: float, fault: Callable[[], None], more: Any = None) -> None:
        for _ in range(turns):
            self.clock.s += step_s
            for robot in self.robots:
                robot.tell(self.clock.s)
            self._turn(fault, calm=False, more=more)

    def settle(self) -> None:
        for _ in range(200):
            self.clock.s += 1
            self._turn(lambda: None, calm=True)
            if all(robot.spool.is_empty for robot in self.robots) and not self._up:
                return
        raise AssertionError([len(robot.spool.held) for robot in self.robots])

    def _turn(self, fault: Callable[[], None], *, calm: bool, more: Any = None) -> None:
        for robot in self.robots:
            for message in robot.say(self.clock.s):
                self._up += [message] * (1 if calm else self.draw.choice((0, 1, 1, 2)))
        if more is not None:
            self._up += more()
        if not calm:
            self.draw.shuffle(self._up)
        batch, self._up = self._up[:60], self._up[60:]
        try:
            fault()
            self._down += self.ingest.process(batch)
        except StoreUnavailableError:  # the broker gives the batch again, or the robots do
            self.refusals += 1
            self._up += batch if self.draw.random() < 0.5 else []
        for answer in self._down:
            if calm or self.draw.random() < 0.7:
                self._hear(answer)
        self._down.clear()

    def _hear(self, answer: Outgoing) -> None:
        for robot in self.robots:
            if answer.topic == address(TopicName.ACK, robot.site, robot.id):
                robot.spool.note_ack(decode_ack(answer.payload))

    def check(self) -> None:
        """Every number is accounted for, every event and every task is there, and only once."""
        self.settle()
        found = {loss.robot_id: loss for loss in losses(self.books.accounts())}
        stored = numbers_stored(self.store)
        for robot in self.robots:
            loss = found[robot.id]
            thinned = len(robot.spool.thinned)
            assert (loss.sent, loss.missing, loss.pending) == (robot.spool.head, 0, 0)
            assert loss.stored + loss.thinned == loss.sent
            assert loss.thinned <= thinned
            assert sorted(stored[robot.id]) == sorted(set(stored[robot.id]))
            assert len(stored[robot.id]) == loss.stored
        rows = self.books.engine
        ever = Span(NOW_S - 10 * YEAR_S, NOW_S + 10 * YEAR_S)
        assert tally(rows, ever).ended == sum(robot.ended for robot in self.robots)
        logged = sum(1 for _ in every(rows, Wanted()))
        assert logged == sum(robot.events for robot in self.robots)


def numbers_stored(store: SeriesStore) -> dict[str, list[int]]:
    """Of each robot, one for each point."""
    numbers: dict[str, list[int]] = {}
    for measurement in MEASUREMENTS:
        for point in store.points(Query(measurement, limit=10**6)):
            numbers.setdefault(point.tags["robot"], []).append(int(point.fields["seq"]))
    return numbers
