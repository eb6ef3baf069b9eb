"""Checks whether a workflow could be started now, before the night in which it has to."""

import base64
import binascii
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPMethod, HTTPStatus
from typing import Any
from urllib.parse import urlencode

import yaml
from yaml.composer import Composer, ComposerError
from yaml.constructor import SafeConstructor
from yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent
from yaml.nodes import ScalarNode
from yaml.resolver import Resolver

from cronsched.lib.http import RequestError, Response
from jobs.executors.base import Finding, storable
from jobs.github.api import json_of, rate_limit_wait
from jobs.github.client import GitHub
from jobs.github.credentials import CredentialsMissing
from jobs.github.dispatch import REDIRECTS, GitHubRequest, spellings
from jobs.github.inputs import input_problems

# Workflow files may have 512 KB, which base64 and JSON make a third longer.
MAX_BYTES = 1024 * 1024
# Of what is read of a file. A thousand triggers and inputs are fewer, and a node takes more than half a kilobyte.
MAX_NODES = 10_000
MAX_DIGITS = 100
# The parser's time grows with the square of the depth.
MAX_NESTING = 200
# YAML 1.1 reads the bare word `on` as true.
TRIGGER_KEYS = frozenset({"on", "true"})
# In Python half a megabyte takes ten seconds, in C a moment.
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

STATES = {
    "disabled_inactivity": "GitHub disabled the workflow because the repository had no activity for 60 days.",
    "disabled_manually": "The workflow was disabled manually on GitHub.",
    "disabled_fork": "The workflow is disabled because the repository is a fork.",
    "deleted": "The workflow was deleted.",
}


class _Stop(Exception):
    """Nothing further can be checked."""

    def __init__(self, code: str, message: str, *, conclusive: bool = True) -> None:
        super().__init__(message)
        self.finding = Finding(code, message, conclusive=conclusive)


@dataclass(frozen=True, slots=True)
class GitHubCheck:
    """Checks with reading calls only; nothing is started."""

    github: GitHub

    def run(self, request: GitHubRequest, *, now: datetime, timeout: timedelta) -> list[Finding]:
        """Return what would keep the dispatch from working, empty where nothing was found."""
        ends_at = time.monotonic() + timeout.total_seconds()
        findings: list[Finding] = []
        try:
            for finding in self._findings(request, now, ends_at):
                findings.append(finding)  # noqa: PERF402 (what was found before a stop counts)
        except _Stop as stop:
            findings.append(stop.finding)
        except CredentialsMissing as missing:
            findings.append(Finding("no_credentials", f"{missing}."))
        except RequestError as error:
            findings.append(Finding("unreachable", f"GitHub could not be asked: {error.reason}.", conclusive=False))
        return findings

    def _findings(self, request: GitHubRequest, now: datetime, ends_at: float) -> Iterator[Finding]:
        yield from (Finding("inputs", problem) for problem in input_problems(request.inputs))
        repository = self._read(request, now, ends_at, what="repository")
        if repository is None:
            message = f"Repository {request.owner}/{request.repo} does not exist or the token may not read it."
            raise _Stop("repository_not_found", message)
        yield from _repository_findings(repository)
        workflow = self._workflow(request, now, ends_at)
        if workflow.get("state") != "active":
            state = str(workflow.get("state"))
            yield Finding("workflow_disabled", STATES.get(state, f"The workflow is not active but {storable(state)}."))
        yield from self._file_findings(request, str(workflow.get("path") or ""), now, ends_at)

    def _workflow(self, request: GitHubRequest, now: datetime, ends_at: float) -> Mapping[str, Any]:
        for spelling in spellings(request):
            found = self._read(request, now, ends_at, "actions", "workflows", spelling.workflow, what="workflow")
            if found is not None:
                return found
        message = f"Workflow {request.workflow} does not exist on the default branch of {request.owner}/{request.repo}."
        raise _Stop("workflow_not_found", message)

    def _file_findings(self, request: GitHubRequest, path: str, now: datetime, ends_at: float) -> Iterator[Finding]:
        query = "?" + urlencode({"ref": request.ref})
        answer = self._get(request, ends_at, "contents", *path.split("/"), query=query)
        if answer.status == HTTPStatus.NOT_FOUND:
            if "no commit found for the ref" in str(json_of(answer).get("message", "")).lower():
                yield Finding("ref_not_found", f"There is no branch or tag {request.ref}.")
            else:
                yield Finding("workflow_not_on_ref", f"{path} does not exist on {request.ref}.")
            return
        _judge(answer, now, what="workflow file")
        yield from trigger_findings(_workflow_file(answer), request.inputs, ref=request.ref)

    def _read(
        self, request: GitHubRequest, now: datetime, ends_at: float, *segments: str, what: str
    ) -> Mapping[str, Any] | None:
        answer = self._get(request, ends_at, *segments)
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        _judge(answer, now, what=what)
        return json_of(answer)

    def _get(self, request: GitHubRequest, ends_at: float, *segments: str, query: str = "") -> Response:
        return self.github.send(
            HTTPMethod.GET, request.repository, *segments, query=query, ends_at=ends_at, max_body=MAX_BYTES
        )


