"""The searches of the console."""

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from accounts.tests.factories import make_user
from jobs.models import Job
from jobs.tests.factories import make_job
from notifications.models import Channel, Delivery
from taxonomy.models import JobCategory, PicTeam

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def found(client, admin, model, wanted):
    client.force_login(admin)
    page = reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_changelist")
    return [*client.get(page, {"q": wanted}).context["cl"].result_list]


@pytest.mark.parametrize("wanted", ["night watch", "NIGHT", "WaTcH 100%_\\"])
def test_jobs_and_labels_are_found_in_any_case(client, admin, wanted):
    names = ("Night Watch 100%_\\", "Night Watch 1000", "Backup")
    teams = [PicTeam.objects.create(name=name, slug=f"team-{number}") for number, name in enumerate(names)]
    for number, name in enumerate(names):
        make_job(name=name, pic_team=teams[2])
        JobCategory.objects.create(name=name, slug=f"category-{number}")
    expected = {names[0]} if "%" in wanted else {names[0], names[1]}
    for model in (Job, JobCategory, PicTeam):
        assert {row.name for row in found(client, admin, model, wanted)} == expected


@pytest.mark.parametrize("wanted", ["dana", "DANA", "Dana@Example"])
def test_accounts_are_found_in_any_case(client, admin, wanted):
    dana = make_user("Dana")
    assert found(client, admin, User, wanted) == [dana]


@pytest.mark.parametrize(("wanted", "number"), [("ops@", 1), ("OPS@Example.com", 1), ("example", 0)])
def test_deliveries_are_found_by_the_beginning_of_an_address_in_any_case(client, admin, wanted, number):
    now = timezone.now()
    for recipient in ("Ops@example.com", "dev@example.com"):
        Delivery.objects.create(channel=Channel.EMAIL, recipient=recipient, summary="x", not_before=now, give_up_at=now)
    assert len(found(client, admin, Delivery, wanted)) == number
