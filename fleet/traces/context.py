"""W3C trace contexts in the user properties of an MQTT 5 message: read as the standard says."""

from collections.abc import Sequence

from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from runtime.telemetry.span import TRACEPARENT, TRACES_MAX

_READER = TraceContextTextMapPropagator()


def parents_of(said: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Trace to the span that the fleet's steps belong under. What is no context is passed over."""
    found: dict[str, str] = {}
    for name, value in said:
        if name.lower() != TRACEPARENT or len(found) >= TRACES_MAX:
            continue
        context = get_current_span(_READER.extract({TRACEPARENT: value})).get_span_context()
        if context.is_valid and context.trace_flags.sampled:
            found.setdefault(f"{context.trace_id:032x}", f"{context.span_id:016x}")
    return found
