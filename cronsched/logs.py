"""How lines of the log look."""

import logging
import time


class Line(logging.Formatter):
    """Writes times in UTC and says so: hosts and schedules may live in other zones."""

    converter = time.gmtime  # type: ignore[assignment]
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


class AsWarning(logging.Filter):
    """Makes one line of what a client did wrong and Django takes for an error of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        record.exc_info = None
        return True
