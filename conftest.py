"""Setup for all tests: a known environment, a database as in production, seeded rows that survive a flush."""

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
import pytest

ROOT = Path(__file__).parent
OWN_APPS = ("audit", "accounts", "taxonomy", "jobs", "notifications")
# By this name Django connects what makes permissions.
PERMISSIONS = "django.contrib.auth.management.create_permissions"

# Nothing of a developer's own settings may reach a test; only the database may be chosen from outside.
DOCUMENTED_VARIABLES = re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
TEST_ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "cronsched.settings",
    "ENV_FILE": os.devnull,
    "DEBUG": "true",
    "SECRET_KEY": "a-secret-for-tests-only-0123456789-abcdefghij",
    "ALLOWED_HOSTS": "testserver,localhost,127.0.0.1,[::1]",
    "SCHEDULER_TIMEZONE": "Asia/Tokyo",
    "JOURNAL_DIR": tempfile.mkdtemp(prefix="journals-"),
}
atexit.register(shutil.rmtree, TEST_ENVIRONMENT["JOURNAL_DIR"], ignore_errors=True)
for variable in {*DOCUMENTED_VARIABLES} - {"DATABASE_URL"}:
    os.environ.pop(variable, None)
os.environ.update(TEST_ENVIRONMENT)
# Test modules import models when they are collected, which is before any fixture could prepare this.
django.setup()

pytest_plugins = ["accounts.tests.fixtures", "cronsched.tests.fixtures"]


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """Hash passwords in microseconds: the real hasher is slow on purpose and no test is about its cost."""
    from django.test import override_settings

    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(scope="session", autouse=True)
def actors_that_the_page_names() -> Iterator[None]:
    """Let no entry be written by a kind of actor that `audit.actions`, and with it docs/audit.md, does not name.

    Nobody's entries are left out: tests call verbs for nobody, and forms of the console do so to try a change.
    """
    from audit.actions import ACTIONS
    from audit.models import ActorKind, AuditQuerySet

    write = AuditQuerySet.bulk_create

    def watched(self: Any, rows: Any, **options: Any) -> Any:
        for row in rows:
            known = row.actor_kind in ACTIONS[row.action].actors or row.actor_kind == ActorKind.SYSTEM
            assert known, f"docs/audit.md does not say that {row.action} may be by a {row.actor_kind}"
        return write(self, rows, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AuditQuerySet, "bulk_create", watched)
        yield


@pytest.fixture(autouse=True)
def nameless_process() -> Iterator[None]:
    """Clear the sender's name that an earlier test has set for the process."""
    from cronsched.lib import log_context

    yield
    log_context.set_sender("")


@pytest.fixture(scope="session", autouse=True)
def uncollected_static_files() -> Iterator[None]:
    """Serve static files from where they lie, as in development: a fresh checkout has none collected."""
    from django.test import override_settings

    with override_settings(WHITENOISE_AUTOREFRESH=True, WHITENOISE_USE_FINDERS=True):
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Put SQLite's test database into a file, as in production.

    Django's default is one database in memory with a cache shared by all threads: no WAL, no busy timeout, other
    locks. Races would then be tested against a setup that is never deployed. Only a power cut may lose rows: no test
    pulls the plug, and waiting for the disk at each commit takes longer than the tests themselves.
    """
    from django.db import connections

    for connection in connections.all():
        if connection.vendor == "sqlite":
            folder = tmp_path_factory.mktemp("database")
            connection.settings_dict["TEST"]["NAME"] = str(folder / f"{connection.alias}.sqlite3")
            connection.settings_dict["OPTIONS"]["init_command"] += "PRAGMA synchronous=OFF;"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Give the rows that the migrations seed back to the tables after every flush.

    A test with real commits ends in a flush of all tables, which would leave later tests without the
    default categories. Django would work out anew which permissions and content types there are; putting back
    the rows that it found at first takes a fraction of that time.
    """
    from django.apps import apps
    from django.contrib.auth.management import create_permissions
    from django.contrib.auth.models import Permission
    from django.contrib.contenttypes.management import create_contenttypes
    from django.contrib.contenttypes.models import ContentType
    from django.db.models.signals import post_migrate

    own = [model for app in OWN_APPS for model in apps.get_app_config(app).get_models()]
    models: list[Any] = [ContentType, Permission, *own]
    with django_db_blocker.unblock():
        seeded = {model: rows for model in models if (rows := list(model._default_manager.all()))}

    def restore(using: str, **_: Any) -> None:
        for model, rows in seeded.items():
            model._default_manager.using(using).bulk_create(rows, ignore_conflicts=True)

    last_app = list(apps.get_app_configs())[-1]
    post_migrate.connect(restore, sender=last_app)
    assert post_migrate.disconnect(dispatch_uid=PERMISSIONS)
    assert post_migrate.disconnect(create_contenttypes)
    yield
    post_migrate.connect(create_contenttypes)
    post_migrate.connect(create_permissions, dispatch_uid=PERMISSIONS)
    post_migrate.disconnect(restore, sender=last_app)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests that wait for a minute begin each process's share, so that they wait at the same time."""
    waiting = [item for item in items if item.get_closest_marker("minute")]
    items[:] = [item for item in items if not item.get_closest_marker("minute")]
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = (len(items) + len(waiting)) // processes
    for number, item in enumerate(waiting):
        items.insert(number % processes * share, item)
