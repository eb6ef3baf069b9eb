"""The base of all endpoints. Apart from `cronsched.api.errors`, which DRF imports while its views are being defined."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from rest_framework import exceptions, viewsets
from rest_framework.request import Request

from cronsched.account_rates import WRITES, count
from cronsched.lib.errors import Forbidden

# Open to an API token of whatever scope.
ANY_SCOPE = "any"
# Actions that change nothing have no rate.
QUESTIONS = None


class APIViewSet(viewsets.ViewSet):
    """Endpoints of one kind of thing.

    A method the path does not have is 405 for everybody; DRF would ask for the role first, and answer 403 to some.
    """

    # Without "options": preflights are answered by the CORS middleware, and DRF's self-description is not offered.
    http_method_names = ["get", "post", "put", "patch", "delete", "head"]

    # What an API token needs for each action; actions that are not named are never open to one.
    token_scopes: ClassVar[Mapping[str, str]] = {}

    # What an action counts as that is no plain change.
    rate_of: ClassVar[Mapping[str, str | None]] = {}

    def check_permissions(self, request: Request) -> None:
        method = (request.method or "").lower()
        if method not in self.http_method_names or not hasattr(self, method):
            raise exceptions.MethodNotAllowed(method.upper())
        super().check_permissions(request)
        self._check_scope(request)
        self._check_rate(request)

    def _check_rate(self, request: Request) -> None:
        """Refuse an account, or one of its tokens, that has done more of this in a minute than is allowed."""
        kind = self.rate_of.get(self.action or "", None if request.method in ("GET", "HEAD") else WRITES)
        if kind is not None:
            count(kind, *_callers(request))

    def _check_scope(self, request: Request) -> None:
        """Refuse an API token that was not made for this. Sessions have no scopes: they may all that the role may."""
        scopes = getattr(request.auth, "scopes", None)
        if scopes is None:
            return
        needed = self.token_scopes.get(self.action or "")
        if needed is None:
            raise Forbidden("Insufficient scope", "API tokens may not be used here. Sign in instead.")
        if needed not in (ANY_SCOPE, *scopes):
            raise Forbidden("Insufficient scope", f'This token lacks the scope "{needed}".')


def _callers(request: Request) -> Iterator[Any]:
    """Yield what is counted by: the account, and the API token where one is used."""
    if request.user is None or not request.user.is_authenticated:
        return
    if getattr(request.auth, "scopes", None) is not None:
        yield request.auth.pk
    yield request.user.pk
