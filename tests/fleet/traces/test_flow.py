"""A journey from the robot's spool through a real broker, with everything away in between."""

import subprocess
import sys
import time

import orjson
import pytest

from conf.schema import Config
from fleet.settings import FleetSettings
from fleet.store.books import Books, Outcome
from fleet.store.rows import open_rows
from fleet.traces.query import find_trace
from fleet.traces.tree import Trace
from runtime.telemetry.span import Span, Status, hand_in, root_id_of, span_id_of, trace_id_of
from tests.fleet.conftest import Broker
from tests.fleet.test_endtoend import IngestProcess, Robot, ingest, memory_robot, robot

__all__ = ["ingest", "memory_robot", "robot"]
S = 10**9
pytestmark = [
    pytest.mark.timeout(240),
    # paho leaves the socket of a lost connection to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def tell(robot: Robot, task_id: int) -> str:
    """A task of two steps, as an agent would; its trace."""
    config = robot._config
    trace_id = trace_id_of(config.facility.site, config.robot_id, task_id, task_id)
    now_ns, root_id = time.monotonic_ns(), root_id_of(trace_id)
    begun = Span(trace_id, root_id, "", "task", task_id, now_ns - 3 * S, None)
    step = Span(
        trace_id, span_id_of(trace_id, "select"), root_id, "select", task_id,
        now_ns - 2 * S, now_ns - S, Status.OK, {"object_id": 3},
    )  # fmt: skip
    ended = Span(trace_id, root_id, "", "task", task_id, now_ns - 3 * S, now_ns, Status.OK)
    hand_in(robot.client, [begun, step, ended], now_ns)
    assert robot.client.barrier(60 * S)  # else one could still wait in this process
    return trace_id


def found(settings: FleetSettings, trace_id: str) -> Trace | None:
    rows = open_rows(settings.rows_url)
    try:
        return find_trace(rows, trace_id)
    finally:
        rows.dispose()


def test_journeys_told_offline_arrive_whole_and_joined_once(
    robot: Robot,
    ingest: IngestProcess,
    broker: Broker,
    settings: FleetSettings,
    config: Config,
) -> None:
    first = tell(robot, 1)
    robot.run_until(lambda: found(settings, first) is not None)
    broker.kill()
    ingest.kill()
    robot.run(0.5)
    later = [tell(robot, number) for number in range(2, 6)]
    robot.run(0.5)
    broker.start()
    ingest.start()
    robot.run_until(lambda: robot.held == 0)
    for trace_id in (first, *later):
        trace = found(settings, trace_id)
        assert trace is not None
        assert trace.missing == 0
        steps = {step.name: step for step in trace.steps}
        assert {"task", "select", "ingest"} <= set(steps)
        assert steps["ingest"].parent_id == root_id_of(trace_id)
        assert sum(s.attributes.get("records", 0) for s in trace.steps if not s.on_robot) == 3
        assert steps["task"].lasted_ns == 3 * S
        assert steps["select"].lasted_ns == S
    books = Books(settings.rows_url)
    stored = books.settled(config.robot_id, robot.process.journal.active.epoch, Outcome.STORED)
    assert [first for first, _last in stored.ranges()] == [1], "a number is missing"
    books.close()
    check_command(settings, later[0])


def check_command(settings: FleetSettings, trace_id: str) -> None:
    command = [sys.executable, "-m", "bedplate", "fleet", "trace", trace_id, "--json"]
    done = subprocess.run(
        [*command, "--fleet-dir", str(settings.root)], capture_output=True, check=True
    )
    told = orjson.loads(done.stdout)
    assert told["missing"] == 0
    assert [step["name"] for step in told["steps"]][:2] == ["task", "select"]
