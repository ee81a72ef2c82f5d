"""What the fleet side costs: `make bench-fleet` writes one JSON.

Costs are CPU seconds of the processes themselves, so that other work on the machine does not count
as theirs. The load's own CPU is told apart. Wall-clock figures are given with the load average.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil

from conf.load import compose
from fleet.broker import free_port
from fleet.clock import SystemClock
from fleet.ingest import Incoming, Ingest
from fleet.load.crowd import Crowd
from fleet.load.held import Spool
from fleet.load.plan import Plan
from fleet.load.story import Story
from fleet.metrics.loss import Loss, losses, total
from fleet.metrics.now import snapshot, week
from fleet.prepare import prepare
from fleet.settings import read_settings
from fleet.store.books import Books
from fleet.store.embedded import EmbeddedStore
from runtime.telemetry.frame import Ack, encode_frame
from runtime.topics import TopicName, address

DAY_S = 86_400
START_S = 30.0


@dataclass(frozen=True)
class Cost:
    """Of ingest alone, in one process: `points_per_core_s` counts CPU, not waiting."""

    robots: int
    seconds: int
    samples: int
    points: int
    messages: int
    points_per_core_s: float
    messages_per_core_s: float
    snapshot_ms: float
    week_ms: float


@dataclass(frozen=True)
class Live:
    """Simulated robots over a real broker into a real ingestd, then everything drained."""

    robots: int
    samples: int
    seconds: float
    sent: int
    stored: int
    missing: int
    settled: bool
    ingest_cpu_ratio: float
    broker_cpu_ratio: float
    load_cpu_ratio: float
    ingest_memory_mib: float
    disk_mib_robot_day: float
    load_average: float


def frames(robots: int, seconds: int, samples: int, start_ns: int) -> list[Incoming]:
    """What so many robots send in so many seconds, a frame a second each."""
    plan = Plan(robots=robots, samples=samples)
    made: list[tuple[int, Incoming]] = []
    for number in range(1, robots + 1):
        story = Story(plan, number, start_ns)
        spool = Spool(plan.name(number), plan.site(number), epoch=number)
        topic = address(TopicName.FRAMES, plan.site(number), plan.name(number))
        for second in range(1, seconds + 1):
            now_ns = start_ns + second * 10**9
            spool.add(story.until(now_ns), plan.version)
            for frame in spool.frames(now_ns):
                made.append((second, Incoming(topic, encode_frame(frame))))
                spool.note_ack(Ack(spool.epoch, stored=frame.ranges))
    made.sort(key=lambda item: item[0])  # robots take turns
    return [message for _, message in made]


def ingest_cost(robots: int, seconds: int, samples: int, batch: int = 100) -> Cost:
    clock = SystemClock()
    messages = frames(robots, seconds, samples, clock.wall_ns() - seconds * 10**9)
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddedStore(Path(folder) / "series.sqlite")
        books = Books(f"sqlite:///{Path(folder) / 'books.sqlite'}")
        ingest = Ingest(store, books, clock)
        began_s = time.process_time()
        for start in range(0, len(messages), batch):
            ingest.process(messages[start : start + batch])
        spent_s = time.process_time() - began_s
        asked_s = time.process_time()
        snapshot(books.engine, clock.wall_ns())
        seen_s = time.process_time()
        week(books.engine, clock.wall_ns())
        week_s = time.process_time()
        points = ingest.counts.points_stored
        store.close()
        books.close()
    return Cost(
        robots=robots,
        seconds=seconds,
        samples=samples,
        points=points,
        messages=len(messages),
        points_per_core_s=round(points / spent_s),
        messages_per_core_s=round(len(messages) / spent_s),
        snapshot_ms=round((seen_s - asked_s) * 1000, 2),
        week_ms=round((week_s - seen_s) * 1000, 2),
    )


def live(robots: int, samples: int, seconds: float) -> Live:
    with tempfile.TemporaryDirectory(prefix="bedplate-bench-") as folder:
        root = Path(folder) / "fleet"
        ports = [
            f"telemetry.broker.port={free_port(23_883)}",
            f"telemetry.page.port={free_port(19_080)}",
            "telemetry.broker.via_relay=false",
        ]
        made = prepare(compose(overrides=ports).config, root, None)
        with (Path(folder) / "servers.log").open("ab") as log:
            broker = subprocess.Popen(made.broker, stdout=log, stderr=log)
            ingest = subprocess.Popen(made.ingestd, stdout=log, stderr=log)
        try:
            return _live(made.settings.root, robots, samples, seconds, broker.pid, ingest.pid)
        finally:
            for process in (ingest, broker):
                process.terminate()
                process.wait()


def _live(root: Path, robots: int, samples: int, seconds: float, broker: int, ingest: int) -> Live:
    settings, clock = read_settings(root), SystemClock()
    plan = Plan(robots=robots, samples=samples)
    crowd = Crowd(plan, settings, clock)
    servers = [psutil.Process(ingest), psutil.Process(broker), psutil.Process()]
    began = time.monotonic()
    before = [_cpu_s(process) for process in servers]
    crowd.run(lambda: time.monotonic() - began >= seconds)
    deadline = time.monotonic() + max(60.0, seconds)
    settled = crowd.settle(lambda: time.monotonic() > deadline)
    spent = [_cpu_s(p) - b for p, b in zip(servers, before, strict=True)]
    memory_mib = servers[0].memory_info().rss / 2**20
    found = _account(settings.rows_url, crowd.head)
    crowd.close()
    disk = sum(path.stat().st_size for path in root.glob("*.sqlite*"))
    shares = [round(cpu_s / seconds, 3) for cpu_s in spent]
    return Live(
        robots=robots,
        samples=samples,
        seconds=seconds,
        sent=crowd.head,
        stored=found.stored,
        missing=found.missing,
        settled=settled,
        ingest_cpu_ratio=shares[0],
        broker_cpu_ratio=shares[1],
        load_cpu_ratio=shares[2],
        ingest_memory_mib=round(memory_mib, 1),
        disk_mib_robot_day=round(disk / 2**20 / robots / seconds * DAY_S, 1),
        load_average=round(os.getloadavg()[0], 1),
    )


def _account(url: str, sent: int) -> Loss:
    """The last accounts are on their way when the robots have done."""
    books, deadline = Books(url), time.monotonic() + START_S
    found = total(losses(books.accounts()))
    while found.sent < sent and time.monotonic() < deadline:
        time.sleep(0.5)
        found = total(losses(books.accounts()))
    books.close()
    return found


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench-fleet")
    parser.add_argument("--robots", type=int, nargs="*", default=[10, 100])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--samples", type=int, nargs="*", default=[1, 10])
    parser.add_argument("--no-live", action="store_true", help="CPU of ingest alone")
    args = parser.parse_args()
    figures: dict[str, Any] = {"cpus": os.cpu_count(), "ingest": [], "live": []}
    for samples in args.samples:
        figures["ingest"].append(asdict(ingest_cost(50, 20, samples)))
    if not args.no_live:
        for robots in args.robots:
            for samples in args.samples:
                figures["live"].append(asdict(live(robots, samples, args.seconds)))
    sys.stdout.write(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode() + "\n")


if __name__ == "__main__":
    main()
