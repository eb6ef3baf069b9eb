"""What the root conftest promises every other test."""

import os
import socket

import pytest
import pytest_socket
from django.conf import settings
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection

from taxonomy.models import JobCategory


def test_sockets_to_other_machines_are_refused():
    with (
        socket.socket() as outside,
        pytest.warns(UserWarning, match="192.0.2.1"),
        pytest.raises(pytest_socket.SocketConnectBlockedError),
    ):
        outside.connect(("192.0.2.1", 80))


def test_sockets_to_this_machine_are_open():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


def test_settings_do_not_come_from_the_developers_own_file():
    assert os.environ["ENV_FILE"] == os.devnull
    assert settings.SECRET_KEY == os.environ["SECRET_KEY"]


def test_seeded_rows_are_back_after_a_flush(transactional_db):
    def seeded():
        categories = set(JobCategory.objects.values_list("slug", flat=True))
        types = set(ContentType.objects.values_list("id", "app_label", "model"))
        permissions = set(Permission.objects.values_list("codename", "content_type_id"))
        return categories, types, permissions

    before = seeded()
    call_command("flush", interactive=False, verbosity=0)
    categories, types, permissions = before
    assert "general" in categories
    assert ("jobs", "job") in {(app, model) for _, app, model in types}
    assert "change_job" in {codename for codename, _ in permissions}
    assert seeded() == before


@pytest.mark.skipif("sqlite" not in settings.DATABASES["default"]["ENGINE"], reason="is about SQLite")
def test_the_test_database_locks_as_in_production(transactional_db):
    with connection.cursor() as cursor:
        assert cursor.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert cursor.execute("PRAGMA database_list").fetchone()[2].endswith(".sqlite3")
