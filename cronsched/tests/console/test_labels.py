"""Forms, lists and filters call things as people do, and not as fields of tables are named."""

import re
from html import unescape
from typing import Any

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils.text import capfirst

import cronsched.urls  # noqa: F401 - all pages of the console are registered from here on
from accounts import api_tokens
from accounts.tests.factories import make_user
from cronsched.lib.clock import database_now
from jobs.models import SchedulerLease
from jobs.tests.factories import make_execution
from notifications.message import NOBODY, Mail
from notifications.services import notify
from notifications.tests.conftest import use_mail_server
from notifications.tests.factories import message, tell

pytestmark = pytest.mark.django_db

# Names of fields that are words of people, too.
PLAIN = {"Owner", "PIC team", "End date", "Cron expression", "Slack handle", "Webhook URL", "GitHub owner"}
PLAIN |= {"Quiet from", "Quiet until", "Post every n-th failure"}


def labels_of(page: str) -> set[str]:
    """Return what the fields, columns and filters of a page are called."""
    page = re.sub(r"<span[^>]*material-symbols[^>]*>.*?</span>", "", page, flags=re.DOTALL)
    found = re.findall(r"<(label|th|h3)\b[^>]*>(.*?)</\1>", page, re.DOTALL)
    texts = (unescape(re.sub(r"<[^>]+>", " ", inside)).replace("*", " ") for _, inside in found)
    return {" ".join(text.split()) for text in texts} - {""}


def raw_names() -> set[str]:
    fields = [field for model in admin.site._registry for field in model._meta.fields]
    return {capfirst(str(field.verbose_name)) for field in fields if "_" in field.name} - PLAIN


def pages(model: type[Any]) -> list[str]:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    row = model._default_manager.first()
    assert row is not None, f"no row of {model.__name__} to look at"
    return [reverse(f"{name}_changelist"), reverse(f"{name}_add"), reverse(f"{name}_change", args=[row.pk])]


def test_no_page_calls_a_field_by_the_name_of_its_column(client, settings):
    user, now = make_user(role="admin"), database_now()
    use_mail_server(settings, 1)
    execution = make_execution()
    api_tokens.create({"name": "t", "scopes": ["read"]}, owner=user, by=user, now=now)
    notify([message(audience=NOBODY, mail=Mail("job_disabled", "Job", ("a@example.com",), {}))], now=now)
    tell(now=now)
    client.force_login(user)
    client.get(reverse("admin:notifications_slacksettings_changelist"))
    assert execution.pk
    raw, found = raw_names(), {}
    for model in (model for model in admin.site._registry if model is not SchedulerLease):
        for address in pages(model):
            response = client.get(address)
            shown = labels_of(response.content.decode()) if response.status_code == 200 else set()
            wrong = {text for text in shown if text in raw or "_" in text or text.startswith("By ")}
            if wrong:
                found[address] = wrong
    assert not found, "\n".join(f"{k}: {v}" for k, v in found.items())
