"""What happens to every request before Django looks for its view, and to every answer after."""

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from cronsched.api.errors import error_body

Handler = Callable[[HttpRequest], HttpResponseBase]

# Served to people with a browser, by Django's own pages.
PAGES = ("/admin/", "/static/", "/links/")


class HeadsWithoutBodies:
    """Leave the bodies of answers to HEAD away. The server would do so, too, with a warning for each of them."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        # Files are not of this kind: WhiteNoise leaves them away itself.
        if request.method == "HEAD" and isinstance(response, HttpResponse):
            response.headers.setdefault("Content-Length", str(len(response.content)))
            response.content = b""
        return response


class SlashlessPaths:
    """Serve the slash form of every path as the canonical one. A redirect would lose the body of a POST."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        if len(path) > 1 and path.endswith("/") and not path.startswith(PAGES):
            request.path_info = path.removesuffix("/")
        return self.get_response(request)


class JSONErrors:
    """Give errors outside the views the one shape.

    Django answers some refusals (unknown host, and in development every error) with pages of its own. A client of the
    API could not read them, and the development ones show the traceback.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        status = response.status_code
        if status < HTTPStatus.BAD_REQUEST or request.path_info.startswith(PAGES):
            return response
        if response.headers.get("Content-Type", "").startswith("application/json"):
            return response
        kept = {name: response.headers[name] for name in ("Allow", "Retry-After") if name in response.headers}
        return JsonResponse(error_body(status), status=status, headers=kept)
