"""JSON as it may come in: the same for every door, and nothing that a database could not store."""

import json
from typing import Any

from cronsched.lib.errors import DomainError

# Deeper than any real document. MariaDB takes no JSON of more than 31 levels, and what is stored may wrap what came.
MAX_JSON_DEPTH = 24


def parse_json(raw: bytes | str) -> Any:
    """Parse JSON strictly: UTF-8, no NaN, no duplicate keys, no NUL, at most `MAX_JSON_DEPTH` levels deep.

    A byte order mark in front is left out: editors on Windows write one.
    """
    try:
        text = raw.decode("utf-8-sig") if isinstance(raw, bytes) else raw.removeprefix("\ufeff")
        document = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_duplicates)
    except (ValueError, RecursionError) as error:
        raise DomainError("Invalid JSON", _cause(error)) from None
    check_tree(document)
    return document


def _cause(error: Exception) -> str:
    """Return why the parser failed, without repeating what was sent."""
    match error:
        case UnicodeDecodeError():
            return f"Not UTF-8 at byte {error.start}."
        case RecursionError():
            return f"JSON may be at most {MAX_JSON_DEPTH} levels deep."
        case json.JSONDecodeError():
            return f"Not JSON at line {error.lineno}, column {error.colno}: {error.msg}."
    return str(error)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("duplicate keys")
    return document


def check_tree(document: Any) -> None:
    """Raise `DomainError` for a document that is too deep, or holds what no database could store."""
    level = [document]
    for _ in range(MAX_JSON_DEPTH):
        if not level:
            return
        below: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                below.extend(node)
                below.extend(node.values())
            elif isinstance(node, list):
                below.extend(node)
            elif isinstance(node, str) and not _is_storable(node):
                # PostgreSQL cannot store NUL, and no database a lone surrogate.
                raise DomainError("Invalid payload", "Text must not contain NUL or incomplete characters.")
            elif isinstance(node, float) and node in (float("inf"), float("-inf")):
                raise DomainError("Invalid JSON")
        level = below
    raise DomainError("Invalid payload", f"JSON may be at most {MAX_JSON_DEPTH} levels deep.")


def _is_storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