def trigger_findings(workflow: Any, inputs: Mapping[str, Any], *, ref: str) -> Iterator[Finding]:
    """Yield what in a parsed workflow file keeps it from being dispatched with `inputs`."""
    if not isinstance(workflow, dict):
        yield Finding("workflow_unreadable", f"The workflow file on {ref} is no valid YAML mapping.")
        return
    triggers = workflow.get("on", workflow.get(True))
    triggers = triggers if isinstance(triggers, str | list | dict) else []
    names = {triggers} if isinstance(triggers, str) else {name for name in triggers if isinstance(name, str)}
    if "workflow_dispatch" not in names:
        yield Finding("no_dispatch_trigger", f"The workflow has no workflow_dispatch trigger on {ref}.")
        return
    options = triggers.get("workflow_dispatch") if isinstance(triggers, dict) else None
    declared = options.get("inputs") if isinstance(options, dict) else None
    yield from _input_findings(declared if isinstance(declared, dict) else {}, inputs)


def _input_findings(declared: Mapping[Any, Any], given: Mapping[str, Any]) -> Iterator[Finding]:
    if unexpected := sorted(set(given) - {str(name) for name in declared}):
        yield Finding("unexpected_inputs", f"The workflow declares no input {_some(unexpected)}.")
    for name, options in declared.items():
        rules = options if isinstance(options, dict) else {}
        value = given.get(str(name))
        if value in (None, ""):
            if rules.get("required") is True and rules.get("default") in (None, ""):
                yield Finding("input_missing", f"The workflow requires the input {name}.")
        elif rules.get("type") == "choice" and isinstance(rules.get("options"), list):
            allowed = [str(option) for option in rules["options"] if not isinstance(option, list | dict)]
            if str(value) not in allowed:
                yield Finding("input_not_allowed", f"The input {name} must be one of {_some(allowed)}.")


def _some(names: list[str]) -> str:
    """Return the first names, in one line of bounded length however many and long they are."""
    return ", ".join(name[:200] for name in names[:100])[:200]


def _repository_findings(repository: Mapping[str, Any]) -> Iterator[Finding]:
    if repository.get("archived") is True:
        yield Finding("repository_archived", "The repository is archived; archived repositories run no workflows.")
    if repository.get("disabled") is True:
        yield Finding("repository_disabled", "The repository is disabled.")
    permissions = repository.get("permissions")
    if isinstance(permissions, dict) and permissions.get("push") is False:
        yield Finding("no_write_access", "The token may read the repository but not start workflows in it.")


def _judge(answer: Response, now: datetime, *, what: str) -> None:
    """Raise _Stop where the answer says nothing about what was asked."""
    if answer.status == HTTPStatus.OK:
        return
    message = storable(str(json_of(answer).get("message", "")), 200)
    if answer.status == HTTPStatus.UNAUTHORIZED:
        raise _Stop("bad_credentials", "GitHub does not accept the token.")
    if answer.status in REDIRECTS:
        raise _Stop("repository_moved", "The repository was renamed or moved; name it by its new name.")
    if rate_limit_wait(answer, now=now) is not None:
        raise _Stop("rate_limited", "GitHub's rate limit is used up; the target was not checked.", conclusive=False)
    if answer.status == HTTPStatus.FORBIDDEN:
        raise _Stop("forbidden", f"The token may not read the {what}: {message}.")
    raise _Stop("unexpected", f"GitHub answered {answer.status} about the {what}.", conclusive=False)


def _workflow_file(answer: Response) -> Any:
    """Return the parsed workflow, None where it cannot be read."""
    told = json_of(answer)
    try:
        text = base64.b64decode(str(told.get("content", "")))
        return _Loader(text).get_single_data()
    except (binascii.Error, yaml.YAMLError, ValueError, RecursionError):
        return None


def _int(loader: SafeConstructor, node: ScalarNode) -> int | str:
    # Python refuses to write a longer one out.
    return loader.construct_yaml_int(node) if len(node.value) <= MAX_DIGITS else str(node.value)


class _Loader(Composer, SafeConstructor, Resolver):
    """A safe loader that reads nothing but the triggers: the file is a user's, and a large one costs hundreds of MB.

    Without merge keys: GitHub knows none, and a small file of them unfolds into gigabytes.
    """

    yaml_constructors = SafeConstructor.yaml_constructors | {"tag:yaml.org,2002:int": _int}

    def __init__(self, text: bytes) -> None:
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self._events = yaml.parse(text, Loader=_PARSER)
        self._next: Any = next(self._events, None)
        self._depth = self._nesting = 0
        self._room = MAX_NODES

    def check_event(self, *kinds: Any) -> bool:
        return self._next is not None and (not kinds or isinstance(self._next, kinds))

    def peek_event(self) -> Any:
        return self._next

    def get_event(self) -> Any:
        event = self._next
        self._nesting += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if self._nesting > MAX_NESTING:
            raise ComposerError(problem="the file is nested too deeply")
        self._next = next(self._events, None)
        return event

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._room -= 1
        if self._room < 0:
            raise ComposerError(problem="the triggers hold too many nodes")
        if self._depth == 1 and isinstance(index, ScalarNode) and index.value not in TRIGGER_KEYS and self._may_skip():
            return self._skipped()
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _may_skip(self) -> bool:
        # What has a name of its own may be meant further down.
        return not isinstance(self._next, AliasEvent) and self._next.anchor is None

    def _skipped(self) -> ScalarNode:
        """Read over a value."""
        around = self._nesting
        while True:
            event = self.get_event()
            if self._nesting == around:
                return ScalarNode("tag:yaml.org,2002:null", "", event.start_mark, event.end_mark)

    def flatten_mapping(self, node: Any) -> None:
        return
