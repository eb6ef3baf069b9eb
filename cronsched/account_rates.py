"""How much an account may do in a minute, by the API and in the console alike (docs/limits.md)."""

from typing import Any

from django.conf import settings

from cronsched.lib.errors import TooManyRequests
from cronsched.lib.rates import Rates

# What has a rate of its own, each with its setting.
WRITES, RUNS, TESTS = "WRITES_PER_MINUTE", "RUNS_PER_MINUTE", "TESTS_PER_MINUTE"
WORDS = {WRITES: "changes", RUNS: "runs", TESTS: "test runs and checks of targets"}
rates = Rates()


def count(kind: str, *callers: Any) -> None:
    """Count one more of this kind for each of the callers. Raises TooManyRequests where one has used up its minute."""
    allowed = getattr(settings, kind)
    for who in callers:
        if wait := rates.take((kind, who), allowed):
            message = f"At most {allowed} {WORDS[kind]} a minute. Try again in {wait} seconds."
            raise TooManyRequests(message, retry_after=wait)
