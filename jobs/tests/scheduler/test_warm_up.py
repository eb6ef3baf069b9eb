"""What a scheduler does once before anybody waits for it. Tests here may not touch the database."""

import pytest

from jobs.cron import zones
from jobs.scheduler.claim import warm_up


def test_a_rehearsal_needs_no_database_and_leaves_no_zone_to_be_looked_for(monkeypatch):
    zones._zone_names.cache_clear()
    warm_up()
    monkeypatch.setattr(zones, "available_timezones", pytest.fail)
    assert zones.zone("Asia/Tokyo").key == "Asia/Tokyo"
