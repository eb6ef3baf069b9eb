"""An outside watcher hears of the leader each minute, and the log hears once when it does not."""

import json
import logging
from datetime import timedelta

import pytest
from werkzeug import Response

from cronsched.lib.chores import IntervalChore, catalogue
from jobs.chores.heartbeat import Heartbeat
from jobs.tests.factories import NOON, make_job

pytestmark = pytest.mark.django_db


def test_the_watcher_is_told_how_late_the_scheduler_is(httpserver, settings):
    seen = []

    def hear(request):
        seen.append(request)
        return Response("ok")

    httpserver.expect_request("/ping/7").respond_with_handler(hear)
    settings.HEARTBEAT_URL = httpserver.url_for("/ping/{lag}").replace("%7B", "{").replace("%7D", "}")
    make_job(next_fire_at=NOON - timedelta(seconds=7))
    assert Heartbeat().beat(now=NOON)
    (request,) = seen
    assert request.method == "POST"
    told = json.loads(request.data)
    assert (told["lag_seconds"], told["at"]) == (7.0, "2026-01-15T12:00:00.000Z")


def test_a_watcher_that_does_not_answer_is_said_once_and_without_its_address(httpserver, settings, caplog):
    caplog.set_level(logging.INFO)
    settings.HEARTBEAT_URL = httpserver.url_for("/secret-key")
    heartbeat = Heartbeat()
    for status in (500, 500, 200, 200, 404):
        httpserver.expect_oneshot_request("/secret-key").respond_with_data("", status=status)
    assert [heartbeat.beat(now=NOON) for _ in range(5)] == [False, False, True, True, False]
    said = [record.getMessage() for record in caplog.records if record.name == "jobs.chores.heartbeat"]
    assert [line.partition(":")[0] for line in said] == [
        "The heartbeat did not reach localhost",
        "The heartbeat reaches the watcher again",
        "The heartbeat did not reach localhost",
    ]
    assert "it answered 500" in said[0]
    assert "secret-key" not in "".join(said)


def test_a_watcher_that_cannot_be_reached_costs_nothing_but_a_line(settings, caplog):
    settings.HEARTBEAT_URL = "http://127.0.0.1:1/secret-key"
    heartbeat = Heartbeat()
    assert [heartbeat.beat(now=NOON), heartbeat.beat(now=NOON)] == [False, False]
    assert len([record for record in caplog.records if record.name == "jobs.chores.heartbeat"]) == 1


def test_without_an_address_nobody_is_called(settings):
    settings.HEARTBEAT_URL = ""
    assert not Heartbeat().beat(now=NOON)


def test_the_leader_does_it_each_minute():
    (chore,) = [chore for chore in catalogue() if chore.id == "heartbeat"]
    assert isinstance(chore, IntervalChore)
    assert (chore.seconds, chore.executor) == (60, "targets")
