"""The base of all endpoints. Apart from `cronsched.api.errors`, which DRF imports while its views are being defined."""

from collections.abc import Mapping
from typing import ClassVar

from rest_framework import exceptions, viewsets
from rest_framework.request import Request

from cronsched.lib.errors import Forbidden

# Open to an API token of whatever scope.
ANY_SCOPE = "any"


class APIViewSet(viewsets.ViewSet):
    """Endpoints of one kind of thing.

    A method the path does not have is 405 for everybody; DRF would ask for the role first, and answer 403 to some.
    """

    # Without "options": preflights are answered by the CORS middleware, and DRF's self-description is not offered.
    http_method_names = ["get", "post", "put", "patch", "delete", "head"]

    # What an API token needs for each action; actions that are not named are never open to one.
    token_scopes: ClassVar[Mapping[str, str]] = {}

    def check_permissions(self, request: Request) -> None:
        method = (request.method or "").lower()
        if method not in self.http_method_names or not hasattr(self, method):
            raise exceptions.MethodNotAllowed(method.upper())
        super().check_permissions(request)
        self._check_scope(request)

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
