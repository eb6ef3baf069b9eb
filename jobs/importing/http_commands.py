"""Read a command line of `curl` or `wget` as the request that it sends."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

FORM_TYPE = "application/x-www-form-urlencoded"
# Headers whose value gives access.
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key", "x-auth-token"})


class NotUnderstood(Exception):
    """Why a command cannot become a job."""


@dataclass
class Call:
    """A request, in the fields of a job."""

    program: str = ""
    url: str = ""
    method: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    timeout_seconds: int | None = None
    attempts: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What a caller of the API would send besides the URL; secrets apart from the rest."""
        secret = {name: text for name, text in self.headers.items() if name.lower() in SECRET_HEADERS}
        plain = {name: text for name, text in self.headers.items() if name not in secret}
        document = _document(self.body)
        if document is not None:
            plain = {name: text for name, text in plain.items() if name.lower() != "content-type"}
        sent = {
            "webhook_method": None if self.method == ("POST" if self.body else "GET") else self.method,
            "webhook_headers": plain,
            "secret_headers": secret,
            "webhook_body": None if document is not None else self.body,
            "metadata": document,
            "timeout_seconds": self.timeout_seconds,
            "max_attempts": self.attempts,
        }
        return {name: value for name, value in sent.items() if value not in (None, "", {})}


def read_call(words: list[str]) -> Call:
    """Return the request of a command. Raises `NotUnderstood` for anything that is not certain."""
    program = PurePosixPath(words[0]).name if words else ""
    readers = {"curl": CURL, "wget": WGET}
    if program not in readers:
        raise NotUnderstood(f"The command is {program or 'blank'}, not curl or wget.")
    call = Call(program)
    _apply(call, readers[program], words[1:])
    if not call.url:
        raise NotUnderstood("It calls no address.")
    if urlsplit(call.url).scheme not in {"http", "https"}:
        call.url = f"http://{call.url}"
    call.method = call.method or ("POST" if call.body else "GET")
    if call.body and not any(name.lower() == "content-type" for name in call.headers):
        call.headers["Content-Type"] = FORM_TYPE
    return call


Set = Callable[[Call, str], None]


@dataclass(frozen=True)
class Options:
    """What the options of a program do to a call. `idle` ones change nothing that a job could say."""

    with_value: dict[str, Set]
    idle_flags: frozenset[str]
    idle_values: frozenset[str]
    short_with_value: str
    flags: dict[str, Set] = field(default_factory=dict)


def _apply(call: Call, options: Options, words: list[str]) -> None:
    waiting = iter(words)
    for word in waiting:
        for name, value in _split(word, options, waiting):
            _set(call, options, name, value)


