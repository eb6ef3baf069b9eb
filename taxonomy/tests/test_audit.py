"""Changes of categories and teams stand in the audit trail, with both values."""

import pytest

from accounts.tests.factories import api_client
from audit.models import AuditEntry
from taxonomy.models import JobCategory, PicTeam

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def changes():
    return [entry.changes for entry in AuditEntry.objects.exclude(action="user.signed_in")]


def newest():
    return AuditEntry.objects.first()


def test_a_new_team_is_on_record(admin):
    sent = {"name": "Payments", "slack_handle": "@pay"}
    assert api_client(admin).post("/api/v2/pic-teams", sent).status_code == 201
    assert (newest().action, newest().object_name, newest().actor_name) == ("team.created", "Payments", "admin")
    assert newest().changes["slack_handle"] == [None, "@pay"]


def test_a_rename_is_on_record_with_both_slugs(admin):
    category = JobCategory.objects.get(slug="refund")
    sent = {"name": "Refunds"}
    assert api_client(admin).put(f"/api/v2/job-categories/{category.pk}", sent).status_code == 200
    assert newest().changes == {"name": ["Refund", "Refunds"], "slug": ["refund", "refunds"]}


def test_what_changes_nothing_is_not_on_record(admin):
    team = PicTeam.objects.create(name="Payments", slug="payments", slack_handle="@pay")
    api_client(admin).put(f"/api/v2/pic-teams/{team.pk}", {"slack_handle": "@pay"})
    api_client(admin).put(f"/api/v2/pic-teams/{team.pk}", {})
    assert changes() == []


def test_disabling_is_on_record_once(admin):
    team = PicTeam.objects.create(name="Payments", slug="payments", slack_handle="@pay")
    for _ in range(2):
        assert api_client(admin).delete(f"/api/v2/pic-teams/{team.pk}").status_code == 200
    assert changes() == [{"is_active": [True, False]}]


def test_slack_settings_are_on_record_without_the_address(admin):
    sent = {"is_enabled": True, "webhook_url": "https://hooks.slack.com/services/T/B/secret"}
    assert api_client(admin).put("/api/v2/settings/slack", sent).status_code == 200
    assert newest().action == "slack_settings.updated"
    assert newest().changes == {"is_enabled": [False, True], "webhook_url": [None, "***"]}
