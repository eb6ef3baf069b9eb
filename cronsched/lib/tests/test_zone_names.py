from zoneinfo import available_timezones

import pytest

from cronsched.lib.zone_names import nearest

NAMES = available_timezones()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("America/Los Angeles", "America/Los_Angeles"),
        ("america/los-angeles", "America/Los_Angeles"),
        ("Berlin", "Europe/Berlin"),
        ("new york", "America/New_York"),
        ("Asia/Tokio", "Asia/Tokyo"),
        ("Europe/Berlinn", "Europe/Berlin"),
        ("JST", "Asia/Tokyo"),
        ("utc", "UTC"),
        (" Asia / Tokyo ", "Asia/Tokyo"),
    ],
)
def test_the_zone_that_was_meant_is_found(text, name):
    assert nearest(text, NAMES) == name


@pytest.mark.parametrize("text", ["", "  ", "Mars/Base", "x" * 1000, "../../etc/passwd", "\x00", "+09:00"])
def test_nothing_is_proposed_for_what_is_near_to_none(text):
    assert nearest(text, NAMES) is None
