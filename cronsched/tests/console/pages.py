"""Reading the console's pages and filling in their forms as a browser does."""

from html.parser import HTMLParser
from typing import Any

from django.contrib.messages import get_messages
from django.test import Client


class FormReader(HTMLParser):
    """Collects what a browser would send of the page's form (`_form` behind the model's name)."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self._inside = False
        self._select = self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self._inside = (given.get("id") or "").endswith("_form")
        if not self._inside:
            return
        name = given.get("name") or ""
        match tag:
            case "input" if name and given.get("type") not in ("submit", "button"):
                self._input(name, given)
            case "select":
                self._select = name
            case "option" if self._select and ("selected" in given or self._select not in self.values):
                self.values[self._select] = given.get("value") or ""
            case "textarea":
                self._text = name
                self.values[name] = ""

    def _input(self, name: str, given: dict[str, str | None]) -> None:
        if given.get("type") not in ("checkbox", "radio"):
            self.values[name] = given.get("value") or ""
        elif "checked" in given:
            self.values[name] = given.get("value") or "on"

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        if tag == "select":
            self._select = ""
        if tag == "textarea":
            # A browser leaves the line break after the tag away, and sends the others as CR LF.
            text = self.values[self._text].removeprefix("\r\n").removeprefix("\n")
            self.values[self._text] = text.replace("\r\n", "\n").replace("\n", "\r\n")
            self._text = ""

    def handle_data(self, data: str) -> None:
        if self._text:
            self.values[self._text] += data


def shown(client: Client, address: str) -> dict[str, Any]:
    """Load a page and return what its form would send untouched."""
    response = client.get(address)
    assert response.status_code == 200, response
    reader = FormReader()
    reader.feed(response.content.decode())
    return reader.values


def sent(values: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the values of a form after somebody has changed some; None takes a tick away."""
    return {name: value for name, value in {**values, **changes}.items() if value is not None}


def submit(client: Client, address: str, **changes: Any) -> Any:
    """Load a form, change some fields and save it."""
    return client.post(address, sent(shown(client, address), **changes))


def said(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def errors_of(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200, "the form was accepted"
    return response.context["adminform"].form.errors