def _split(word: str, options: Options, waiting: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield the options of a word, each with its value; an address goes by the name `url`."""
    if not word.startswith("-") or word == "-":
        yield "url", word
        return
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        takes_value = name in options.with_value or name in options.idle_values
        yield name, value if equals or not takes_value else next(waiting, "")
        return
    for place, letter in enumerate(word[1:], start=1):
        if letter in options.short_with_value:
            yield f"-{letter}", word[place + 1 :] or next(waiting, "")
            return
        yield f"-{letter}", ""


def _set(call: Call, options: Options, name: str, value: str) -> None:
    if name == "url":
        _set_url(call, value)
    elif name in options.with_value:
        options.with_value[name](call, value)
    elif name in options.flags:
        options.flags[name](call, value)
    elif name not in options.idle_flags and name not in options.idle_values:
        raise NotUnderstood(f"The option {name} has no counterpart here.")


def _set_url(call: Call, value: str) -> None:
    if call.url:
        raise NotUnderstood("It calls more than one address.")
    call.url = value


def _set_method(call: Call, value: str) -> None:
    call.method = value.upper()


def _set_header(call: Call, value: str) -> None:
    name, colon, text = value.partition(":")
    if not colon or not text.strip():
        raise NotUnderstood(f"The header {name!r} has no value.")
    call.headers[name.strip()] = text.strip()


def _add_data(call: Call, value: str) -> None:
    if value.startswith("@"):
        raise NotUnderstood(f"Its body stands in the file {value[1:]}.")
    call.body = f"{call.body}&{value}" if call.body else value


def _add_raw(call: Call, value: str) -> None:
    call.body = f"{call.body}&{value}" if call.body else value


def _add_json(call: Call, value: str) -> None:
    _add_data(call, value)
    call.headers.setdefault("Content-Type", "application/json")
    call.headers.setdefault("Accept", "application/json")


def _set_user(call: Call, value: str) -> None:
    call.headers["Authorization"] = f"Basic {base64.b64encode(value.encode()).decode()}"


def _set_timeout(call: Call, value: str) -> None:
    try:
        call.timeout_seconds = max(1, round(float(value)))
    except (ValueError, OverflowError):
        raise NotUnderstood(f"The time {value!r} is no number of seconds.") from None


def _set_retries(call: Call, value: str) -> None:
    if not value.isascii() or not value.isdigit():
        raise NotUnderstood(f"{value!r} is no number of attempts.")
    call.attempts = min(20, int(value) + 1)


def _set_tries(call: Call, value: str) -> None:
    _set_retries(call, value)
    call.attempts = max(1, (call.attempts or 1) - 1)


def _drop_output(_: Call, value: str) -> None:
    if value not in {"/dev/null", "-"}:
        raise NotUnderstood(f"It writes what comes back into {value}.")


def _header(name: str) -> Set:
    return lambda call, value: _set_header(call, f"{name}: {value}")


def _method(name: str) -> Set:
    return lambda call, _: _set_method(call, name)


CURL = Options(
    with_value={
        **dict.fromkeys(("-X", "--request"), _set_method),
        **dict.fromkeys(("-H", "--header"), _set_header),
        **dict.fromkeys(("-d", "--data", "--data-ascii", "--data-binary"), _add_data),
        "--data-raw": _add_raw,
        "--json": _add_json,
        **dict.fromkeys(("-o", "--output"), _drop_output),
        **dict.fromkeys(("-u", "--user"), _set_user),
        **dict.fromkeys(("-A", "--user-agent"), _header("User-Agent")),
        **dict.fromkeys(("-e", "--referer"), _header("Referer")),
        **dict.fromkeys(("-m", "--max-time"), _set_timeout),
        "--retry": _set_retries,
        "--url": _set_url,
        "--oauth2-bearer": lambda call, value: _set_header(call, f"Authorization: Bearer {value}"),
    },
    idle_flags=frozenset(
        {
            "-s",
            "--silent",
            "-S",
            "--show-error",
            "-f",
            "--fail",
            "--fail-with-body",
            "-v",
            "--verbose",
            "-i",
            "--include",
            "-g",
            "--globoff",
            "-4",
            "-6",
            "--compressed",
            "-#",
            "--progress-bar",
            "--no-progress-meter",
            "--retry-connrefused",
            "--no-buffer",
            "-N",
            "--http1.1",
            "--http2",
            "--tlsv1.2",
        }
    ),
    idle_values=frozenset({"-w", "--write-out", "--connect-timeout", "--retry-delay", "--retry-max-time"}),
    short_with_value="XHduAemow",
    flags=dict.fromkeys(("-I", "--head"), _method("HEAD")),
)
WGET = Options(
    with_value={
        "--method": _set_method,
        "--header": _set_header,
        **dict.fromkeys(("--post-data", "--body-data"), _add_raw),
        **dict.fromkeys(("-O", "--output-document", "-o", "--output-file", "-a", "--append-output"), _drop_output),
        **dict.fromkeys(("-U", "--user-agent"), _header("User-Agent")),
        **dict.fromkeys(("-T", "--timeout"), _set_timeout),
        **dict.fromkeys(("-t", "--tries"), _set_tries),
    },
    idle_flags=frozenset(
        {"-q", "--quiet", "-v", "--verbose", "-nv", "--no-verbose", "-4", "-6", "-S", "--server-response", "--no-cache"}
    ),
    idle_values=frozenset({"--waitretry"}),
    short_with_value="UTtOoa",
    flags={"--spider": _method("HEAD")},
)


def _document(body: str) -> dict[str, Any] | None:
    """Return a body that is a JSON object: it becomes the metadata, where it can be edited."""
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
