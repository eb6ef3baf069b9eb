"""How lines of the log look."""

import logging
import re
import time
from http import HTTPStatus

from cronsched.lib import request_ids

# Whatever a terminal or a reader of lines could take for more than text.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Line(logging.Formatter):
    """Writes times in UTC and says so: hosts and schedules may live in other zones.

    A line break in a name is shown as `\\n`, so that nobody can forge a line by naming something. Tracebacks, which
    follow the line, keep theirs.
    """

    converter = time.gmtime  # type: ignore[assignment]
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        line = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), super().formatMessage(record))
        request_id = request_ids.current()
        return f"{line} [{request_id}]" if request_id else line


class AsWarning(logging.Filter):
    """Makes one line of what a client did wrong and Django takes for an error of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        record.exc_info = None
        return True


class RefusalsInOneLine(logging.Filter):
    """Leaves the traceback to what went wrong on our side; a refused request is one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "status_code", 500) < 500:
            record.exc_info = None
        return True


class NoOutages(logging.Filter):
    """Drops Django's line, or traceback, about a 503: what could not be used is told where it is answered."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "status_code", None) != HTTPStatus.SERVICE_UNAVAILABLE
