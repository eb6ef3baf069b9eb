"""A GitHub for tests: stateful, strict, and checked against GitHub's own description of its interface.

    with GitHubFake() as github:
        repository = github.add_repository("acme", "shop")
        repository.add_workflow("deploy.yml")
        settings.GITHUB_API_URL, settings.GITHUB_TOKEN = github.url, github.token

It refuses what GitHub refuses, with the texts GitHub uses. Every well-formed exchange has to satisfy the official
description; `close` (and so the end of the `with`) fails where one did not. Nothing here needs Django.
"""

import base64
import hashlib
import json
import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Self

import jwt
import yaml
from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse
from werkzeug import Request, Response
from werkzeug.serving import WSGIRequestHandler, make_server

DESCRIPTION = Path(__file__).parent / "data" / "github_actions_openapi.json"
OFFICIAL_HOST = "https://api.github.com"
DOCUMENTATION = "https://docs.github.com/rest"
MAX_INPUT_CHARACTERS = 65_535
DISPATCH_KEYS = {"ref", "inputs", "return_run_details"}

DISPATCHABLE = "on:\n  workflow_dispatch:\njobs: {}\n"


@cache
def description() -> OpenAPI:
    return OpenAPI.from_file_path(str(DESCRIPTION))


@cache
def examples() -> dict[str, Any]:
    """Return GitHub's official example of each answer."""
    return json.loads(DESCRIPTION.read_text())["x-examples"]


@dataclass
class FakeWorkflow:
    """A workflow file. `branches` are where the file exists; the default branch always has to be one of them."""

    id: int
    file: str
    content: str
    state: str = "active"
    branches: set[str] = field(default_factory=set)

    @property
    def triggers(self) -> dict[str, Any]:
        parsed = yaml.safe_load(self.content) or {}
        triggers = parsed.get("on", parsed.get(True)) or {}
        if isinstance(triggers, dict):
            return triggers
        return dict.fromkeys([triggers] if isinstance(triggers, str) else triggers)

    @property
    def inputs(self) -> dict[str, Any]:
        return (self.triggers.get("workflow_dispatch") or {}).get("inputs") or {}


@dataclass
class FakeRun:
    """A run. `finish` ends it; without that it stays queued for ever."""

    id: int
    workflow: FakeWorkflow
    ref: str
    inputs: dict[str, Any]
    created_at: datetime
    status: str = "queued"
    conclusion: str | None = None
    attempt: int = 1
    failed_job: str = ""
    failed_step: str = ""

    def start(self) -> None:
        self.status = "in_progress"

    def finish(self, conclusion: str = "success", *, job: str = "build", step: str = "Run tests") -> None:
        self.status, self.conclusion = "completed", conclusion
        if conclusion not in {"success", "skipped", "neutral"}:
            self.failed_job, self.failed_step = job, step

    def rerun(self) -> None:
        self.status, self.conclusion, self.attempt = "queued", None, self.attempt + 1


@dataclass
class FakeRepository:
    owner: str
    name: str
    fake: "GitHubFake"
    default_branch: str = "master"
    refs: set[str] = field(default_factory=lambda: {"master", "main"})
    workflows: list[FakeWorkflow] = field(default_factory=list)
    runs: list[FakeRun] = field(default_factory=list)
    archived: bool = False
    moved: bool = False

    def add_workflow(self, file: str, content: str = DISPATCHABLE, **fields: Any) -> FakeWorkflow:
        workflow = FakeWorkflow(self.fake.new_id(), file, content, branches=set(self.refs), **fields)
        self.workflows.append(workflow)
        return workflow

    def workflow(self, name: str) -> FakeWorkflow | None:
        """Find a workflow by number or file name, as GitHub does; never by a name without its extension."""
        return next((found for found in self.workflows if name in {str(found.id), found.file}), None)


