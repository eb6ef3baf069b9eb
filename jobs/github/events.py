"""The `workflow_run` webhook, by which GitHub reports the state of a run."""

import hashlib
import hmac
import json
from typing import NamedTuple

from jobs.github.runs import RunState, run_state

EVENT = "workflow_run"


class RunEvent(NamedTuple):
    """What GitHub told. `action` is requested, in_progress or completed; `repository` is `owner/name`."""

    action: str
    repository: str
    state: RunState


def is_signed(body: bytes, signature: str | None, secret: str) -> bool:
    """Whether `X-Hub-Signature-256` proves that the sender of `body` knows `secret`. A blank secret proves nothing."""
    if not secret or not signature:
        return False
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))


def run_event(body: bytes) -> RunEvent | None:
    """Read the payload of a `workflow_run` event, None where it is none. Check its signature first."""
    try:
        payload = json.loads(body)
        state = run_state(payload["workflow_run"])
        event = RunEvent(payload["action"], payload["repository"]["full_name"], state) if state else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return event if event and isinstance(event.action, str) and isinstance(event.repository, str) else None
