"""Who may do what: one table of every endpoint, method, role and ownership (contract, section 3)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import User
from accounts.tests.factories import PASSWORD, api_client, make_session, make_token, make_user, token_client
from accounts.tokens import issue_pair
from cronsched.api.documents import description
from jobs.tests.factories import job_body, make_execution, make_job
from notifications.tests.factories import tell
from taxonomy.tests.factories import make_category, make_team

ANONYMOUS, VIEWER, OTHER, OWNER, ADMIN = ACTORS = ("anonymous", "viewer", "other user", "owner", "admin")
UNKNOWN_ID = "6f0f4c3e-6f3c-4a53-9a55-0c5d3b6a2f10"

# A cell of the table is a status, or the text of a 403.
NO = 401
WRITER = "User or admin access required"
ADMIN_ONLY = "Admin access required"
PROFILE = "Forbidden. You can only view your own profile."
CHANGE_PROFILE = "Forbidden. You can only update your own profile."
READ_PREFERENCES = "Forbidden: Cannot access other users preferences"
WRITE_PREFERENCES = "Forbidden: Cannot update other users preferences"
READ_NOTICE = "Forbidden: Cannot access other users notifications"
DELETE_NOTICE = "Forbidden: Cannot delete other users notifications"

Cell = int | str


def own(verb: str) -> str:
    return f"You can only {verb} your own jobs"


@dataclass(frozen=True)
class Row:
    """One endpoint: what is sent, and what each of `ACTORS` gets. `{names}` in the path are filled from the world.

    The ids of accounts and notices are the owner's.
    """

    method: str
    path: str
    cells: tuple[Cell, ...]
    body: Any = None
    form: str = "json"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def everybody(status: int) -> tuple[Cell, ...]:
    return (status,) * 5


def accounts_only(status: int) -> tuple[Cell, ...]:
    return (NO, status, status, status, status)


def writers(status: int) -> tuple[Cell, ...]:
    return (NO, WRITER, status, status, status)


def owner(status: int, verb: str) -> tuple[Cell, ...]:
    return (NO, WRITER, own(verb), status, status)


def admins(status: int) -> tuple[Cell, ...]:
    return (NO, ADMIN_ONLY, ADMIN_ONLY, ADMIN_ONLY, status)


def own_account(text: str) -> tuple[Cell, ...]:
    return (NO, text, text, 200, 200)


def own_only(text: str) -> tuple[Cell, ...]:
    return (NO, text, text, 200, text)


NEW_USER = {"username": "somebody", "email": "somebody@example.com", "password": PASSWORD}
CSV = b"name,cron,status,target url,pic team,end date\nUploaded,0 2 * * *,active,http://127.0.0.1:9/,ops,2099-12-31\n"

TABLE = [
    Row("POST", "auth/login", everybody(200), {"username": "owner", "password": PASSWORD}),
    Row("POST", "auth/login/form", everybody(200), {"username": "owner", "password": PASSWORD}, "urlencoded"),
    # An access token is none to refresh with; without a header the body counts.
    Row("POST", "auth/refresh", (200, NO, NO, NO, NO), {"refresh_token": "{refresh_token}"}),
    Row("GET", "auth/me", accounts_only(200)),
    Row("GET", "auth/verify", accounts_only(200)),
    Row("POST", "auth/logout", accounts_only(200)),
    Row("POST", "auth/register", admins(201), NEW_USER),
    Row("GET", "auth/users", admins(200)),
    Row("GET", "auth/users/{user_id}", own_account(PROFILE)),
    Row("PUT", "auth/users/{user_id}", own_account(CHANGE_PROFILE), {"email": "new@example.com"}),
    Row("DELETE", "auth/users/{user_id}", admins(200)),
    Row("GET", "auth/users/{user_id}/preferences", own_account(READ_PREFERENCES)),
    Row("PUT", "auth/users/{user_id}/preferences", own_account(WRITE_PREFERENCES), {"daily_digest": True}),
    Row("GET", "auth/users/{user_id}/ui-preferences", own_account(READ_PREFERENCES)),
    Row("PUT", "auth/users/{user_id}/ui-preferences", own_account(WRITE_PREFERENCES), {"jobs_table_columns": {}}),
    Row("GET", "auth/sessions", accounts_only(200)),
    Row("DELETE", "auth/sessions", accounts_only(200)),
    Row("DELETE", "auth/sessions/{session_id}", (NO, 404, 404, 200, 200)),
    Row("GET", "tokens", accounts_only(200)),
    Row("POST", "tokens", accounts_only(201), {"name": "ci", "scopes": ["read"]}),
    Row("DELETE", "tokens/{token_id}", (NO, 404, 404, 200, 200)),
    Row("GET", "jobs", accounts_only(200)),
    Row("POST", "jobs", writers(201), job_body(name="A new one")),
    # A filter that finds nothing: the act is judged, and no job is touched.
    Row("POST", "jobs/bulk", writers(200), {"action": "run", "filter": {"repo": "nobody/has-it"}}),
    Row("GET", "jobs/{job_id}", accounts_only(200)),
    Row("PUT", "jobs/{job_id}", owner(200, "update"), {"name": "Renamed"}),
    Row("DELETE", "jobs/{job_id}", owner(200, "delete")),
    Row("POST", "jobs/{job_id}/execute", owner(200, "execute"), {}),
    Row("POST", "jobs/{job_id}/renew", owner(200, "update"), {"days": 30, "reason": "Still needed"}),
    Row("GET", "jobs/{job_id}/renewals", accounts_only(200)),
    Row("POST", "jobs/{job_id}/pause", owner(200, "update"), {"reason": "Moved"}),
    Row("POST", "jobs/{job_id}/resume", owner(200, "update"), {}),
    Row("GET", "jobs/{job_id}/revisions", accounts_only(200)),
    Row("GET", "jobs/{job_id}/why", accounts_only(200)),
    Row("GET", "forecast", accounts_only(200)),
    # It has no revision yet, and that is only told to those who may know.
    Row("POST", "jobs/{job_id}/revisions/{number}/restore", owner(404, "update"), {}),
    Row("GET", "audit", accounts_only(200)),
    Row("GET", "audit.csv", accounts_only(200)),
    Row("POST", "jobs/{job_id}/check-target", owner(200, "check")),
    Row("POST", "jobs/{job_id}/signing-secret", owner(200, "update"), {}),
    Row("DELETE", "jobs/{job_id}/signing-secret/previous", owner(200, "update")),
    # Who it is does not matter; the signature does.
    Row("POST", "github/webhook", everybody(401), {}),
    Row("GET", "jobs/export", accounts_only(200)),
    Row("POST", "jobs/validate-cron", accounts_only(200), {"expression": "0 2 * * *"}),
    Row("POST", "jobs/cron-preview", accounts_only(200), {"expression": "0 2 * * *"}),
    Row("POST", "jobs/test-run", writers(200), {"target_url": "http://127.0.0.1:9/"}),
    Row("POST", "jobs/bulk-upload", writers(200), {"file": CSV}, "multipart"),
    Row("GET", "jobs/{job_id}/executions", accounts_only(200)),
    Row("GET", "jobs/{job_id}/executions/stats", accounts_only(200)),
    Row("GET", "jobs/{job_id}/executions/{execution_id}", accounts_only(200)),
    Row("GET", "executions", accounts_only(200)),
    Row("GET", "executions/statistics", accounts_only(200)),
    Row("GET", "executions/{execution_id}", accounts_only(200)),
    Row("GET", "notifications", accounts_only(200)),
    Row("GET", "notifications/unread-count", accounts_only(200)),
    Row("PUT", "notifications/read-all", accounts_only(200)),
    Row("DELETE", "notifications/delete-read", accounts_only(200)),
    Row("PUT", "notifications/{notification_id}/read", own_only(READ_NOTICE)),
    Row("DELETE", "notifications/{notification_id}", own_only(DELETE_NOTICE)),
    Row("GET", "job-categories", accounts_only(200)),
    Row("POST", "job-categories", admins(201), {"name": "New"}),
    Row("PUT", "job-categories/{category_id}", admins(200), {"name": "New"}),
    Row("DELETE", "job-categories/{category_id}", admins(200)),
    Row("GET", "pic-teams", accounts_only(200)),
    Row("POST", "pic-teams", admins(201), {"name": "New", "slack_handle": "@new"}),
    Row("PUT", "pic-teams/{team_id}", admins(200), {"name": "New"}),
    Row("DELETE", "pic-teams/{team_id}", admins(200)),
    Row("GET", "settings/slack", admins(200)),
    Row("PUT", "settings/slack", admins(200), {"is_enabled": False}),
    # Nothing is set up: there is no address to post to.
    Row("POST", "settings/slack/test", admins(400)),
    Row("GET", "scheduler/status", admins(200)),
    Row("GET", "scheduler/senders", admins(200)),
    # No scheduler runs in a test, and only those who may know are told so.
    Row("POST", "scheduler/resync", admins(409)),
    Row("GET", "health", everybody(200)),
    Row("GET", "openapi.json", everybody(200)),
]
# Served under the older prefix only.
OLDER = [Row("POST", "jobs/{job_id}/trigger", owner(200, "execute"), {})]
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class World:
    """One of everything, the owner's where it belongs to somebody, and somebody of every kind to try it."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {
            VIEWER: make_user("viewer", role="viewer"),
            OTHER: make_user("other", role="user"),
            OWNER: make_user("owner", role="user"),
            ADMIN: make_user("admin", role="admin"),
        }
        self.clients = {actor: api_client(self.users.get(actor)) for actor in ACTORS}
        mine = self.users[OWNER]
        job = make_job(created_by=mine, target_url="http://127.0.0.1:9/")
        self.names: dict[str, Any] = {
            "user_id": mine.id,
            "job_id": job.id,
            "execution_id": make_execution(job).id,
            "notification_id": tell(mine).id,
            "category_id": make_category().id,
            "team_id": make_team().id,
            "number": 1,
            "session_id": make_session(mine).pk,
            "token_id": make_token(mine).token.pk,
            "refresh_token": issue_pair(make_session(mine), now=mine.created_at).refresh,
        }

    def ask(self, row: Row, actor: str, *, prefix: str = "/api/v2/", method: str = "", body: Any = None) -> Any:
        path = prefix + row.path.format_map({name: str(value) for name, value in self.names.items()})
        body = self._filled(row.body) if body is None else body
        call = getattr(self.clients[actor], (method or row.method).lower())
        if row.form == "urlencoded" and not method:
            return call(path, urlencode(body), content_type="application/x-www-form-urlencoded")
        return call(path, body, format="multipart" if row.form == "multipart" else "json")

    def _filled(self, value: Any) -> Any:
        match value:
            case dict():
                return {key: self._filled(item) for key, item in value.items()}
            case str():
                return value.replace("{refresh_token}", self.names["refresh_token"])
            case bytes():
                return SimpleUploadedFile("jobs.csv", value)
        return value


