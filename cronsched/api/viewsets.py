"""The base of all endpoints. Apart from `cronsched.api.errors`, which DRF imports while its views are being defined."""

from rest_framework import exceptions, viewsets
from rest_framework.request import Request


class APIViewSet(viewsets.ViewSet):
    """Endpoints of one kind of thing.

    A method the path does not have is 405 for everybody; DRF would ask for the role first, and answer 403 to some.
    """

    # Without "options": preflights are answered by the CORS middleware, and DRF's self-description is not offered.
    http_method_names = ["get", "post", "put", "patch", "delete", "head"]

    def check_permissions(self, request: Request) -> None:
        method = (request.method or "").lower()
        if method not in self.http_method_names or not hasattr(self, method):
            raise exceptions.MethodNotAllowed(method.upper())
        super().check_permissions(request)
