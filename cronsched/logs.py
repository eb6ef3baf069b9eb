"""The format of log lines."""

import logging
import re
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from cronsched.lib import log_context, request_ids

# Whatever a terminal or a reader of lines could take for more than text.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Line(logging.Formatter):
    """Writes times in UTC, marked with Z: hosts and schedules may be in other zones.

    A line break in a name is shown as `\\n`, so that a name cannot forge a line of the log. Tracebacks, which
    follow the line, keep theirs.
    """

    converter = time.gmtime  # type: ignore[assignment]
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        line = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), super().formatMessage(record))
        request_id = request_ids.current()
        return f"{line} [{request_id}]" if request_id else line


class JSONLine(JsonFormatter):
    """Writes each line as one JSON object, with the ids of what it is about.

    JSON escapes whatever could break a line, and letters beyond ASCII too.
    """

    def __init__(self) -> None:
        super().__init__(
            "{levelname}{name}{message}", style="{", rename_fields={"levelname": "level", "name": "logger"}
        )

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
        super().add_fields(log_data, record, message_dict)
        # Django adds the request itself, and others values that are not JSON; only plain values are written.
        for name in [name for name, value in log_data.items() if not isinstance(value, str | int | float | None)]:
            del log_data[name]
        log_data.update(log_context.current())


class AsWarning(logging.Filter):
    """Logs as one warning what Django logs as an error although a client caused it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        record.exc_info = None
        return True


class RefusalsInOneLine(logging.Filter):
    """Keeps tracebacks for errors of our own; a refused request is one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "status_code", 500) < 500:
            record.exc_info = None
        return True


class NoOutages(logging.Filter):
    """Drops Django's line, or traceback, about a 503: the outage is logged where the 503 is answered."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "status_code", None) != HTTPStatus.SERVICE_UNAVAILABLE
