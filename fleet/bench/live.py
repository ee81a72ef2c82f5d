"""Simulated robots over the real broker into real ingesters, with somebody looking at the page.

Everything is drained at the end and accounted for: what was sent is stored, or it is named.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conf.schema.telemetry import Store
from fleet.bench.eyes import Eyes
from fleet.bench.servers import Servers, load_average, servers
from fleet.clock import SystemClock
from fleet.load.crowd import Crowd
from fleet.load.plan import Plan
from fleet.metrics.loss import Loss, losses, total
from fleet.store.books import Books

DAY_S = 86_400
SETTLE_S = 30.0
DRAIN_S = 300.0  # on a busy machine; what is not drained then is told as such
LOOKED_AT = 4
WARM_S = 3.0  # of connecting, which is not what is measured


@dataclass(frozen=True)
class Delay:
    """Milliseconds; None: there was nothing to measure."""

    count: int
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True)
class Live:
    robots: int
    samples: int
    seconds: float
    store: str
    sent: int
    stored: int
    missing: int
    settled: bool
    sent_to_stored: Delay  # a frame, and the acknowledgement that its points are stored
    made_to_stored: Delay  # from the frame's oldest record: it waits up to a second to be sent
    to_page: Delay  # a live message, and the moment at which the page has its numbers
    cpu_ratio: dict[str, float]  # of one core, by process; `load` is the robots' own
    memory_mib: dict[str, float]
    disk_mib_robot_day: float
    load_average: float


def live(robots: int, samples: int, seconds: float, store: Store) -> Live:
    with servers(store, page=True) as side:
        clock = SystemClock()
        plan = Plan(robots=robots, samples=samples)
        crowd, empty = Crowd(plan, side.settings, clock), side.disk_bytes()
        _run(crowd, WARM_S + robots / 100)
        looked_at = [robot.robot_id for robot in crowd.robots[:LOOKED_AT]]
        eyes = Eyes(side.sign_in_link(clock), side.page_url, looked_at)
        for robot in crowd.robots:
            robot.spool.answered.clear()
        before, head = side.cpu_s(), crowd.head
        _run(crowd, seconds)
        spent = _minus(side.cpu_s(), before)
        during = crowd.head - head
        busy = load_average()
        eyes.close()
        limit_s = time.monotonic() + max(DRAIN_S, 2 * seconds)
        settled = crowd.settle(lambda: time.monotonic() > limit_s)
        found = account(side, crowd.head)
        disk = (side.disk_bytes() - empty) / max(1, crowd.head) * during
        answered = [item for robot in crowd.robots for item in robot.spool.answered]
        memory = {name: side.memory_mib(name) for name in side.parts if name != "influxd"}
        crowd.close()
    return Live(
        robots=robots,
        samples=samples,
        seconds=seconds,
        store=store.value,
        sent=found.sent,
        stored=found.stored,
        missing=found.missing,
        settled=settled,
        sent_to_stored=delay(item.sent_ns / 1e6 for item in answered),
        made_to_stored=delay(item.made_ns / 1e6 for item in answered),
        to_page=delay(eyes.ages_ms),
        cpu_ratio={name: round(cpu_s / seconds, 3) for name, cpu_s in spent.items()},
        memory_mib=memory,
        disk_mib_robot_day=round(disk / 2**20 / robots / seconds * DAY_S, 1),
        load_average=busy,
    )


def account(side: Servers, sent: int) -> Loss:
    """The last accounts are on their way when the robots have done."""
    books, deadline = Books(side.settings.rows_url), time.monotonic() + SETTLE_S
    found = total(losses(books.accounts()))
    while found.sent < sent and time.monotonic() < deadline:
        time.sleep(0.5)
        found = total(losses(books.accounts()))
    books.close()
    return found


def delay(samples_ms: Iterable[float]) -> Delay:
    ordered = sorted(samples_ms)
    return Delay(len(ordered), _rank(ordered, 0.5), _rank(ordered, 0.99))


def _rank(ordered: Sequence[float], ratio: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(ratio * len(ordered)))], 1)


def _run(crowd: Crowd, seconds: float) -> None:
    until = time.monotonic() + seconds
    crowd.run(lambda: time.monotonic() >= until)


def _minus(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - before.get(name, 0.0) for name in after}