@pytest.fixture
def world(db: None) -> World:
    return World()


def verdict(response: Any) -> Cell:
    """Return what a cell of the table says of `response`."""
    if response.status_code != 403:
        return int(response.status_code)
    body = response.json()
    return str(body.get("message", body["error"]))


def tried_by_all(world: World, row: Row, **options: Any) -> tuple[Cell, ...]:
    """Return the row's cells as they really are; nobody sees what another actor's attempt has changed."""
    cells = []
    for actor in ACTORS:
        before = transaction.savepoint()
        cells.append(verdict(world.ask(row, actor, **options)))
        transaction.savepoint_rollback(before)
    return tuple(cells)


def each(rows: list[Row]) -> list[Any]:
    """Return a case for each row. Health asks in another connection, which a test's transaction on SQLite locks out."""
    own = pytest.mark.django_db(transaction=True)
    return [pytest.param(row, marks=own if row.path == "health" else (), id=str(row)) for row in rows]


@pytest.mark.parametrize("row", each(TABLE))
def test_everybody_may_do_what_the_table_says(world, row):
    assert tried_by_all(world, row) == row.cells


@pytest.mark.parametrize("row", each([*TABLE, *OLDER]))
def test_the_older_prefix_has_the_same_rules(world, row):
    assert tried_by_all(world, row, prefix="/api/") == row.cells


