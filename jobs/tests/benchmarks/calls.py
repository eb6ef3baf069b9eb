"""The calls that pages poll, asked over one kept connection."""

import http.client
import statistics
import time
from datetime import timedelta
from urllib.parse import quote

from jobs.models import Job, JobExecution
from jobs.tests.benchmarks.history import END

ROUNDS = 200


class Web:
    """A client with one connection, so that little but the service is measured."""

    def __init__(self, address: str, token: str) -> None:
        host, _, port = address.removeprefix("http://").partition(":")
        self.connection = http.client.HTTPConnection(host, int(port))
        self.headers = {"Authorization": f"Bearer {token}"}

    def close(self) -> None:
        self.connection.close()

    def get(self, path: str) -> int:
        self.connection.request("GET", f"/api/v2/{path}", headers=self.headers)
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return len(body)

    def milliseconds(self, path: str, *, rounds: int = ROUNDS) -> tuple[float, float]:
        """Return the median and the 99th percentile."""
        # The server closes a connection that stood idle; the next call opens another.
        self.connection.close()
        for _ in range(5):
            self.get(path)
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            self.get(path)
            times.append((time.perf_counter() - start) * 1000)
        return statistics.median(times), statistics.quantiles(times, n=100)[98]


def paths(job: Job) -> dict[str, tuple[str, float]]:
    """Return what is measured: a name, the path, and the bar in milliseconds."""
    week = f"from={(END - timedelta(days=7)).date()}&to={END.date()}"
    day = f"from={END - timedelta(days=1):%Y-%m-%dT%H:%M:%S.000Z}"
    execution = JobExecution.objects.filter(job=job).newest_first()[0]
    return {
        "health": ("health", 2),
        "job detail": (f"jobs/{job.id}", 5),
        "list of 1,000 jobs": ("jobs", 100),
        "executions, page 1": ("executions", 10),
        "executions, page 500": ("executions?page=500", 10),
        "executions, page of failed": ("executions?status=failed", 10),
        "executions, failed or running": ("executions?status=failed,running", 10),
        "executions, page of a job": (f"executions?job_id={job.id}", 10),
        "executions, a week": (f"executions?{week}", 10),
        "executions, search of one job": (f"executions?search={quote(job.name)}", 10),
        "executions, search of half the jobs": ("executions?search=5", 30),
        "executions, search of nothing": ("executions?search=nothing%20is%20named%20so", 10),
        "executions of a job": (f"jobs/{job.id}/executions", 10),
        "execution": (f"executions/{execution.id}", 5),
        "statistics": ("executions/statistics", 10),
        "statistics, a week": (f"executions/statistics?{week}", 10),
        "statistics, last 24 hours": (f"executions/statistics?{day}", 10),
        "statistics of a job": (f"jobs/{job.id}/executions/stats", 10),
        "unread count": ("notifications/unread-count", 10),
        "categories": ("job-categories", 10),
    }
