"""What monitors read: `/metrics` in Prometheus's text format (beyond.md, section 8).

Everything about jobs comes from the database, so that each web process says the same of all schedulers. What costs more
with a longer history is counted when it happens (`jobs.history.totals`); the rest is read by index. No label names a
job, an account or a path.
"""

import hmac
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from http import HTTPStatus
from ipaddress import ip_address
from itertools import product

from django.conf import settings
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from cronsched import http_metrics
from cronsched.api.errors import error_body
from cronsched.lib.addresses import plain
from cronsched.lib.clock import database_now
from cronsched.lib.probe import Probe
from cronsched.middleware import WAS_FORWARDED
from jobs.definitions.validation import local_date
from jobs.github import rate_limits
from jobs.history import totals
from jobs.models import (
    OPEN_STATUSES,
    SENDER_DEAD_AFTER,
    ExecutionType,
    Job,
    JobExecution,
    SchedulerLease,
    Sender,
    SenderKind,
    Status,
    TotalSeries,
    TriggerType,
)
from jobs.scheduler.leadership import TTL
from notifications.models import Channel, Delivery, DeliveryStatus

logger = logging.getLogger("cronsched.security")

# Less than Prometheus's usual limit for a scrape, ten seconds.
PATIENCE_SECONDS = 5.0
# Those that ended well are not counted one by one; how many there were is in the deliveries' page.
COUNTED_DELIVERIES = (DeliveryStatus.WAITING, DeliveryStatus.SENDING, DeliveryStatus.GIVEN_UP)
FINAL_STATUSES = [status for status in Status.values if status not in OPEN_STATUSES]
SHORT_ID = 8


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer monitors: those that know METRICS_TOKEN or, where it is not set, those on this machine."""
    if refusal := _refusal(request):
        return refusal
    found = _probe.ask(patience=PATIENCE_SECONDS)
    registry = CollectorRegistry()
    up = GaugeMetricFamily("cronsched_database_up", "1 where the database answers.", value=float(found is not None))
    registry.register(_Ready([up, *(found or [])]))
    text = generate_latest(registry) + generate_latest(http_metrics.registry())
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)


def _refusal(request: HttpRequest) -> JsonResponse | None:
    if settings.METRICS_TOKEN:
        scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
        known = settings.METRICS_TOKEN.encode()
        if scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), known):
            return None
        logger.warning("/metrics was asked for by %s without its token", request.META.get("REMOTE_ADDR"))
        body = error_body(HTTPStatus.UNAUTHORIZED)
        return JsonResponse(body, status=HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})
    if _is_from_here(request):
        return None
    logger.warning("/metrics was asked for by %s, and METRICS_TOKEN is not set", request.META.get("REMOTE_ADDR"))
    return JsonResponse(error_body(HTTPStatus.FORBIDDEN), status=HTTPStatus.FORBIDDEN)


def _is_from_here(request: HttpRequest) -> bool:
    """Whether the request comes from this machine itself, not through a proxy on it, which its headers show."""
    if request.META.get(WAS_FORWARDED):
        return False
    try:
        return plain(ip_address(request.META.get("REMOTE_ADDR", ""))).is_loopback
    except ValueError:
        return False


class _Ready:
    """Metrics that were collected before."""

    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = list(found)

    def collect(self) -> Iterable[Metric]:
        return self._found


# --- From the database -----------------------------------------------------------------------------------------------


def collect() -> list[Metric]:
    """Read what is to be known of the schedulers. Raises the database's error where it cannot be asked."""
    now = database_now()
    return [
        *_ended(),
        *_open(now),
        _jobs(now),
        *_leader(now),
        _deliveries(),
        _github_budget(now),
    ]


_probe = Probe(collect)


def _ended() -> Iterator[Metric]:
    ended = CounterMetricFamily(
        "cronsched_executions", "Executions that have ended.", labels=("status", "trigger", "type")
    )
    # A monitor sees a counter rise only where it knew the number before: the first missed run would go unnoticed.
    numbers = dict.fromkeys(product(FINAL_STATUSES, TriggerType.values, ("", *ExecutionType.values)), 0)
    for row in totals.ended():
        numbers[row.status, row.trigger_type, row.execution_type] = row.number
    for kind, number in numbers.items():
        ended.add_metric(kind, number)
    yield ended
    yield _histogram(
        "lateness", "From the fire time to the first request.", TotalSeries.LATENESS, totals.LATENESS_BOUNDS
    )
    yield _histogram("duration", "From the first request to the outcome.", TotalSeries.DURATION, totals.DURATION_BOUNDS)


