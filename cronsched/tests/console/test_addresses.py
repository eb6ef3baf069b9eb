"""Whatever is written into the address of a page of the console: a plain answer, never an error of ours."""

from collections.abc import Iterator
from itertools import product
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import NoReverseMatch, reverse

import cronsched.urls  # noqa: F401 - all pages of the console are registered from here on
from accounts.models import NotificationPreferences, User
from accounts.tests.factories import make_user
from cronsched.console import ConsoleAdmin, SnapshotForm
from cronsched.tests.console.pages import said
from jobs.definitions.request_options import Secrets
from jobs.models import ExecutionType, GitHubRun, Job, JobExecution, Tracking
from jobs.tests.factories import NOON, make_execution, make_job
from notifications.message import NOBODY, Mail
from notifications.models import SlackSettings
from notifications.services import notify
from notifications.tests.conftest import use_mail_server
from notifications.tests.factories import message, tell

pytestmark = pytest.mark.slow

ROLES = ("admin", "user", "viewer")
SECRET = "top-secret-of-the-fuzz"

BAD_TEXTS = ("x", "(", "-1", "99999999999999999999999999", "\x00", "é" * 300)
BAD_IDS = (
    "x",
    "0",
    "-1",
    "99999999999999999999999999",
    "0199c2a4-5f40-7c3e-9a55-0c5d3b6a2f10",
    "_00",
    "a/b",
    "%00",
    "\x00",
)
# Parameters of the lists that Django and the theme read themselves.
OWN_NAMES = ("p", "o", "q", "all", "e", "_facets", "_popup", "_to_field", "_changelist_filters")
FOREIGN = (
    "name__regex", "name__iregex", "created_at__year", "started_at__year", "metadata__contains", "id__in",
    "encrypted_secrets__startswith", "created_by__password__startswith", "job__encrypted_secrets__startswith",
    "webhook_url__startswith", "is_active__exact", "status__exact", "pic_team__id__exact", "created_by__id__exact",
    "job__id__exact", "user__password__regex", "nothing", "__", "pk", "job__isnull", "_", "started_at__gte",
)  # fmt: skip


@pytest.fixture
def world(db: None, settings: Any) -> dict[str, Client]:
    """Make one of everything, and somebody of each role to look at it."""
    use_mail_server(settings, 1)
    users = {role: make_user(f"{role}-of-the-fuzz", role=role) for role in ROLES}
    job = make_job(created_by=users["user"], encrypted_secrets=Secrets({"X": SECRET}).encrypted())
    execution = make_execution(job, execution_type=ExecutionType.GITHUB_ACTIONS)
    GitHubRun.objects.create(execution=execution, repository="a/b", tracking=Tracking.CONCLUDED, created_at=NOON)
    notify([message(audience=NOBODY, mail=Mail("job_disabled", "Job", ("ops@example.com",), {}))], now=NOON)
    tell(users["user"])
    SlackSettings.objects.create(webhook_url="https://hooks.slack.com/x")
    NotificationPreferences.objects.create(user=users["user"])
    clients = {role: Client() for role in ROLES}
    for role, client in clients.items():
        client.force_login(users[role])
        client.raise_request_exception = False
    return clients


def models() -> Iterator[tuple[type[Any], Any]]:
    yield from admin.site._registry.items()