class Refusal(Exception):
    """An answer other than success."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


class NoAnswer(Exception):
    """The connection is reset instead of answered."""


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        """Say nothing: a test that fails shows what it needs."""


Handler = Callable[[Request, "re.Match[str]"], tuple[int, Any]]


class GitHubFake:
    """Listens on loopback. Thread-safe.

    `token` may start workflows, `reading_token` may only look. `dispatches` are the accepted ones (time, token,
    repository, workflow, body). `calls` counts what was asked, by method and path.
    """

    def __init__(self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.token = "ghp_" + "w" * 36
        self.reading_token = "ghp_" + "r" * 36
        self.repositories: list[FakeRepository] = []
        self.calls: list[str] = []
        self.dispatches: list[tuple[datetime, str, str, str, dict[str, Any]]] = []
        self.violations: list[str] = []
        # An Enterprise server of before 3.21: no run details, and no patience with the flag that asks for them.
        self.enterprise = False
        # Content-creating calls per minute and credential before the secondary limit answers; None sets none.
        self.per_minute: int | None = None
        # Requests left of the primary limit; None sets none.
        self.remaining: int | None = None
        self.app_id = "123456"
        self.app_public_key: str | None = None
        self.installation_id = 77
        self._app_tokens: dict[str, datetime] = {}
        self._clock = clock
        self._lock = threading.RLock()
        self._next_id = 1000
        self._forced: deque[Callable[[], None]] = deque()
        self._swallow_after = 0
        self._server = make_server("127.0.0.1", 0, self._application, threaded=True, request_handler=_Silent)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    # --- For the test

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop, and fail where an exchange broke GitHub's description or the fake itself broke down."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if self.violations:
            raise AssertionError("\n".join(self.violations))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add_repository(self, owner: str, name: str, **fields: Any) -> FakeRepository:
        repository = FakeRepository(owner, name, self, **fields)
        self.repositories.append(repository)
        return repository

    def refuse_next(
        self, status: int, message: str, headers: Mapping[str, str] | None = None, *, times: int = 1
    ) -> None:
        """Answer the next calls with an error, whatever they ask."""

        def refuse() -> None:
            raise Refusal(status, message, headers)

        self._forced.extend([refuse] * times)

    def drop_next(self, *, times: int = 1) -> None:
        """Reset the connection of the next calls before anything is done."""

        def drop() -> None:
            raise NoAnswer

        self._forced.extend([drop] * times)

    def act_without_answer(self, *, times: int = 1) -> None:
        """Do what the next calls ask, then reset their connections instead of answering."""
        self._swallow_after += times

    def withdraw_app_tokens(self) -> None:
        self._app_tokens.clear()

    def new_id(self) -> int:
        with self._lock:
            self._next_id += 1
            return self._next_id

    # --- One call

    def _application(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        try:
            return self._handle(request)(environ, start_response)
        except Exception as error:
            self.violations.append(f"{request.method} {request.path}: the fake broke down: {error!r}")
            raise

    def _handle(self, request: Request) -> Response:
        body = request.get_data()
        with self._lock:
            self.calls.append(f"{request.method} {request.path}")
            try:
                if self._forced:
                    self._forced.popleft()()
                status, answer = self._answer(request)
                headers = self._limit_headers()
            except Refusal as refusal:
                answer = {"message": refusal.message, "documentation_url": DOCUMENTATION, "status": str(refusal.status)}
                status, headers = refusal.status, self._limit_headers() | refusal.headers
            except NoAnswer:
                return _reset(request)
            if self._swallow_after:
                self._swallow_after -= 1
                return _reset(request)
            response = self._response(request, status, answer, headers)
            self._check_exchange(request, body, response)
            return response

    def _answer(self, request: Request) -> tuple[int, Any]:
        for method, pattern, handler in self._routes():
            if request.method == method and (match := re.fullmatch(pattern, request.path)):
                self._count_against_primary_limit()
                return handler(request, match)
        raise Refusal(404, "Not Found")

    def _routes(self) -> list[tuple[str, str, Handler]]:
        repository = r"/repos/(?P<owner>[^/]+)/(?P<repo>[^/]+)"
        return [
            ("GET", repository, self._get_repository),
            ("GET", repository + "/installation", self._get_installation),
            ("GET", repository + "/contents/(?P<path>.+)", self._get_file),
            ("GET", repository + "/actions/workflows/(?P<workflow>[^/]+)", self._get_workflow),
            ("POST", repository + "/actions/workflows/(?P<workflow>[^/]+)/dispatches", self._dispatch),
            ("GET", repository + "/actions/workflows/(?P<workflow>[^/]+)/runs", self._list_runs),
            ("GET", repository + r"/actions/runs/(?P<run>\d+)", self._get_run),
            ("GET", repository + r"/actions/runs/(?P<run>\d+)/jobs", self._list_jobs),
            ("POST", r"/app/installations/(?P<installation>\d+)/access_tokens", self._mint),
        ]

    def _response(self, request: Request, status: int, answer: Any, headers: Mapping[str, str]) -> Response:
        if status == 204:
            return Response(status=204, headers=dict(headers))
        content = json.dumps(answer)
        etag = f'W/"{hashlib.sha256(content.encode()).hexdigest()}"'
        if request.method == "GET" and status == 200:
            headers = {**headers, "ETag": etag}
            if request.headers.get("If-None-Match") == etag:
                # A 304 does not count.
                if self.remaining is not None:
                    self.remaining += 1
                return Response(status=304, headers=dict(headers))
        return Response(content, status, {**headers, "Content-Type": "application/json; charset=utf-8"})

    def _check_exchange(self, request: Request, body: bytes, response: Response) -> None:
        """Hold a successful exchange against the description; refusals are not in it."""
        if not 200 <= response.status_code < 300:
            return
        path = re.sub("(?<=/contents/).+", lambda found: found[0].replace("/", "%2F"), request.path)
        # The description calls `created` an instant, GitHub's documentation a search expression: here a range.
        args = {name: value.partition("..")[0] if name == "created" else value for name, value in request.args.items()}
        content_type = request.content_type or "application/json"
        method = request.method.lower()
        asked = MockRequest(OFFICIAL_HOST, method, path, args=args, data=body or None, content_type=content_type)
        answered = MockResponse(response.get_data(), response.status_code, content_type="application/json")
        try:
            description().validate_request(asked)
            if response.status_code != 204:
                description().validate_response(asked, answered)
        except OpenAPIError as error:
            exchange = f"{request.method} {request.path} -> {response.status_code}"
            causes = getattr(error.__cause__, "schema_errors", [error.__cause__])
            self.violations.extend(f"{exchange}: {getattr(cause, 'message', cause)!r}" for cause in causes)

    # --- Who asks

    def _repository(self, request: Request, match: "re.Match[str]") -> FakeRepository:
        token = self._token(request)
        if not request.headers.get("User-Agent"):
            raise Refusal(403, "Request forbidden by administrative rules. Please send a User-Agent header.")
        if request.headers.get("X-GitHub-Api-Version") != "2022-11-28":
            raise Refusal(400, "The API version is not supported.")
        if request.headers.get("Accept") != "application/vnd.github+json":
            raise Refusal(415, "Unsupported Accept header.")
        if token.startswith("ghs_") and self._app_tokens[token] <= self._clock():
            raise Refusal(401, "Bad credentials")
        for repository in self.repositories:
            if (repository.owner.lower(), repository.name.lower()) == (match["owner"].lower(), match["repo"].lower()):
                if repository.moved:
                    raise Refusal(301, "Moved Permanently", {"Location": f"{self.url}/repositories/1"})
                return repository
        raise Refusal(404, "Not Found")

    def _token(self, request: Request) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or token not in {self.token, self.reading_token, *self._app_tokens}:
            raise Refusal(401, "Bad credentials")
        return token

    def _count_against_primary_limit(self) -> None:
        if self.remaining is None:
            return
        if self.remaining <= 0:
            raise Refusal(403, "API rate limit exceeded for user ID 1.")
        self.remaining -= 1

    def _count_against_secondary_limit(self, token: str) -> None:
        since = self._clock() - timedelta(minutes=1)
        recent = [dispatch for dispatch in self.dispatches if dispatch[0] > since and dispatch[1] == token]
        if self.per_minute is not None and len(recent) >= self.per_minute:
            message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
            raise Refusal(403, message, {"Retry-After": "60"})

    def _limit_headers(self) -> dict[str, str]:
        remaining = 4999 if self.remaining is None else self.remaining
        reset = int((self._clock() + timedelta(minutes=30)).timestamp())
        return {
            "X-RateLimit-Limit": "5000",
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Used": str(5000 - remaining),
            "X-RateLimit-Reset": str(reset),
            "X-RateLimit-Resource": "core",
        }

    # --- What is asked

    def _get_repository(self, request: Request, match: "re.Match[str]") -> tuple[int, Any]:
        repository = self._repository(request, match)
        writable = self._token(request) != self.reading_token
        return 200, examples()["repository"] | {
            "name": repository.name,
            "full_name": f"{repository.owner}/{repository.name}",
            "default_branch": repository.default_branch,
            "archived": repository.archived,
            "language": None,
            "permissions": {"admin": False, "push": writable, "pull": True},
        }

    def _get_file(self, request: Request, match: "re.Match[str]") -> tuple[int, Any]:
        repository = self._repository(request, match)
        ref = request.args.get("ref", repository.default_branch)
        if ref not in repository.refs:
            raise Refusal(404, f"No commit found for the ref {ref}")
        for workflow in repository.workflows:
            if match["path"] == f".github/workflows/{workflow.file}" and ref in workflow.branches:
                content = workflow.content.encode()
                return 200, examples()["file"] | {
                    "name": workflow.file,
                    "path": match["path"],
                    "size": len(content),
                    "content": base64.encodebytes(content).decode(),
                }
        raise Refusal(404, "Not Found")

    def _get_workflow(self, request: Request, match: "re.Match[str]") -> tuple[int, Any]:
        workflow = self._workflow(self._repository(request, match), match)
        return 200, examples()["workflow"] | {
            "id": workflow.id,
            "name": workflow.file,
            "path": f".github/workflows/{workflow.file}",
            "state": workflow.state,
        }

    def _dispatch(self, request: Request, match: "re.Match[str]") -> tuple[int, Any]:
        repository = self._repository(request, match)
        token = self._token(request)
        workflow = self._workflow(repository, match)
        if token == self.reading_token:
            raise Refusal(403, "Resource not accessible by personal access token")
        self._count_against_secondary_limit(token)
        body = self._dispatch_body(request)
        inputs = body.get("inputs") or {}
        self._check_dispatch(repository, workflow, body["ref"], inputs)
        run = FakeRun(self.new_id(), workflow, body["ref"], inputs, self._clock())
        repository.runs.append(run)
        self.dispatches.append((self._clock(), token, f"{repository.owner}/{repository.name}", workflow.file, body))
        if self.enterprise or not body.get("return_run_details"):
            return 204, None
        address = f"{repository.owner}/{repository.name}/actions/runs/{run.id}"
        return 200, {
            "workflow_run_id": run.id,
            "run_url": f"https://api.github.com/repos/{address}",
            "html_url": f"https://github.com/{address}",
        }

    def _dispatch_body(self, request: Request) -> dict[str, Any]:
        try:
            body = json.loads(request.get_data())
        except ValueError:
            raise Refusal(400, "Problems parsing JSON") from None
        known = DISPATCH_KEYS - ({"return_run_details"} if self.enterprise else set())
        complaints = []
        if unknown := [key for key in body if key not in known]:
            named = ", ".join(f'"{key}"' for key in unknown)
            complaints.append(f"{named} {'is not a permitted key' if len(unknown) == 1 else 'are not permitted keys'}.")
        if not isinstance(body.get("ref"), str):
            complaints.append('"ref" wasn\'t supplied.')
        if not isinstance(body.get("inputs", {}), dict):
            complaints.append(f"For 'properties/inputs', {json.dumps(body['inputs'])} is not an object.")
        if complaints:
            raise Refusal(400 if self.enterprise else 422, "Invalid request.\n\n" + "\n".join(complaints))
        return dict(body)

    def _check_dispatch(
        self, repository: FakeRepository, workflow: FakeWorkflow, ref: str, inputs: Mapping[str, Any]
    ) -> None:
        if ref not in repository.refs:
            raise Refusal(422, f"No ref found for: {ref}")
        if workflow.state != "active":
            raise Refusal(422, "Cannot trigger a 'workflow_dispatch' on a disabled workflow")
        if ref not in workflow.branches or "workflow_dispatch" not in workflow.triggers:
            raise Refusal(422, "Workflow does not have 'workflow_dispatch' trigger")
        if len(inputs) > 25:
            raise Refusal(422, "Invalid request.\n\nOnly 25 inputs are allowed.")
        if len(json.dumps(inputs, separators=(",", ":"), ensure_ascii=False)) > MAX_INPUT_CHARACTERS:
            raise Refusal(422, "inputs are too large.")
        if unexpected := [name for name in inputs if name not in workflow.inputs]:
            raise Refusal(422, f"Unexpected inputs provided: {json.dumps(unexpected)}")
        for name, rules in workflow.inputs.items():
            value = inputs.get(name, (rules or {}).get("default"))
            if (rules or {}).get("required") and value in (None, ""):
                raise Refusal(422, f"Required input '{name}' not provided")
            options = (rules or {}).get("options")
            if options and value is not None and value not in options:
                raise Refusal(422, f"Provided value '{value}' for input '{name}' not in the list of allowed values")

    def _list_runs(self, request: Request, match: "re.Match[str]") -> tuple[int, Any]:
        repository = self._repository(request, match)
        workflow = self._workflow(repository, match)
        runs = [run for run in repository.runs if run.workflow is workflow]
        if "branch" in request.args:
            runs = [run for run in runs if run.ref == request.args["branch"]]
        if request.args.get("event", "workflow_dispatch") != "workflow_dispatch":
            runs = []
        if created := request.args.get("created"):
            since, until = map(datetime.fromisoformat, created.split(".."))
            runs = [run for run in runs if since <= run.created_at <= until]
        runs = sorted(runs, key=lambda run: run.id, reverse=True)
        page = [_run(repository, run) for run in runs[: int(request.args.get("per_page", 30))]]
        return 200, {"total_count": len(runs), "workflow_runs": page}

    def _get_run(self, request: Request, match: "re.Match[str]") -> tuple[int, Any]:
        repository = self._repository(request, match)
        return 200, _run(repository, self._run_of(repository, match))

    def _list_jobs(self, request: Request, match: "re.Match[str]") -> tuple[int, Any]:
        run = self._run_of(self._repository(request, match), match)
        jobs = [_job(run, "lint", "success", ["Set up job", "Lint"], "")]
        if run.failed_job:
            steps = ["Set up job", run.failed_step, "Post"]
            jobs.append(_job(run, run.failed_job, run.conclusion, steps, run.failed_step))
        return 200, {"total_count": len(jobs), "jobs": jobs}

    def _workflow(self, repository: FakeRepository, match: "re.Match[str]") -> FakeWorkflow:
        workflow = repository.workflow(match["workflow"])
        if workflow is None or repository.default_branch not in workflow.branches:
            raise Refusal(404, "Not Found")
        return workflow

    def _run_of(self, repository: FakeRepository, match: "re.Match[str]") -> FakeRun:
        for run in repository.runs:
            if str(run.id) == match["run"]:
                return run
        raise Refusal(404, "Not Found")

    # --- The App

    def _app(self, request: Request) -> None:
        """Refuse what is not a JWT of the App by GitHub's rules: RS256, not from the future, ten minutes at most."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            rules: Any = {"require": ["iat", "exp", "iss"], "verify_exp": False, "verify_iat": False}
            claims = jwt.decode(token, self.app_public_key or "", ["RS256"], issuer=self.app_id, options=rules)
        except (jwt.PyJWTError, ValueError):
            raise Refusal(401, "A JSON web token could not be decoded") from None
        now = self._clock().timestamp()
        if not (claims["iat"] <= now < claims["exp"] <= now + 600):
            raise Refusal(401, "'Expiration time' claim ('exp') is too far in the future")

    def _get_installation(self, request: Request, match: "re.Match[str]") -> tuple[int, Any]:
        self._app(request)
        if not any(repository.owner == match["owner"] for repository in self.repositories):
            raise Refusal(404, "Not Found")
        return 200, examples()["installation"] | {"id": self.installation_id}

    def _mint(self, request: Request, match: "re.Match[str]") -> tuple[int, Any]:
        self._app(request)
        if int(match["installation"]) != self.installation_id:
            raise Refusal(404, "Not Found")
        # The newer, longer form: code that expects forty characters fails here.
        token = f"ghs_{self.app_id}_{self.new_id()}_" + "j" * 200
        expires_at = self._clock() + timedelta(hours=1)
        self._app_tokens[token] = expires_at
        return 201, examples()["token"] | {"token": token, "expires_at": f"{expires_at:%Y-%m-%dT%H:%M:%SZ}"}


