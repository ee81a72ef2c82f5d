"""What robots send, second by second: the simulated ones', or the robot's of `make run`."""

from collections.abc import Iterator
from typing import Final

from fleet.bench.recorded import as_robots_send
from fleet.load.held import Spool
from fleet.load.plan import Plan
from fleet.load.story import Story
from records import TelemetryFrame
from runtime.telemetry.frame import Ack

AS_A_ROBOT: Final = 0  # samples: as a robot of `make run` sends, without its events
NS: Final = 10**9


def told(robots: int, seconds: int, samples: int, start_ns: int) -> Iterator[list[TelemetryFrame]]:
    """A list for each second; each robot's frames are acknowledged as soon as they are here."""
    if samples == AS_A_ROBOT:
        yield from as_robots_send(robots, seconds, start_ns)
        return
    plan = Plan(robots=robots, samples=samples)
    stories = [Story(plan, number, start_ns) for number in plan.numbers]
    spools = [Spool(plan.name(n), plan.site(n), epoch=n) for n in plan.numbers]
    for second in range(1, seconds + 1):
        now_ns, made = start_ns + second * NS, list[TelemetryFrame]()
        for story, spool in zip(stories, spools, strict=True):
            spool.add(story.until(now_ns), plan.version)
            for frame in spool.frames(now_ns):
                made.append(frame)
                spool.note_ack(Ack(spool.epoch, stored=frame.ranges))
        yield made
