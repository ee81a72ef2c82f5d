"""Everything that can break between a robot's spool and the books, and the account is exact.

Robots, frames, ingest, store and books are the real code; the network between them is a list that
loses, doubles and reorders, and a crash is a new ingester on the same files. What is killed as a
process of its own is in `test_kills.py`.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fleet.events import Wanted
from fleet.events.search import every
from fleet.ingest import Incoming, Ingest, Outgoing
from fleet.load.held import Spool
from fleet.load.plan import Plan
from fleet.load.story import Story
from fleet.metrics import Span, robots, tally
from fleet.metrics.loss import losses
from fleet.store.books import Books
from fleet.store.embedded import EmbeddedStore
from fleet.store.series import Query, StoreUnavailableError
from runtime.telemetry.frame import decode_ack, encode_frame
from runtime.topics import TopicName, address

NOW_S = 1_700_000_000
YEAR_S = 365 * 86_400
PLAN = Plan(robots=4, seed=5, task_period_s=20, metric_period_s=15)


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

    def __init__(self, folder: Path, seed: int, off_s: Sequence[float] = (0, 0, 0, 0)) -> None:
        self.draw = random.Random(seed)
        self.clock = Clock()
        self.robots = [Robot(number + 1, off) for number, off in enumerate(off_s)]
        self._folder = folder
        self._up: list[Incoming] = []
        self._down: list[Outgoing] = []
        self.crashes = 0
        self._open()

    def _open(self) -> None:
        self.store = EmbeddedStore(self._folder / "series.sqlite")
        self.books = Books(f"sqlite:///{self._folder / 'books.sqlite'}")
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
        stored = self._stored()
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

    def _stored(self) -> dict[str, list[int]]:
        numbers: dict[str, list[int]] = {}
        for measurement in ("event", "control", "joint", "perception", "policy"):
            for point in self.store.points(Query(measurement, limit=10**6)):
                numbers.setdefault(point.tags["robot"], []).append(int(point.fields["seq"]))
        return numbers


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_crashes_at_every_point_losses_doubles_and_reordering_leave_an_exact_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    world = World(tmp_path, seed)

    def fault() -> None:
        kind = world.draw.choice(("none", "none", "store", "written", "settled"))
        match kind:
            case "store":
                raise StoreUnavailableError("planted")
            case "written":  # killed after the points are in, before the books know
                _crash_in(world, "settle", after=False)
            case "settled":  # killed after the books know, before the robot hears of it
                _crash_in(world, "settle", after=True)
            case _:
                pass

    world.run(25, 12.0, fault)
    assert world.crashes > 5
    world.check()
    world.close()


def _crash_in(world: World, step: str, *, after: bool) -> None:
    """The next batch ends there, and with it the process."""
    real = getattr(world.books, step)

    def broken(*arguments: Any) -> None:
        if after:
            real(*arguments)
        world.crash()
        raise StoreUnavailableError("killed")

    setattr(world.books, step, broken)


def test_ten_thousand_malformed_payloads_harm_nobody_and_are_counted(tmp_path: Path) -> None:
    world = World(tmp_path, 3)
    draw, sent = world.draw, 0
    good = world.robots[0]
    good.tell(NOW_S + 60)
    (sample, *_) = good.say(NOW_S + 60)
    good.spool.disconnect()

    def nonsense() -> list[Incoming]:
        nonlocal sent
        made: list[Incoming] = []
        for _ in range(1000):
            payload = bytearray(sample.payload)
            match draw.randrange(3):
                case 0:
                    payload = bytearray(draw.randbytes(draw.randrange(80)))
                case 1:
                    del payload[draw.randrange(len(payload)) :]
                case _:
                    payload[draw.randrange(len(payload))] ^= 1 << draw.randrange(8)
            made.append(Incoming(sample.topic, bytes(payload)))
        sent += len(made)
        return made

    for _ in range(10):
        world.ingest.process(nonsense())
    assert world.ingest.counts.poison == sent == 10_000
    assert world.books.poison_count() == 10_000
    assert all(row["reason"] for row in world.books.poison(1000))
    world.run(3, 10.0, lambda: None)
    world.check()
    world.close()


def test_clocks_wrong_by_years_lose_nothing_and_are_named(tmp_path: Path) -> None:
    world = World(tmp_path, 4, (0, 20 * YEAR_S, -30 * YEAR_S, -40 * 86_400))
    world.run(10, 15.0, lambda: None)
    world.check()
    misdated = {item.robot_id: item.misdated > 0 for item in robots(world.books.engine)}
    assert misdated == {PLAN.name(n): n != 1 for n in (1, 2, 3, 4)}
    recent = Span(NOW_S - 3600, NOW_S + 3600)
    assert tally(world.books.engine, recent).ended == sum(robot.ended for robot in world.robots)
    world.close()


def test_a_robot_that_floods_thins_its_own_metrics_and_no_others(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    flood = world.robots[1]

    def more() -> list[Incoming]:
        for _ in range(12):  # its clock runs: twelve minutes each turn, and as much to say
            flood.off_s += 60
            flood.tell(world.clock.s)
        return []

    flood.spool._cap = 300
    world.run(6, 15.0, lambda: None, more)
    world.check()
    assert len(flood.spool.thinned) > 50
    assert all(not robot.spool.thinned for robot in world.robots if robot is not flood)
    world.close()
