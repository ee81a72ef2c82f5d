"""Robots that come back from an outage all at once, while others work on."""

import time
from dataclasses import dataclass

from conf.schema.telemetry import Store
from fleet.bench.eyes import Eyes
from fleet.bench.live import Delay, account, delay
from fleet.bench.servers import load_average, servers
from fleet.clock import SystemClock
from fleet.load.apart import CrowdApart
from fleet.load.crowd import Crowd
from fleet.load.plan import Plan

QUIET_S = 10.0
LOOKED_AT = 2  # of those that work on


@dataclass(frozen=True)
class Storm:
    """`points_per_s` is backlog drained by the wall's clock."""

    robots: int
    history_s: float
    backlog: int
    drained: bool
    drain_s: float
    points_per_s: float
    ingest_cpu_s: float
    resent_frames: int
    missing: int
    live_robots: int
    live_before: Delay  # from the oldest record of a frame to its acknowledgement
    live_meanwhile: Delay
    page_meanwhile: Delay
    ingest_memory_mib: float
    load_average: float


def storm(robots: int, history_s: float, live_robots: int, limit_s: float, store: Store) -> Storm:
    with servers(store, page=True) as side:
        clock, plan = SystemClock(), Plan(robots=live_robots)
        lost = Plan(robots=robots, first=live_robots + 1)
        back = Crowd(lost, side.settings, clock, history_s=history_s)
        back.tell()
        backlog = back.head
        calm = CrowdApart(plan, side.settings)
        time.sleep(QUIET_S)
        looked_at = [plan.name(number) for number in plan.numbers][:LOOKED_AT]
        eyes = Eyes(side.sign_in_link(clock), side.page_url, looked_at)
        before = _live(calm)
        spent_s, began = side.cpu_s()["ingest1"], time.monotonic()
        drained = _drain(back, limit_s)
        drain_s = time.monotonic() - began
        meanwhile = _live(calm)
        spent_s = side.cpu_s()["ingest1"] - spent_s
        eyes.close()
        busy, memory_mib = load_average(), side.memory_mib("ingest1")
        until = time.monotonic() + limit_s
        back.settle(lambda until=until: time.monotonic() > until)
        found = account(side, calm.settle(limit_s) + back.head)
        resent = sum(robot.spool.resent for robot in back.robots)
        back.close()
    return Storm(
        robots=robots,
        history_s=history_s,
        backlog=backlog,
        drained=drained,
        drain_s=round(drain_s, 1),
        points_per_s=round(backlog / drain_s) if drained else 0,
        ingest_cpu_s=round(spent_s, 2),
        resent_frames=resent,
        missing=found.missing,
        live_robots=live_robots,
        live_before=before,
        live_meanwhile=meanwhile,
        page_meanwhile=delay(eyes.ages_ms),
        ingest_memory_mib=memory_mib,
        load_average=busy,
    )


def _drain(back: Crowd, limit_s: float) -> bool:
    """Until the backlog is gone, or the time; whether it is gone."""

    def is_gone() -> bool:
        return all(robot.spool.is_empty for robot in back.robots)

    until = time.monotonic() + limit_s
    back.run(lambda: is_gone() or time.monotonic() > until, talks=lambda: False)
    return is_gone()


def _live(calm: CrowdApart) -> Delay:
    """Of what it told live since it was last asked."""
    return delay(item.made_ns / 1e6 for item in calm.take() if not item.late)
