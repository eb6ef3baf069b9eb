"""How long a test run may take."""

from datetime import timedelta

import pytest

from cronsched.lib.errors import DomainError
from jobs.targets.test_run import read_request


@pytest.mark.parametrize(
    "sent, seconds",
    [
        (None, 10),
        (0, 10),
        ("", 10),
        (False, None),
        (True, None),
        (0.25, 1),
        (-5, 1),
        (7, 7),
        ("2.5", 2.5),
        (31, 30),
        (10**400, 30),
        (-(10**400), 1),
        (1e308, 30),
        ("inf", 30),
        ("nan", None),
        ({}, None),
    ],
)
def test_a_timeout_is_pulled_into_its_bounds(sent, seconds):
    body = {"target_url": "https://hooks.example.com/", "timeout_seconds": sent}
    if seconds is None:
        with pytest.raises(DomainError, match="must be a number"):
            read_request(body)
    else:
        assert read_request(body).timeout == timedelta(seconds=seconds)
