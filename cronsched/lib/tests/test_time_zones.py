"""Zones come from the locked package, whatever the host has."""

import os
import shutil
import subprocess
import sys
import zoneinfo
from pathlib import Path

import pytest
import tzdata

from cronsched.lib import time_zones
from cronsched.tests.processes import ROOT

ASK = "import cronsched; from zoneinfo import ZoneInfo as Z; from datetime import datetime as D; \
print(D(2026, 7, 1, tzinfo=Z('Asia/Tokyo')).utcoffset())"


@pytest.fixture
def other_host(tmp_path: Path) -> Path:
    """Files of a host on which Tokyo keeps the time of Berlin."""
    folder = tmp_path / "zoneinfo"
    (folder / "Asia").mkdir(parents=True)
    shutil.copy(Path(tzdata.__file__).parent / "zoneinfo/Europe/Berlin", folder / "Asia/Tokyo")
    return folder


def test_the_hosts_rules_are_not_looked_at(other_host):
    environment = {**os.environ, "PYTHONTZPATH": str(other_host)}
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "9:00:00\n"


def test_zones_that_were_made_before_are_made_anew(other_host):
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([str(other_host)])
    zoneinfo.ZoneInfo.clear_cache()
    early = zoneinfo.ZoneInfo("Asia/Tokyo")
    try:
        time_zones.use_locked()
        assert zoneinfo.ZoneInfo("Asia/Tokyo") is not early
    finally:
        zoneinfo.reset_tzpath(before)
        zoneinfo.ZoneInfo.clear_cache()


def test_no_test_reads_the_hosts_rules_either():
    assert zoneinfo.TZPATH == ()


def test_the_version_is_that_of_the_rules():
    assert time_zones.version() == tzdata.IANA_VERSION