def lists() -> list[str]:
    return [reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") for model, _ in models()]


def pages_of_rows(key: Any, model: type[Any]) -> Iterator[str]:
    for pattern in {p.name for p in admin.site._registry[model].get_urls() if p.name}:
        for args in ([key], []):
            try:
                yield reverse(f"admin:{pattern}", args=args)
            except NoReverseMatch:
                continue


def answers(client: Client, address: str) -> Any:
    response = client.get(address)
    assert response.status_code < 500, address
    assert response.status_code in (200, 301, 302, 400, 403, 404), (address, response.status_code)
    return response


def test_every_page_is_made_on_the_one_base():
    assert [model_admin for _, model_admin in models() if not isinstance(model_admin, ConsoleAdmin)] == []


def test_every_form_that_changes_rows_knows_what_it_has_shown(rf, db):
    request = rf.get("/")
    request.user = make_user(role="admin")
    for model, model_admin in models():
        if model_admin.has_change_permission(request, model()):
            assert issubclass(model_admin.form, SnapshotForm), model_admin
            assert not model_admin.get_inlines(request, model())


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("address", lists())
def test_a_list_takes_no_parameter_of_nonsense_for_granted(world, role, address):
    known = sorted({*OWN_NAMES, *parameters(address)})
    # What the list does not know it refuses for every role and value alike.
    tried = [*product(FOREIGN, BAD_TEXTS[:2]), *product(known, BAD_TEXTS if role == "admin" else ("x",))]
    for name, text in tried:
        query = urlencode({name: text})
        response = answers(world[role], f"{address}?{query}")
        assert SECRET not in response.content.decode()


def parameters(address: str) -> set[str]:
    """Return the parameters of the list's own filters."""
    client = Client()
    client.force_login(User.objects.filter(role="admin").first())
    page = client.get(address, follow=True)
    filters = page.context["cl"].filter_specs if "cl" in page.context else []
    return {name for spec in filters for name in spec.expected_parameters()}


@pytest.mark.parametrize("role", ROLES)
def test_no_id_of_nonsense_breaks_a_page(world, role):
    for (model, _), key in product(models(), BAD_IDS):
        for address in pages_of_rows(key, model):
            answers(world[role], address)


@pytest.mark.parametrize("role", ROLES)
def test_no_parameter_breaks_the_page_of_a_row(world, role):
    for model, _ in models():
        key = model._default_manager.values_list("pk", flat=True).first()
        for address in pages_of_rows(key, model):
            for query in ("_to_field=x", "_popup=1", "_changelist_filters=%00%3D", "p=x", "metadata=x&category=x&_x=1"):
                answers(world[role], f"{address}?{query}")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("key", [*BAD_IDS, "1,2"])
def test_no_selection_of_nonsense_breaks_an_action(world, role, key):
    for (_, model_admin), address in zip(models(), lists(), strict=True):
        actions = ("delete_selected", "nothing", *(a if isinstance(a, str) else "" for a in model_admin.actions or ()))
        for action in actions:
            sent = {"action": action, "_selected_action": key, "index": "0"}
            for more in ({}, {"post": "yes"}, {"select_across": "x"}, {"index": "99"}):
                response = world[role].post(address, {**sent, **more})
                assert response.status_code < 500, (address, action, more)
    assert Job.objects.exists()


def test_an_id_of_nonsense_is_told_in_words(world):
    sent = {"action": "delete_selected", "_selected_action": "x"}
    response = world["admin"].post(reverse("admin:jobs_job_changelist"), sent)
    assert said(response) == [
        "The selection holds something that is no row of this list. Nothing was done; choose again."
    ]


@pytest.mark.parametrize("query", ["name__regex=^(a%2B)%2B$", "encrypted_secrets__startswith=g", "created_at__year=-1"])
def test_a_filter_that_the_list_does_not_have_is_taken_away_and_told(world, query):
    response = world["viewer"].get(reverse("admin:jobs_job_changelist") + f"?q=a&{query}")
    assert response.headers["Location"] == reverse("admin:jobs_job_changelist") + "?q=a"
    assert said(response) == [f"This list has no filter named {query.partition('=')[0]}. It was taken away."]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("path", ["search/", "search/?extended=1", "jobs/job/preview/", "jsi18n/", "autocomplete/"])
def test_no_parameter_breaks_what_scripts_ask_for(world, role, path):
    join = "&" if "?" in path else "?"
    for name, text in product(("s", "page", "expression", "timezone", "term", "app_label"), BAD_TEXTS):
        query = urlencode({"s": "a", "expression": "* * * * *", name: text})
        answers(world[role], f"{reverse('admin:index')}{path}{join}{query}")


def test_no_row_is_led_to_by_the_number_of_its_table(world):
    number = ContentType.objects.get_for_model(JobExecution).pk
    assert world["admin"].get(f"{reverse('admin:index')}r/{number}/x/").status_code == 404
