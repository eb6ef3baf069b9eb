"""Nonsense in every form of the console, as each role: an answer, and nothing changed that may not be."""

from collections.abc import Iterator
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import NoReverseMatch, reverse

from accounts.tests.factories import make_user
from cronsched.tests.console.pages import FormReader
from cronsched.tests.console.test_addresses import ROLES, models, pages_of_rows, world
from jobs.models import Job
from jobs.tests.factories import make_job

__all__ = ["world"]

pytestmark = pytest.mark.slow

WRONG = ("", "x", "-1", "9" * 40, "\x00", "é" * 300, "{oops", "2026-13-45", "[1]", str(uuid4()))
# What the questions before an act ask for, whichever of it each of them knows.
ASKED = ("reason", "until_0", "until_1", "on_resume", "metadata", "days", "number", "owner", "role", "hand_over_to")


def form_of(client: Client, address: str) -> dict[str, Any]:
    """Return what the form of a page would send untouched; nothing where the page shows none to this reader."""
    page = client.get(address)
    if page.status_code != 200:
        return {}
    reader = FormReader()
    reader.feed(page.content.decode())
    return reader.values


def address_of(model: Any, page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def addresses() -> Iterator[tuple[Any, str]]:
    """Return where each model is added, and where the row there is of it is changed."""
    for model, _ in models():
        key = model._default_manager.values_list("pk", flat=True).first()
        for page, args in (("add", ()), ("change", (key,))):
            try:
                yield model, address_of(model, page, *args)
            except NoReverseMatch:
                continue


def dialogs(model: Any, key: Any) -> list[str]:
    """Return the addresses of all that is done to one row, but for its deletion."""
    kept = ("/change/", "/delete/", "/history/", "/password/")
    return [one for one in pages_of_rows(key, model) if str(key) in one and not one.endswith(kept)]


def definitions() -> list[Any]:
    return list(Job.objects.order_by("pk").values())


@pytest.mark.parametrize("role", ROLES)
def test_no_value_of_nonsense_breaks_a_form(world, role):
    client = world[role]
    values_tried = WRONG[3:7] if role == "admin" else WRONG[1:2]
    for _, address in addresses():
        values = form_of(client, address)
        for name, wrong in product(values, values_tried):
            answer = client.post(address, {**values, name: wrong})
            assert answer.status_code in (200, 302, 403, 404), (address, name, wrong, answer.status_code)
            # Where it was taken, it is the form's no more.
            values = form_of(client, address) if answer.status_code == 302 else values
        for name in values:
            answer = client.post(address, {key: value for key, value in values.items() if key != name})
            assert answer.status_code in (200, 302, 403, 404), (address, name, answer.status_code)


@pytest.mark.parametrize("role", ROLES)
def test_no_answer_of_nonsense_breaks_a_question(world, role):
    for model, _ in models():
        key = model._default_manager.values_list("pk", flat=True).first()
        for address, wrong in product(dialogs(model, key), WRONG):
            answer = world[role].post(address, {"_form_submitted": "true", **dict.fromkeys(ASKED, wrong)})
            assert answer.status_code < 500, (address, wrong)


@pytest.mark.parametrize("role", ["user", "viewer"])
def test_nobody_changes_the_job_of_another_by_any_form(world, role):
    theirs = make_job(created_by=make_user(role="admin"), name="theirs")
    address, before = address_of(Job, "change", theirs.pk), definitions()
    values = form_of(world["admin"], address)
    for changed in ({"name": "mine"}, {"cron_expression": "1 1 1 1 *"}, {"_saveasnew": "1"}):
        assert world[role].post(address, {**values, **changed}).status_code in (200, 302, 403)
    for dialog in dialogs(Job, theirs.pk):
        sent = {"reason": "x", "days": "30", "number": "1", "on_resume": "skip", "owner": str(theirs.created_by_id)}
        world[role].post(dialog, {"_form_submitted": "true", **sent})
    for action in ("pause", "delete", "extend", "move", "hand_over"):
        sent = {"action": f"{action}_selected", "_selected_action": str(theirs.pk), "confirmed": "1"}
        world[role].post(address_of(Job, "changelist"), {**sent, "reason": "x", "days": "30", "on_resume": "skip"})
    world[role].post(address_of(Job, "delete", theirs.pk), {"post": "yes"})
    assert definitions() == before
