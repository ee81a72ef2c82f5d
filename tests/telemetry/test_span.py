"""Steps of a task's journey as records: what is read back is what was told, and junk is refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from runtime.telemetry.line import encode_line, encode_tags
from runtime.telemetry.span import (
    TRACES_MAX,
    Span,
    SpanError,
    Status,
    contexts_of,
    fields_of,
    is_sampled,
    read_span,
    root_id_of,
    span_id_of,
    trace_id_of,
)

TAGS = encode_tags({"robot": "r-1", "site": "osaka", "hardware": "x", "version": "v1"})
WALL_NS = 1_700_000_000_000_000_000
TRACE = trace_id_of("osaka", "r-1", 7, WALL_NS)
VALUES = st.one_of(
    st.booleans(), st.text(max_size=20), st.floats(-1e9, 1e9, allow_nan=False).map(float)
)
SPANS = st.builds(
    Span,
    trace_id=st.just(TRACE),
    span_id=st.integers(0, 99).map(lambda number: span_id_of(TRACE, number)),
    parent_id=st.one_of(st.just(""), st.just(root_id_of(TRACE))),
    name=st.sampled_from(["task", "queue", "attempt", "safety_check"]),
    task_id=st.integers(0, 2**53 - 1),
    start_ns=st.integers(0, 10**15),
    end_ns=st.none(),
    status=st.sampled_from(list(Status)),
    attributes=st.dictionaries(st.sampled_from(["attempt", "reason", "x.y"]), VALUES),
)


def line_of(span: Span, now_ns: int, changed: dict[str, object] | None = None) -> bytes:
    fields = {"source": "agentd", **fields_of(span, now_ns), **(changed or {})}
    return encode_line("span", TAGS, fields, seq=3, epoch=5, time_ns=WALL_NS)  # type: ignore[arg-type]


@given(SPANS, st.integers(0, 10**13), st.one_of(st.none(), st.integers(0, 10**13)))
def test_what_is_read_back_is_what_was_told(span: Span, lasted_ns: int, ago_ns: int | None) -> None:
    end_ns = span.start_ns + lasted_ns
    if ago_ns is None:
        now_ns = end_ns
    else:
        span, now_ns = Span(**{**span.__dict__, "end_ns": end_ns}), end_ns + ago_ns
    found = read_span(line_of(span, now_ns))
    assert found is not None
    for name in ("trace_id", "span_id", "parent_id", "name", "task_id", "status"):
        assert getattr(found, name) == getattr(span, name)
    told = WALL_NS - (ago_ns or 0)
    assert abs(found.start_ns - (told - lasted_ns)) <= 2000
    assert found.end_ns is None if ago_ns is None else abs((found.end_ns or 0) - told) <= 1000
    assert set(found.attributes) == set(span.attributes)


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_break_the_reader(junk: bytes, like_a_span: bool) -> None:
    line = b"span,robot=r " + junk if like_a_span else junk
    try:
        found = read_span(line)
    except SpanError:
        return
    assert found is None or found.start_ns >= 0


@given(st.sampled_from(["trace", "span", "parent", "step", "status", "task_id", "ended_ago_us",
                        "lasted_us"]), VALUES)  # fmt: skip
def test_a_field_that_makes_no_sense_is_read_as_it_should_be_or_refused(
    name: str, value: object
) -> None:
    line = line_of(Span(TRACE, root_id_of(TRACE), "", "task", 7, 0, 10**9), 10**9, {name: value})
    with suppress(SpanError):
        found = read_span(line)
        assert found is not None
        assert found.end_ns is None or found.start_ns <= found.end_ns


def test_another_measurement_is_no_span() -> None:
    assert read_span(b"event,robot=r-1 name=1 5") is None
    with pytest.raises(SpanError, match="no point"):
        read_span(b"span,robot=r-1 nonsense")


def test_ids_are_of_what_a_step_is_and_not_of_when_it_is_told() -> None:
    assert trace_id_of("osaka", "r-1", 7, WALL_NS) == TRACE
    others = {
        trace_id_of("osaka", "r-2", 7, WALL_NS),
        trace_id_of("gdansk", "r-1", 7, WALL_NS),
        trace_id_of("osaka", "r-1", 8, WALL_NS),
        trace_id_of("osaka", "r-1", 7, WALL_NS + 1),  # set up anew, numbers begin again
        TRACE,
    }
    assert len(others) == 5
    assert span_id_of(TRACE, "attempt", 1) != span_id_of(TRACE, "attempt", 11)


def test_the_share_that_is_sampled_is_the_share_that_was_asked_for() -> None:
    traces = [trace_id_of("osaka", "r-1", number, WALL_NS) for number in range(4000)]
    assert all(is_sampled(trace, 1.0) for trace in traces)
    assert not any(is_sampled(trace, 0.0) for trace in traces)
    share = sum(is_sampled(trace, 0.25) for trace in traces) / len(traces)
    assert 0.22 < share < 0.28
    assert all(is_sampled(trace, 0.5) for trace in traces if is_sampled(trace, 0.25))


def test_a_message_names_each_of_its_traces_as_the_standard_has_it() -> None:
    other = trace_id_of("osaka", "r-1", 8, WALL_NS)
    spans = [
        Span(t, span_id_of(t, i), "", "queue", 7, 0, 1) for i in range(3) for t in (TRACE, other)
    ]
    said = contexts_of([b"event,robot=r x=1 5", *(line_of(span, 1) for span in spans)])
    assert [name for name, _ in said] == ["traceparent", "traceparent"]
    for (_, value), trace in zip(said, (TRACE, other), strict=True):
        carrier = {"traceparent": value}
        context = get_current_span(TraceContextTextMapPropagator().extract(carrier))
        found = context.get_span_context()
        assert (f"{found.trace_id:032x}", f"{found.span_id:016x}") == (trace, root_id_of(trace))
        assert found.trace_flags.sampled


def test_a_message_after_a_long_outage_names_no_more_traces_than_fit() -> None:
    traces = [trace_id_of("osaka", "r-1", number, WALL_NS) for number in range(3 * TRACES_MAX)]
    lines = [line_of(Span(t, root_id_of(t), "", "task", 7, 0, 1), 1) for t in traces]
    assert len(contexts_of(lines)) == TRACES_MAX
