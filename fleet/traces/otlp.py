"""Journeys on their way to other tools: OTLP over HTTP, as the published messages have it.

A span is sent when it has ended, and marked when the receiver has said that it has it. A crash in
between sends it again, with the same ids. A receiver that is away, or that refuses us, costs
nothing but time; only what it calls wrong for good (400) is given up, and said.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import sqlalchemy as sql
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2 as otlp
from sqlalchemy.engine import Engine

from fleet.store.rows import Transaction, read
from fleet.store.series import StoreUnavailableError
from fleet.traces.query import step_of
from fleet.traces.tables import TRACE_SPAN
from fleet.traces.tree import Step
from runtime.telemetry.client import Value
from runtime.telemetry.span import Status

log = logging.getLogger(__name__)

BATCH_SPANS = 500
TIMEOUT_S = 10.0
IDLE_S = 2.0
WAIT_MIN_S, WAIT_MAX_S = 2.0, 120.0
PROTOBUF = "application/x-protobuf"
STATUS = {
    Status.UNSET: otlp.Status.STATUS_CODE_UNSET,
    Status.OK: otlp.Status.STATUS_CODE_OK,
    Status.ERROR: otlp.Status.STATUS_CODE_ERROR,
}


@dataclass(frozen=True)
class Sent:
    """What one turn did. `refused`: why the receiver did not take it; "" when it did."""

    spans: int
    refused: str = ""
    given_up: bool = False


class Exporter:
    def __init__(self, url: str, rows: Engine, client: httpx.Client | None = None) -> None:
        self._url = url
        self._rows = rows
        self._client = client or httpx.Client(timeout=TIMEOUT_S)

    async def run(self) -> None:
        wait_s = WAIT_MIN_S
        while True:
            try:
                sent = await asyncio.to_thread(self.turn)
            except StoreUnavailableError as error:
                sent = Sent(0, str(error))
            if sent.refused and not sent.given_up:
                log.warning("traces: %s; trying again in %.0f s", sent.refused, wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, WAIT_MAX_S)
                continue
            wait_s = WAIT_MIN_S
            if sent.spans < BATCH_SPANS:
                await asyncio.sleep(IDLE_S)

    def turn(self) -> Sent:
        """The oldest that have not been sent, in one request; StoreUnavailableError."""
        unsent = TRACE_SPAN.c.exported.is_(False)
        ended = TRACE_SPAN.c.end_ns.is_not(None)
        query = sql.select(TRACE_SPAN).where(unsent, ended).order_by(TRACE_SPAN.c.id)
        found = read(self._rows, query.limit(BATCH_SPANS))
        if not found:
            return Sent(0)
        sent = self._post([step_of(row) for row in found])
        if not sent.refused or sent.given_up:
            self._mark(found)
        return sent

    def _post(self, steps: Sequence[Step]) -> Sent:
        body = request_of(steps).SerializeToString()
        try:
            reply = self._client.post(self._url, content=body, headers={"content-type": PROTOBUF})
        except httpx.HTTPError as error:
            return Sent(0, f"{self._url} cannot be reached ({error!r:.200})")
        if reply.is_success:
            _note_partial(reply)
            return Sent(len(steps))
        refused = f"{self._url} answered {reply.status_code}: {reply.text[:200]!r}"
        if reply.status_code == httpx.codes.BAD_REQUEST:
            log.error("traces: %s; %d spans are not sent again", refused, len(steps))
            return Sent(len(steps), refused, given_up=True)
        return Sent(0, refused)

    def _mark(self, found: Sequence[Any]) -> None:
        """One whose later end came meanwhile is not the one that was sent."""
        change = (
            sql.update(TRACE_SPAN)
            .where(TRACE_SPAN.c.id == sql.bindparam("sent_id"))
            .where(TRACE_SPAN.c.end_ns == sql.bindparam("sent_end"))
            .values(exported=True)
        )
        sent = [{"sent_id": int(row.id), "sent_end": int(row.end_ns)} for row in found]
        with Transaction(self._rows) as connection:
            connection.execute(change, sent)


def request_of(steps: Iterable[Step]) -> ExportTraceServiceRequest:
    """Grouped by who made them: a process on a robot, or of the fleet."""
    groups: dict[tuple[str, str, str, str], list[Step]] = {}
    for step in steps:
        groups.setdefault((step.robot, step.site, step.version, step.source), []).append(step)
    scope = InstrumentationScope(name="bedplate")
    return ExportTraceServiceRequest(
        resource_spans=[
            otlp.ResourceSpans(
                resource=_resource(group[0]),
                scope_spans=[otlp.ScopeSpans(scope=scope, spans=[_span(step) for step in group])],
            )
            for group in groups.values()
        ]
    )


def _resource(step: Step) -> Resource:
    known = {
        "service.namespace": "bedplate",
        "service.name": step.source,
        "service.instance.id": f"{step.site}/{step.robot}" if step.on_robot else "fleet",
        "service.version": step.version,
        "bedplate.robot": step.robot,
        "bedplate.site": step.site,
    }
    return Resource(attributes=[_pair(key, value) for key, value in known.items()])


def _span(step: Step) -> otlp.Span:
    assert step.end_ns is not None  # only what has ended is sent
    received = otlp.Span.SPAN_KIND_CONSUMER
    return otlp.Span(
        trace_id=bytes.fromhex(step.trace_id),
        span_id=bytes.fromhex(step.span_id),
        parent_span_id=bytes.fromhex(step.parent_id),
        name=step.name,
        kind=otlp.Span.SPAN_KIND_INTERNAL if step.on_robot else received,
        start_time_unix_nano=max(0, step.start_ns),
        end_time_unix_nano=max(0, step.end_ns),
        attributes=[
            _pair("bedplate.task_id", step.task_id),
            *(_pair(f"bedplate.{key}", value) for key, value in step.attributes.items()),
        ],
        status=otlp.Status(
            code=STATUS[step.status], message=str(step.attributes.get("reason", ""))
        ),
    )


def _pair(key: str, value: Value) -> KeyValue:
    return KeyValue(key=key, value=_any(value))


def _any(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)


def _note_partial(reply: httpx.Response) -> None:
    """A receiver may take most and say what it did not: that is not to be sent again."""
    try:
        said = ExportTraceServiceResponse.FromString(reply.content).partial_success
    except DecodeError:  # an answer in JSON, or in words: it has taken them all the same
        return
    if said.rejected_spans:
        log.error("traces: %d spans were refused: %s", said.rejected_spans, said.error_message)
