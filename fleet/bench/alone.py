"""Ingest in this process, without a network: what a message and a point cost."""

import tempfile
import time
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from fleet.bench.told import told
from fleet.clock import SystemClock
from fleet.ingest import Incoming, Ingest
from fleet.metrics.now import snapshot, week
from fleet.store.books import Books
from fleet.store.embedded import EmbeddedStore
from records import TelemetryFrame
from runtime.telemetry.frame import encode_frame
from runtime.topics import TopicName, address


@dataclass(frozen=True)
class Cost:
    """`points_per_core_s` counts CPU, not waiting."""

    robots: int
    seconds: int
    samples: int
    points: int
    messages: int
    points_per_core_s: float
    messages_per_core_s: float
    snapshot_ms: float
    week_ms: float


def message_of(frame: TelemetryFrame) -> Incoming:
    topic = address(TopicName.FRAMES, frame.site, frame.robot_id)
    return Incoming(topic, encode_frame(frame))


def ingest_cost(robots: int, seconds: int, samples: int, batch: int = 100) -> Cost:
    clock = SystemClock()
    frames = told(robots, seconds, samples, clock.wall_ns() - seconds * 10**9)
    messages = [message_of(frame) for frame in chain.from_iterable(frames)]
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