@pytest.mark.parametrize("row", [row for row in TABLE if {WRITER, ADMIN_ONLY} & set(row.cells)], ids=str)
def test_the_role_is_asked_before_the_target_and_the_body(world, row):
    world.names = dict.fromkeys(world.names, UNKNOWN_ID)
    for actor, cell in zip(ACTORS, row.cells, strict=True):
        if cell in (NO, WRITER, ADMIN_ONLY):
            assert verdict(world.ask(row, actor, body={} if row.form == "multipart" else [])) == cell


@pytest.mark.parametrize("path", sorted({row.path for row in TABLE}))
def test_methods_a_path_does_not_have_are_405_for_everybody(world, path):
    rows = [row for row in TABLE if row.path == path]
    for method in set(METHODS) - {row.method for row in rows}:
        for actor in ACTORS:
            assert world.ask(rows[0], actor, method=method).status_code == 405, (method, actor)


def test_the_table_names_every_endpoint():
    served = set(endpoints(get_resolver().url_patterns))
    named = {(row.method, f"{prefix}{shape(row.path)}") for row in TABLE for prefix in ("api/v2/", "api/")}
    older = {(row.method, f"api/{shape(row.path)}") for row in OLDER}
    assert served == named | older


def test_the_description_has_exactly_the_endpoints_of_the_table():
    described = {
        (method.upper(), shape(path.removeprefix("/api/v2/")))
        for path, methods in description()["paths"].items()
        for method in methods
    }
    assert described | {("GET", "openapi.json")} == {(row.method, shape(row.path)) for row in TABLE}


