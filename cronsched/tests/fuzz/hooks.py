"""Loaded into the fuzzer's own process: how it signs in, and what it must not break or reach."""

import json
import os
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
import schemathesis

Case = schemathesis.Case[Any]

ADDRESS = os.environ["FUZZ_ADDRESS"]
CREDENTIALS = json.loads(os.environ["FUZZ_CREDENTIALS"])
# Nothing listens there; a connection is refused at once.
NOWHERE = "127.0.0.1:9"


def sign_in() -> dict[str, Any]:
    answer = requests.post(f"{ADDRESS}/api/v2/auth/login", json=CREDENTIALS, timeout=10)
    answer.raise_for_status()
    return dict(answer.json())


ME = sign_in()


@schemathesis.auth(refresh_interval=None)
class SignIn:
    """One session for everything, except that signing out gets one of its own."""

    def get(self, case: Case, context: schemathesis.AuthContext) -> str:
        signs_out = case.operation.path.endswith("/auth/logout")
        return str((sign_in() if signs_out else ME)["access_token"])

    def set(self, case: Case, data: str, context: schemathesis.AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Keep the account that fuzzes an admin, and every generated address on this machine."""
    if not isinstance(case.body, dict):
        return
    changes_user = case.operation.label == "PUT /api/v2/auth/users/{user_id}"
    if changes_user and case.path_parameters["user_id"] == ME["user"]["id"]:
        for field in ("email", "password", "role", "is_active"):
            case.body.pop(field, None)
    for field, value in case.body.items():
        if isinstance(value, str) and value.lower().startswith(("http://", "https://")):
            case.body[field] = _at_home(value)


def _at_home(address: str) -> str:
    try:
        return urlunsplit(urlsplit(address)._replace(netloc=NOWHERE))
    except ValueError:
        # No address after all, so nobody will go there.
        return address
