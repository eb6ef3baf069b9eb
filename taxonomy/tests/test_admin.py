"""Categories and teams on the admin site."""

from typing import Any

import pytest
from django.urls import reverse

from cronsched.tests.console.pages import errors_of, sent, shown, submit
from taxonomy.models import JobCategory, PicTeam
from taxonomy.tests.factories import general, make_team

pytestmark = pytest.mark.django_db

ADD_TEAM = reverse("admin:taxonomy_picteam_add")
TEAM = {"name": "On Call", "slack_handle": "@oncall", "is_active": "on", "emails": "", "quiet_timezone": ""}


def page_of(label) -> str:
    return reverse(f"admin:taxonomy_{label._meta.model_name}_change", args=[label.pk])


def test_admin_creates_a_team_with_a_slug_of_its_name(client, admin):
    client.force_login(admin)
    response = client.post(ADD_TEAM, {**TEAM, "emails": "a@example.com, b@example.com", "quiet_from": "22:00",
                                      "quiet_until": "07:00", "quiet_timezone": "Europe/Berlin"})  # fmt: skip
    assert response.status_code == 302, errors_of(response)
    team = PicTeam.objects.get()
    assert (team.slug, team.emails, team.quiet_timezone) == (
        "on-call",
        ["a@example.com", "b@example.com"],
        "Europe/Berlin",
    )


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        ({"name": "!!!"}, "name", "Unable to generate a valid slug"),
        ({"name": "ops"}, "name", "already exists"),
        ({"emails": "nobody"}, "emails", "valid email"),
        ({"quiet_timezone": "../etc"}, "quiet_timezone", "Unknown time zone"),
        ({"quiet_from": "22:00"}, "quiet_until", "a beginning and an end"),
    ],
)
def test_form_refuses_what_the_rules_refuse(client, admin, changes, field, text):
    make_team(name="Ops")
    client.force_login(admin)
    assert text in errors_of(client.post(ADD_TEAM, {**TEAM, **changes}))[field][0]
    assert PicTeam.objects.count() == 1


def test_a_new_name_moves_the_slug(client, admin):
    team = make_team(name="Ops")
    client.force_login(admin)
    submit(client, page_of(team), name="Site Reliability")
    team.refresh_from_db()
    assert team.slug == "site-reliability"


def test_general_keeps_its_name_and_takes_new_settings(client, admin):
    category = general()
    client.force_login(admin)
    data = {"notify_after_failures": "3", "remind_every_hours": "4"}
    assert "cannot be renamed" in errors_of(submit(client, page_of(category), name="Other", **data))["name"][0]
    assert submit(client, page_of(category), **data).status_code == 302
    category.refresh_from_db()
    assert (category.name, category.notify_after_failures, category.remind_every_hours) == ("General", 3, 4)


@pytest.mark.parametrize("role", ["alice", "charlie"])
def test_others_only_look(client, request, role):
    team = make_team()
    client.force_login(request.getfixturevalue(role))
    assert client.get(page_of(team)).status_code == 200
    assert client.get(ADD_TEAM).status_code == 403
    assert client.post(page_of(team), {**TEAM, "name": "Mine"}).status_code == 403
    assert client.post(reverse("admin:taxonomy_picteam_delete", args=[team.pk]), {"post": "yes"}).status_code == 403


def test_list_counts_the_jobs(client, admin):
    client.force_login(admin)
    page = client.get(reverse("admin:taxonomy_jobcategory_changelist"))
    assert page.context["cl"].queryset.count() == JobCategory.objects.count()


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        ({"is_active": False}, {"quiet_from": "22:00", "quiet_until": "07:00"}),
        ({"emails": ["theirs@example.com"]}, {"name": "Mine"}),
        ({"slack_handle": "@theirs"}, {"emails": "mine@example.com"}),
    ],
)
def test_a_late_form_of_a_team_undoes_nothing(client, admin, theirs, mine):
    team = make_team(name="Ops")
    client.force_login(admin)
    form = shown(client, page_of(team))
    PicTeam.objects.update(**theirs)
    assert client.post(page_of(team), sent(form, **mine)).status_code == 302
    stored: dict[str, Any] = dict(PicTeam.objects.values().get())
    assert {name: stored[name] for name in theirs} == theirs


def test_a_late_form_of_a_category_is_told_of_the_same_field(client, admin):
    category = general()
    client.force_login(admin)
    form = shown(client, page_of(category))
    JobCategory.objects.filter(pk=category.pk).update(remind_every_hours=7)
    refused = client.post(page_of(category), sent(form, remind_every_hours="9"))
    assert "now it is “7”" in errors_of(refused)["remind_every_hours"][0]
