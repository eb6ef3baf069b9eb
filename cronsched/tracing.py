"""OpenTelemetry spans of sent requests, where OpenTelemetry is set up. The only module that imports it.

To get them, install opentelemetry-api with an SDK and an exporter and set these up as usual (for instance with
`opentelemetry-instrument`), which imports them before anything is sent. A span has the id that `traceparent` names to
the target.
"""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from cronsched.lib import traces

NAME = "cronsched"
# Tells when a span that began now ended, and what is known of it then.
End = Callable[[Mapping[str, Any], str], None]


def is_on() -> bool:
    """Whether anybody reads spans."""
    # Looked up, not imported: where nobody has, the first request would wait for the import.
    return "opentelemetry.trace" in sys.modules


def begin(name: str, execution_id: UUID, attempt: int) -> End:
    """Begin the span of an attempt and return what ends it, with its attributes and, where it failed, the problem."""
    from opentelemetry import trace

    parent = trace.SpanContext(
        traces.trace_id(execution_id),
        traces.span_id(execution_id, attempt),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
    span = trace.get_tracer(NAME).start_span(
        name, context=context, kind=trace.SpanKind.CLIENT, start_time=time.time_ns()
    )

    def end(attributes: Mapping[str, Any], problem: str) -> None:
        span.set_attributes({key: value for key, value in attributes.items() if value is not None})
        if problem:
            span.set_status(trace.StatusCode.ERROR, problem)
        span.end()

    return end
