"""One second of the robot of `make run`, as its `telemetryd` sent it: the frame that is usual.

`second.json` is one message of a run of 40 minutes. Over that run a second had 12.1 points (half of
the seconds 11), about 5.8 kB before compression, and every other second an event.
"""

import random
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import orjson

from fleet.load.plan import Plan
from records import Priority, TelemetryFrame
from runtime.telemetry.client import Value
from runtime.telemetry.line import encode_line, encode_tags

SECOND = Path(__file__).parent / "second.json"
SPREAD = 1e-3  # of each number from one second to the next: else nothing would be new in it
Row = tuple[str, Mapping[str, Value]]


def as_robots_send(robots: int, seconds: int, start_ns: int) -> Iterator[list[TelemetryFrame]]:
    """For each second a frame of each robot."""
    plan, draw = Plan(robots=robots), random.Random(1)
    for second in range(seconds):
        now_ns = start_ns + second * 10**9
        yield [_frame(plan, number, second, now_ns, draw) for number in plan.numbers]


@cache
def recorded() -> tuple[Row, ...]:
    rows = orjson.loads(SECOND.read_bytes())
    return tuple((row["measurement"], row["fields"]) for row in rows)


def _frame(
    plan: Plan, number: int, second: int, now_ns: int, draw: random.Random
) -> TelemetryFrame:
    site, robot_id, rows = plan.site(number), plan.name(number), recorded()
    first = second * len(rows) + 1
    tags = {"robot": robot_id, "site": site, "hardware": "sim_x86", "version": plan.version}
    tagset = encode_tags(tags)
    lines = tuple(
        encode_line(
            measurement,
            tagset,
            {name: _moved(value, draw) for name, value in fields.items()},
            seq=first + at,
            epoch=number,
            time_ns=now_ns + at * 1000,
        )
        for at, (measurement, fields) in enumerate(rows)
    )
    return TelemetryFrame(
        robot_id=robot_id,
        site=site,
        hardware=tags["hardware"],
        artifact_name=plan.version,
        config_hash="0" * 64,
        epoch=number,
        priority=Priority.METRIC,
        replayed=False,
        ranges=((first, first + len(rows) - 1),),
        thinned=(),
        lines=lines,
    )


def _moved(value: Value, draw: random.Random) -> Value:
    """Counters and words stay what they are."""
    if isinstance(value, float) and not value.is_integer():
        return value * (1 + draw.gauss(0, SPREAD))
    return value
