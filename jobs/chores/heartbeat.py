"""Calls an outside watcher while a scheduler leads: when the calls stop, the watcher alerts.

A scheduler that is dead, cut off or without its database can send no alert itself. The address is a secret and is
never logged.
"""

import json
import logging
from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings

from cronsched.http_client import http_client
from cronsched.lib.clock import utc_text
from cronsched.lib.http import OutgoingRequest, RequestError
from jobs.models import Job

logger = logging.getLogger(__name__)

EVERY_SECONDS = 60
TIMEOUT_SECONDS = 10.0
# In the address it is replaced by the lag in whole seconds, for watchers that read it there.
LAG = "{lag}"


class Heartbeat:
    """Calls `HEARTBEAT_URL`. Logs once when calls begin to fail, and once when they work again."""

    def __init__(self) -> None:
        self._fails = False

    def beat(self, *, now: datetime) -> bool:
        """Send the watcher the scheduler's lag; return whether it accepted. Without `HEARTBEAT_URL`, do nothing."""
        if not settings.HEARTBEAT_URL:
            return False
        problem = _call(lag_seconds(now), now)
        if problem and not self._fails:
            host = urlsplit(settings.HEARTBEAT_URL).hostname
            logger.warning("The heartbeat did not reach %s: %s. It is tried again each minute", host, problem)
        elif self._fails and not problem:
            logger.info("The heartbeat reaches the watcher again")
        self._fails = bool(problem)
        return not problem


def lag_seconds(now: datetime) -> float:
    """Return how long the oldest due job has waited to be claimed."""
    first = Job.objects.due(now).values_list("next_fire_at", flat=True).first()
    return max(0.0, (now - first).total_seconds()) if first else 0.0


def _call(lag: float, now: datetime) -> str:
    """Return what went wrong, blank where the watcher answered 2xx."""
    url = settings.HEARTBEAT_URL.replace(LAG, f"{lag:.0f}")
    told = {"service": settings.SERVICE_NAME, "at": utc_text(now), "lag_seconds": round(lag, 1)}
    headers = {"Content-Type": "application/json"}
    body = json.dumps(told).encode()
    try:
        answer = http_client().send(OutgoingRequest("POST", url, headers, body, TIMEOUT_SECONDS, vet=False))
    except RequestError as error:
        return error.reason
    return "" if 200 <= answer.status < 300 else f"it answered {answer.status}"


_heartbeat = Heartbeat()


def beat(*, now: datetime) -> bool:
    return _heartbeat.beat(now=now)
