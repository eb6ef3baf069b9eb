"""What happens to every request before Django looks for its view."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

Handler = Callable[[HttpRequest], HttpResponseBase]


class SlashlessAPI:
    """Serve the slash form of every API path as the canonical one. A redirect would lose the body of a POST."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        if path.startswith("/api/") and path.endswith("/"):
            request.path_info = path.removesuffix("/")
        return self.get_response(request)
