"""Documents deeper than Python's own stack are refused like any other that cannot be read.

Each is read in a process of its own: a RecursionError leaves older interpreters (CPython before 3.11.4) with a wrong
count of their own depth, which they take out on whatever is compiled next.
"""

import os
import subprocess
import sys

import pytest

from cronsched.tests.processes import ROOT

SETUP = "import django; django.setup()\n"
API = """
from cronsched.lib.input.strict_json import parse_json
from cronsched.lib.errors import DomainError
try:
    parse_json(b"[" * 100_000)
except DomainError as error:
    print(error.error, error.message)
"""
EVENT = """
from jobs.github.events import run_event
print(run_event(b"[" * 100_000))
"""
TEMPLATE = """
from jobs.executors.template import _is_json
print(_is_json("[" * 100_000))
"""
ANSWER = """
from cronsched.lib.http.messages import Response
from jobs.github.api import json_of
print(json_of(Response(200, body=b"[" * 100_000)))
"""
WORKFLOW = """
import base64, json
from cronsched.lib.http.messages import Response
from jobs.github.check import _workflow_file
body = json.dumps({"content": base64.b64encode(b"[" * 5000).decode()}).encode()
print(_workflow_file(Response(200, body=body)))
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        pytest.param(API, "Invalid JSON JSON may be at most 24 levels deep.\n", id="a call of the API"),
        pytest.param(EVENT, "None\n", id="an event of GitHub"),
        pytest.param(TEMPLATE, "False\n", id="a body with placeholders"),
        pytest.param(ANSWER, "{}\n", id="an answer of GitHub"),
        pytest.param(WORKFLOW, "None\n", id="a workflow"),
    ],
)
def test_a_document_deeper_than_the_stack_is_refused(code, said):
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "cronsched.settings"}
    done = subprocess.run(
        [sys.executable, "-c", SETUP + code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, said), done.stderr