def _run(repository: FakeRepository, run: FakeRun) -> dict[str, Any]:
    instant = f"{run.created_at:%Y-%m-%dT%H:%M:%SZ}"
    return deepcopy(examples()["run"]) | {
        "id": run.id,
        "name": run.workflow.file,
        "head_branch": run.ref,
        "event": "workflow_dispatch",
        "status": run.status,
        "conclusion": run.conclusion,
        "workflow_id": run.workflow.id,
        "run_attempt": run.attempt,
        "display_title": f"{run.workflow.file} on {run.ref}",
        "html_url": f"https://github.com/{repository.owner}/{repository.name}/actions/runs/{run.id}",
        "created_at": instant,
        "updated_at": instant,
        "run_started_at": instant,
    }


def _job(run: FakeRun, name: str, conclusion: str | None, steps: list[str], failed_step: str) -> dict[str, Any]:
    described = [
        {
            "name": step,
            "status": "completed",
            "conclusion": conclusion if step == failed_step else "success",
            "number": number,
            "started_at": "2026-01-15T12:00:00Z",
            "completed_at": "2026-01-15T12:00:01Z",
        }
        for number, step in enumerate(steps, 1)
    ]
    address = f"https://github.com/octo-org/octo-repo/actions/runs/{run.id}/job/{name}"
    job = {"name": name, "conclusion": conclusion, "steps": described, "html_url": address, "run_id": run.id}
    return deepcopy(examples()["job"]) | job | {"created_at": "2026-01-15T12:00:00Z"}


def _reset(request: Request) -> Response:
    """Close the connection instead of answering, as a dying server does."""
    request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return Response(status=500)