def shape(path: str) -> str:
    """Return `path` with nothing but a mark for each of its parameters."""
    return re.sub(r"\{\w+\}|<str:\w+>", "{}", path)


def endpoints(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield method and path of everything served below /api."""
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from endpoints(pattern.url_patterns, path)
        elif path.startswith("api/"):
            # The view of the description is no view set.
            actions = getattr(pattern.callback, "actions", {"get": ""})
            yield from ((method.upper(), shape(path)) for method in actions if method != "head")


# --- API tokens ------------------------------------------------------------------------------------------------------

# What a token needs for each endpoint; what is not named is closed to all tokens.
SCOPES: dict[str, set[tuple[str, str]]] = {
    "read": {
        *(("GET", path) for path in ("jobs", "jobs/export", "jobs/{job_id}", "executions", "executions/statistics")),
        *(("GET", path) for path in ("executions/{execution_id}", "jobs/{job_id}/executions")),
        *(("GET", path) for path in ("jobs/{job_id}/executions/stats", "jobs/{job_id}/executions/{execution_id}")),
        *(("GET", path) for path in ("jobs/{job_id}/renewals", "jobs/{job_id}/revisions", "audit", "audit.csv")),
        *(("GET", path) for path in ("jobs/{job_id}/why", "forecast")),
        *(("GET", path) for path in ("notifications", "notifications/unread-count", "job-categories", "pic-teams")),
        *(("GET", path) for path in ("scheduler/status", "scheduler/senders")),
    },
    "write": {
        *(
            ("POST", path)
            for path in ("jobs", "jobs/bulk", "jobs/bulk-upload", "jobs/{job_id}/renew", "jobs/{job_id}/pause")
        ),
        *(("POST", path) for path in ("jobs/{job_id}/resume", "jobs/{job_id}/revisions/{number}/restore")),
        *(("POST", path) for path in ("jobs/{job_id}/signing-secret", "job-categories", "pic-teams")),
        *(("PUT", path) for path in ("jobs/{job_id}", "job-categories/{category_id}", "pic-teams/{team_id}")),
        *(("PUT", path) for path in ("notifications/{notification_id}/read", "notifications/read-all")),
        *(("DELETE", path) for path in ("jobs/{job_id}", "jobs/{job_id}/signing-secret/previous")),
        *(("DELETE", path) for path in ("job-categories/{category_id}", "pic-teams/{team_id}")),
        *(("DELETE", path) for path in ("notifications/{notification_id}", "notifications/delete-read")),
        ("POST", "scheduler/resync"),
    },
    "run": {
        *(("POST", path) for path in ("jobs/{job_id}/execute", "jobs/{job_id}/check-target", "jobs/test-run")),
    },
    "any": {("POST", "jobs/validate-cron"), ("POST", "jobs/cron-preview")},
}
UNASKED = {"auth/login", "auth/login/form", "auth/refresh", "health", "openapi.json", "github/webhook"}
ASKING = [row for row in TABLE if row.path not in UNASKED]
FOR_SOME = [row for row in ASKING if row.cells[1] in (WRITER, ADMIN_ONLY)]


def test_every_scope_names_endpoints_there_are():
    named = {endpoint for endpoints in SCOPES.values() for endpoint in endpoints}
    assert named <= {(row.method, row.path) for row in ASKING}


@pytest.mark.parametrize("row", ASKING, ids=str)
def test_a_token_may_what_its_scope_says_and_never_more(world, row):
    # Tokens of an administrator: nothing but the scope can keep them out.
    needed = {scope for scope, endpoints in SCOPES.items() if (row.method, row.path) in endpoints}
    for scope in ("read", "write", "run"):
        world.clients["token"] = token_client(make_token(world.users[ADMIN], scope).secret)
        answer = world.ask(row, "token", body={} if row.form == "multipart" else [])
        is_refused = answer.status_code == 403 and answer.json()["error"] == "Insufficient scope"
        assert is_refused is not bool(needed & {scope, "any"}), scope


@pytest.mark.parametrize("row", FOR_SOME, ids=str)
def test_a_token_may_no_more_than_the_role_of_its_owner(world, row):
    world.clients["token"] = token_client(make_token(world.users[VIEWER]).secret)
    assert world.ask(row, "token").status_code == 403
