"""Everything that can break between a robot's spool and the books, and the account is exact.

What is killed as a process of its own is in `test_kills.py`; databases that are slow, or full, in
`test_breaks.py`.
"""

from pathlib import Path
from typing import Any

import pytest

from fleet.ingest import Incoming
from fleet.metrics import Span, robots, tally
from fleet.store.series import StoreUnavailableError
from tests.fleet.load.world import NOW_S, PLAN, YEAR_S, World


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