def _histogram(name: str, text: str, series: TotalSeries, bounds: tuple[float, ...]) -> Metric:
    found = totals.histogram(series, bounds)
    family = HistogramMetricFamily(f"cronsched_execution_{name}_seconds", text)
    family.add_metric([], buckets=found.cumulative(), sum_value=found.seconds)
    return family


def _open(now: datetime) -> Iterator[Metric]:
    first = Job.objects.due(now).values_list("next_fire_at", flat=True).first()
    age = max(0.0, (now - first).total_seconds()) if first else 0.0
    yield GaugeMetricFamily("cronsched_due_oldest_age_seconds", "How long the oldest due job has waited.", value=age)
    queued = JobExecution.objects.filter(status=Status.QUEUED).count()
    yield GaugeMetricFamily("cronsched_queued", "Executions that wait to be sent.", value=queued)
    rows = JobExecution.objects.filter(status=Status.RUNNING).order_by().values_list("sender")
    running = {str(sender or "")[:SHORT_ID]: number for sender, number in rows.annotate(number=Count("*"))}
    yield GaugeMetricFamily("cronsched_running", "Executions in flight.", value=sum(running.values()))
    senders = GaugeMetricFamily(
        "cronsched_sender_in_flight", "Requests that a process has in flight.", labels=("sender",)
    )
    for sender, number in running.items():
        senders.add_metric((sender,), number)
    yield senders


def _jobs(now: datetime) -> Metric:
    """Count jobs by state, each but the active ones by a short walk of an index. An ended one is nothing else."""
    today = local_date(now)
    # `NOT is_active`, which the filter for false would be, is looked up in no index.
    paused = Job.objects.filter(is_active__in=[False], end_date__gte=today).count()
    ended = Job.objects.filter(is_active__in=[False, True], end_date__lt=today).count()
    # The days are compared here: SQLite would rather walk the index of days, and look at each job.
    broken = sum(number for day, number in _unschedulable_by_day() if day >= today)
    states = {"paused": paused, "ended": ended, "unschedulable": broken}
    family = GaugeMetricFamily("cronsched_jobs", "Jobs by state.", labels=("state",))
    family.add_metric(("active",), Job.objects.count() - sum(states.values()))
    for state, number in states.items():
        family.add_metric((state,), number)
    return family


def _unschedulable_by_day() -> Iterable[tuple[date, int]]:
    days = Job.objects.unschedulable().order_by().values_list("end_date")
    return days.annotate(number=Count("*"))


def _leader(now: datetime) -> Iterator[Metric]:
    lease = SchedulerLease.objects.filter(pk=1).first()
    renewed_at = lease.renewed_at if lease else None
    leads = bool(lease and lease.holder and renewed_at and now - renewed_at < TTL)
    yield GaugeMetricFamily("cronsched_leader", "1 while a scheduler leads.", value=float(leads))
    senders = GaugeMetricFamily("cronsched_senders", "Processes that send, by kind.", labels=("kind",))
    living = list(Sender.objects.filter(seen_at__gt=now - SENDER_DEAD_AFTER))
    for kind, number in (dict.fromkeys(SenderKind.values, 0) | Counter(sender.kind for sender in living)).items():
        senders.add_metric((kind,), number)
    yield senders
    text = "How long the sending loop leaves what is ready unhandled: the 99th percentile of its last turns."
    delays = GaugeMetricFamily("cronsched_sender_loop_delay_seconds", text, labels=("sender",))
    for sender in living:
        delays.add_metric((str(sender.token)[:SHORT_ID],), sender.loop_delay_seconds)
    yield delays
    ages = (
        ("lease", "the lease was renewed", renewed_at),
        ("last_pass", "a pass was done", lease and lease.last_pass_at),
    )
    for name, text, at in ages:
        family = GaugeMetricFamily(f"cronsched_{name}_age_seconds", f"How long ago {text}.")
        # Where it never was, there is no age.
        if at:
            family.add_metric([], max(0.0, (now - at).total_seconds()))
        yield family


def _deliveries() -> Metric:
    family = GaugeMetricFamily("cronsched_deliveries", "Mails and posts by state.", labels=("channel", "state"))
    numbers = {(channel, state): 0 for channel in Channel.values for state in COUNTED_DELIVERIES}
    rows = Delivery.objects.filter(Q(status__in=COUNTED_DELIVERIES)).order_by().values_list("channel", "status")
    numbers |= {(channel, state): number for channel, state, number in rows.annotate(number=Count("*"))}
    for (channel, state), number in numbers.items():
        family.add_metric((channel, str(state)), number)
    return family


def _github_budget(now: datetime) -> Metric:
    name = "cronsched_github_budget_remaining"
    family = GaugeMetricFamily(name, "Dispatches that may still leave within the hour.", labels=("credential",))
    for credential, remaining in rate_limits.remaining(now=now).items():
        family.add_metric((credential,), remaining)
    return family
