"""W3C Trace Context for what is sent: ids that follow from the execution, so that both sides can work them out."""

from hashlib import blake2b
from uuid import UUID

HEADER = "traceparent"


def trace_id(execution_id: UUID) -> int:
    """Return the id of the trace: the execution's own id, the same for all its attempts."""
    return execution_id.int


def span_id(execution_id: UUID, attempt: int) -> int:
    """Return the id of the span of one attempt. Never zero, which would be invalid."""
    digest = blake2b(f"{execution_id}/{attempt}".encode(), digest_size=8, person=b"span").digest()
    return int.from_bytes(digest) or 1


def traceparent(execution_id: UUID, attempt: int) -> str:
    """Return the header's value: version 00, sampled."""
    return f"00-{trace_id(execution_id):032x}-{span_id(execution_id, attempt):016x}-01"
