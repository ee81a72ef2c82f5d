"""A task's journey in OpenTelemetry's own Collector: it reads there as it was told here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fleet.from_source import NotBuiltError
from fleet.traces.otlp import PROTOBUF, Exporter, request_of
from fleet.traces.query import find_trace
from fleet.traces.tree import Step
from runtime.telemetry.span import Status, trace_id_of
from tests.fleet.metrics.test_rollup import NOW_S, Side
from tests.fleet.traces.collector import Collector
from tests.fleet.traces.test_log import Teller, journey_of

pytestmark = pytest.mark.slow
TRACE = trace_id_of("osaka", "r-1", 7, 1)
INTERNAL, CONSUMER = 1, 5  # kinds of spans, by OTLP's numbers
CODES = {Status.UNSET: 0, Status.OK: 1, Status.ERROR: 2}


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    try:
        made = Collector(tmp_path)
    except NotBuiltError as error:
        pytest.skip(str(error))
    with made:
        yield made


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[tuple[Side, tuple[Step, ...]]]:
    """A journey of a robot that failed, and the fleet's own step in it, in the rows."""
    side = Side(f"sqlite:///{tmp_path / 'rows.sqlite'}", tmp_path)
    robot = Teller("r-1")
    robot.tell(journey_of("r-1", 7, NOW_S - 1, failed=True), NOW_S - 1)
    side.ingest.process([robot.frame(range(1, 6))])
    found = find_trace(side.rows, TRACE)
    assert found is not None
    yield side, tuple(found.steps)
    side.close()


def values(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """OTLP's JSON writes whole numbers as text, so that none is rounded."""
    read = {"intValue": int, "doubleValue": float, "boolValue": bool, "stringValue": str}
    return {
        pair["key"]: read[kind](value) for pair in pairs for kind, value in pair["value"].items()
    }


def spans(collector: Collector) -> dict[str, dict[str, Any]]:
    """By name, each with what its resource says of it."""
    return {
        span["name"]: span | {"resource": values(group["resource"]["attributes"])}
        for got in collector.reader.got
        for group in got["resourceSpans"]
        for scope in group["scopeSpans"]
        for span in scope["spans"]
    }


def test_the_collector_reads_the_journey_that_robot_and_fleet_told(
    collector: Collector, steps: tuple[Side, tuple[Step, ...]]
) -> None:
    side, told = steps
    with httpx.Client(timeout=10.0) as client:
        sent = Exporter(collector.url, side.rows, client).turn()
    assert (sent.spans, sent.refused) == (4, "")
    read = spans(collector)
    assert set(read) == {"task", "attempt", "pick", "ingest"}
    for step in told:
        span = read[step.name]
        assert (span["traceId"], span["spanId"]) == (TRACE, step.span_id)
        assert span.get("parentSpanId", "") == step.parent_id
        assert int(span["startTimeUnixNano"]) == step.start_ns
        assert int(span["endTimeUnixNano"]) == step.end_ns
        assert span["kind"] == (INTERNAL if step.on_robot else CONSUMER)
        assert span["status"].get("code", 0) == CODES[step.status]
        said = {f"bedplate.{key}": value for key, value in step.attributes.items()}
        assert values(span["attributes"]) == {"bedplate.task_id": 7, **said}
        assert span["resource"]["service.name"] == step.source
    assert read["pick"]["parentSpanId"] == read["attempt"]["spanId"]
    assert read["attempt"]["parentSpanId"] == read["ingest"]["parentSpanId"]
    assert read["task"]["resource"]["service.instance.id"] == "osaka/r-1"
    assert read["ingest"]["resource"]["service.instance.id"] == "fleet"


def test_the_collector_refuses_a_trace_id_that_is_none(
    collector: Collector, steps: tuple[Side, tuple[Step, ...]]
) -> None:
    """So that what it takes is known to have been looked at."""
    wrong = request_of(steps[1])
    wrong.resource_spans[0].scope_spans[0].spans[0].trace_id = b"short"
    body = wrong.SerializeToString()
    reply = httpx.post(collector.url, content=body, headers={"content-type": PROTOBUF})
    assert reply.status_code == httpx.codes.BAD_REQUEST
    assert not collector.reader.got
