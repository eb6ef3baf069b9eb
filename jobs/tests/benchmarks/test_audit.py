"""The audit trail with millions of entries: over HTTP, in the console and as CSV. On SQLite.

BENCH_AUDIT  how many entries, default 5000000
"""

import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from accounts.tests.factories import api_client, make_user, token_for
from audit import retention
from jobs.tests.benchmarks.calls import Web
from jobs.tests.benchmarks.history import FILLING_CACHE_KIB
from jobs.tests.benchmarks.report import Figures, at_most, size

pytestmark = [pytest.mark.benchmark, pytest.mark.django_db(transaction=True)]

(ENTRIES,) = size("BENCH_AUDIT", "5000000")
BAR = 300.0
DAYS = 365
ROUNDS = 15
# Of each two hundredth entry the account with this number is actor and owner.
SOMEBODY = UUID(int=7)
FILL = """
    INSERT INTO audit_entries (
        id, at, actor_id, actor_name, actor_kind, source_ip, action, object_type, object_id, object_name, owner_id,
        changes, reason, request_id, revision
    )
    WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < %s)
    SELECT
        printf('%%012x7000', 1700000000000 + i) || lower(hex(randomblob(8))),
        strftime('%%Y-%%m-%%d %%H:%%M:%%f', julianday(%s) + i * %s),
        printf('%%032x', i %% 200), 'somebody-' || (i %% 200), 'user', '192.0.2.7',
        CASE i %% 4 WHEN 0 THEN 'job.paused' ELSE 'job.updated' END, 'job', printf('%%032x', i %% 5000),
        'Job ' || (i %% 5000), printf('%%032x', i %% 200), '{"cron_expression": ["0 2 * * *", "0 3 * * *"]}', '', '', i
    FROM numbers
"""


def test_a_trail_of_millions(web: Web) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("it is filled by SQLite's own means")
    now = timezone.now()
    figures = Figures("audit", f"{ENTRIES:,} audit entries", ("what", "p50 ms", "worst ms", "bar", ""))
    with connection.cursor() as cursor:
        # Keys of most indexes come in no order: what does not fit into the cache would be written again and again.
        cursor.execute(f"PRAGMA cache_size=-{FILLING_CACHE_KIB}")
        cursor.execute(FILL, [ENTRIES, (now - timedelta(days=DAYS)).isoformat(" "), DAYS / ENTRIES])
        cursor.execute("ANALYZE")
    connection.close()
    retention.count_days(now)
    month = f"audit?from={now - timedelta(days=60):%Y-%m-%d}&to={now - timedelta(days=30):%Y-%m-%d}"
    for name, path in {
        "first page": "audit",
        "page 1,000": "audit?page=1000",
        "of a job": f"audit?object=job:{UUID(int=42).hex}",
        "by somebody": f"audit?actor={SOMEBODY}",
        "of an action that three of four are": "audit?action=job.updated",
        "of a month": month,
    }.items():
        add(figures, name, partial(web.get, path))
    somebody = make_user(role="user")
    User.objects.filter(pk=somebody.pk).update(id=SOMEBODY)
    web.headers = {"Authorization": f"Bearer {token_for(User.objects.get(pk=SOMEBODY))}"}
    add(figures, "first page, as somebody who is no admin", lambda: web.get("audit"))
    admin, client = make_user(role="admin"), Client()
    client.force_login(admin)
    page = reverse("admin:audit_auditentry_changelist")
    for name, query in {
        "": "",
        ", a search": "?q=Job 42",
        ", a search in vain": "?q=x",
        ", a kind": "?kind=job",
    }.items():
        add(figures, f"the console{name}", partial(client.get, page + query))
    scripts: Any = api_client(admin)
    add(figures, "CSV, first entry", lambda: list(islice(scripts.get("/api/v2/audit.csv").streaming_content, 2)))
    figures.publish()


def add(figures: Figures, name: str, ask: Callable[[], object]) -> None:
    ask()
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        ask()
        times.append((time.perf_counter() - began) * 1000)
    median = statistics.median(times)
    figures.add(name, f"{median:.0f}", f"{max(times):.0f}", f"{BAR:g}", at_most(median, BAR))
