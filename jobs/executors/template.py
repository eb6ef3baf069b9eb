"""Bodies with placeholders. A fixed set of names, replaced by text; nothing is evaluated.

`{{ job_name }}` and its like. What is inserted is escaped for where it lands, so that a job's name can neither break a
JSON body nor add a field to a form.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote_plus

from jobs.executors.base import Run

PLACEHOLDERS = ("job_id", "job_name", "execution_id", "fire_time", "attempt")

_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


def unknown_placeholders(template: str) -> list[str]:
    """Return the names in `template` that mean nothing, in order of appearance."""
    return [name for name in _PLACEHOLDER.findall(template) if name not in PLACEHOLDERS]


def render(template: str, run: Run | None, *, content_type: str | None) -> tuple[str, str]:
    """Return the body and its content type. Without one given, it is JSON if the result is, else plain text."""
    values = _values(run)
    if content_type is None:
        body = _replace(template, values, _in_json)
        if _is_json(body):
            return body, "application/json"
        return _replace(template, values, str), "text/plain; charset=utf-8"
    kind = content_type.lower()
    escape: Callable[[str], str] = str
    if "json" in kind:
        escape = _in_json
    elif "x-www-form-urlencoded" in kind:
        escape = quote_plus
    return _replace(template, values, escape), content_type


def fire_time_text(run: Run) -> str:
    """Return the fire time as RFC 3339 in UTC, blank for a manual run."""
    return "" if run.fire_time is None else _written(run.fire_time)


# A herd has one fire time.
@lru_cache(maxsize=64)
def _written(fire_time: datetime) -> str:
    return f"{fire_time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _values(run: Run | None) -> Mapping[str, str]:
    # A test run belongs to no job and leaves blanks.
    if run is None:
        return dict.fromkeys(PLACEHOLDERS, "")
    return {
        "job_id": str(run.job_id),
        "job_name": run.job_name,
        "execution_id": str(run.execution_id),
        "fire_time": fire_time_text(run),
        "attempt": str(run.attempt),
    }


def _replace(template: str, values: Mapping[str, str], escape: Callable[[str], str]) -> str:
    return _PLACEHOLDER.sub(lambda found: escape(values[found[1]]) if found[1] in values else found[0], template)


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
