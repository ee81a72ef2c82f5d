"""Journeys to other tools: what a receiver decodes with the published messages is what was told.

The receiver here speaks OTLP over HTTP and decodes with OpenTelemetry's own message classes; it
stores nothing. What a collector of others makes of it is in test_collector.py, a slow test.
"""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1 import trace_pb2 as otlp

from fleet.traces.otlp import Exporter, request_of
from fleet.traces.query import find_trace
from runtime.telemetry.span import root_id_of, trace_id_of
from tests.fleet.metrics.test_rollup import NOW_S, Side
from tests.fleet.traces.test_log import Teller, journey_of


class Receiver:
    def __init__(self) -> None:
        self.status = 200
        self.rejects = 0
        self.got: list[ExportTraceServiceRequest] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.headers["content-type"] == "application/x-protobuf"
                if receiver.status == 200:
                    receiver.got.append(ExportTraceServiceRequest.FromString(body))
                part = ExportTracePartialSuccess(rejected_spans=receiver.rejects)
                said = ExportTraceServiceResponse(partial_success=part).SerializeToString()
                self.send_response(receiver.status)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_arguments: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    @property
    def spans(self) -> list[otlp.Span]:
        return [
            span
            for request in self.got
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Side]:
    side = Side(f"sqlite:///{tmp_path / 'rows.sqlite'}", tmp_path)
    yield side
    side.close()


@pytest.fixture
def exporter(side: Side, receiver: Receiver) -> Iterator[Exporter]:
    with httpx.Client(timeout=5.0) as client:
        yield Exporter(receiver.url, side.rows, client)


TRACE = trace_id_of("osaka", "r-1", 7, 1)


def told(side: Side, numbers: range = range(1, 6)) -> None:
    robot = Teller("r-1")
    robot.tell(journey_of("r-1", 7, NOW_S - 1, failed=True), NOW_S - 1)
    side.ingest.process([robot.frame(numbers)])


def test_a_receiver_reads_the_whole_journey_once(
    side: Side, exporter: Exporter, receiver: Receiver
) -> None:
    told(side)
    assert exporter.turn().spans == 4
    assert exporter.turn().spans == 0
    told(side)  # sent again by the robot: nothing new
    assert exporter.turn().spans == 0
    spans = {span.name: span for span in receiver.spans}
    assert set(spans) == {"task", "attempt", "pick", "ingest"}
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    assert spans["task"].span_id.hex() == root_id_of(TRACE)
    assert spans["task"].parent_span_id == b""
    assert spans["ingest"].parent_span_id == spans["task"].span_id
    assert spans["ingest"].kind == otlp.Span.SPAN_KIND_CONSUMER
    assert spans["task"].status.code == otlp.Status.STATUS_CODE_ERROR
    assert spans["pick"].end_time_unix_nano - spans["pick"].start_time_unix_nano == 4 * 10**9
    resources = [
        {pair.key: pair.value.string_value for pair in group.resource.attributes}
        for group in receiver.got[0].resource_spans
    ]
    assert {(r["service.name"], r["service.instance.id"]) for r in resources} == {
        ("agentd", "osaka/r-1"),
        ("ingestd", "fleet"),
    }


def test_what_has_no_end_yet_waits_for_it(
    side: Side, exporter: Exporter, receiver: Receiver
) -> None:
    told(side, range(1, 4))
    exporter.turn()
    assert {span.name for span in receiver.spans} == {"pick", "ingest"}
    told(side)
    exporter.turn()
    names = [span.name for span in receiver.spans]
    assert sorted(names) == ["attempt", "ingest", "ingest", "pick", "task"]


@pytest.mark.parametrize("status", [503, 429, 404, 401])
def test_a_receiver_that_refuses_or_is_away_loses_nothing(
    side: Side, exporter: Exporter, receiver: Receiver, status: int
) -> None:
    told(side)
    receiver.status = status
    sent = exporter.turn()
    assert (sent.spans, sent.given_up) == (0, False)
    assert str(status) in sent.refused
    receiver.status = 200
    assert exporter.turn().spans == 4


def test_what_is_wrong_for_good_does_not_stop_the_rest(
    side: Side, exporter: Exporter, receiver: Receiver
) -> None:
    told(side)
    receiver.status = 400
    assert exporter.turn().given_up
    receiver.status = 200
    assert exporter.turn().spans == 0


def test_a_receiver_that_takes_a_part_is_not_sent_it_again(
    side: Side, exporter: Exporter, receiver: Receiver
) -> None:
    told(side)
    receiver.rejects = 2
    assert exporter.turn().spans == 4
    assert exporter.turn().spans == 0


def test_nobody_listening_is_said_and_waited_for(side: Side) -> None:
    told(side)
    with httpx.Client(timeout=1.0) as client:
        sent = Exporter("http://127.0.0.1:1/v1/traces", side.rows, client).turn()
    assert "cannot be reached" in sent.refused


def test_every_kind_of_value_keeps_its_kind(side: Side) -> None:
    told(side)
    found = find_trace(side.rows, TRACE)
    assert found is not None
    steps = [step for step in found.steps if step.name in ("pick", "attempt")]
    spans = request_of(steps).resource_spans[0].scope_spans[0].spans
    values = {pair.key: pair.value for span in spans for pair in span.attributes}
    assert values["bedplate.fallback"].WhichOneof("value") == "bool_value"
    assert values["bedplate.attempt"].double_value == 1.0
    assert values["bedplate.task_id"].int_value == 7
