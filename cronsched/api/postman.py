"""Turn the API's description into a Postman collection (format 2.1), so that both always say the same."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from cronsched.api.openapi import ACCESS_KEY, PUBLIC

FORMAT = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
METHODS = ("get", "post", "put", "delete")
# Every request after the sign-in uses its token, so it comes first; what ends the session comes last.
SIGN_IN, SIGN_OUT = "login", "logout"
SIGN_OUT_FOLDER = "Sign-out"
ANSWERS_TOKENS = {SIGN_IN, "login_by_form", "refresh_tokens"}
# What the examples give by name is given by a variable of the collection, which its user fills in once.
CREDENTIALS = {"username": "{{username}}", "password": "{{password}}", "refresh_token": "{{refresh_token}}"}
KEEP_TOKENS = [
    "if (pm.response.code === 200) {",
    "    const body = pm.response.json();",
    '    pm.collectionVariables.set("access_token", body.access_token);',
    '    pm.collectionVariables.set("refresh_token", body.refresh_token);',
    "}",
]

Json = dict[str, Any]


def collection(description: Mapping[str, Any], *, base_url: str) -> Json:
    """Return the collection: a folder per tag, a request per operation with its examples.

    Run whole, it signs in first and out last; the user's name and password are variables.
    """
    folders = _folders(description)
    first = next((tag for tag, ids in folders.items() if SIGN_IN in ids), "")
    order = sorted(folders, key=lambda tag: (tag != first, tag == SIGN_OUT_FOLDER, tag))
    return {
        "info": {
            "name": description["info"]["title"],
            "description": description["info"].get("description", ""),
            "version": description["info"]["version"],
            "schema": FORMAT,
        },
        "auth": _bearer("{{access_token}}"),
        "variable": [
            {"key": "base_url", "value": base_url},
            {"key": "username", "value": ""},
            {"key": "password", "value": "", "type": "secret"},
            {"key": "access_token", "value": ""},
            {"key": "refresh_token", "value": ""},
        ],
        "item": [{"name": tag, "item": _in_order(folders[tag])} for tag in order],
    }


def _folders(description: Mapping[str, Any]) -> dict[str, dict[str, Json]]:
    """Return the requests of each folder by their operation."""
    folders: defaultdict[str, dict[str, Json]] = defaultdict(dict)
    for path, methods in description["paths"].items():
        for method in METHODS:
            if operation := methods.get(method):
                name = operation["operationId"]
                folder = SIGN_OUT_FOLDER if name == SIGN_OUT else operation["tags"][0]
                folders[folder][name] = _item(method, path, operation, description["components"])
    return folders


def _in_order(items: Mapping[str, Json]) -> list[Json]:
    return [items[name] for name in sorted(items, key=lambda name: name != SIGN_IN)]


def _bearer(token: str) -> Json:
    return {"type": "bearer", "bearer": [{"key": "token", "value": token, "type": "string"}]}


def _item(method: str, path: str, operation: Mapping[str, Any], components: Mapping[str, Any]) -> Json:
    request: Json = {
        "method": method.upper(),
        "description": operation["description"],
        "url": _url(path, operation.get("parameters", [])),
        "header": [],
    }
    if operation[ACCESS_KEY] == PUBLIC:
        request["auth"] = {"type": "noauth"}
    answers_tokens = operation["operationId"] in ANSWERS_TOKENS
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        request |= _body(media_type, _with_credentials(content) if answers_tokens else content, components)
    item: Json = {"name": operation["summary"], "request": request, "response": _answers(operation, request)}
    if answers_tokens:
        item["event"] = [{"listen": "test", "script": {"type": "text/javascript", "exec": KEEP_TOKENS}}]
    return item


def _with_credentials(content: Json) -> Json:
    """Return the content of a body whose first example takes its credentials from the collection's variables."""
    name, example = next(iter(content["examples"].items()))
    value = {key: CREDENTIALS.get(key, given) for key, given in example["value"].items()}
    return {**content, "examples": {name: {**example, "value": value}}}


def _url(path: str, parameters: list[Json]) -> Json:
    path = re.sub(r"\{(\w+)\}", r":\1", path)
    in_path = [parameter for parameter in parameters if parameter["in"] == "path"]
    in_query = [parameter for parameter in parameters if parameter["in"] == "query"]
    return {
        "raw": "{{base_url}}" + path,
        "host": ["{{base_url}}"],
        "path": path.strip("/").split("/"),
        "variable": [_pair(parameter) for parameter in in_path],
        # Switched off, so that a request works as it stands.
        "query": [{**_pair(parameter), "disabled": True} for parameter in in_query],
    }


def _pair(parameter: Json) -> Json:
    value = parameter["schema"].get("default", "")
    shown = value if isinstance(value, str) else json.dumps(value)
    return {"key": parameter["name"], "value": shown, "description": parameter.get("description", "")}


def _body(media_type: str, content: Json, components: Mapping[str, Any]) -> Json:
    """Return the request's body and, for JSON, the header that goes with it. Postman sets those of forms itself."""
    shown = [example["value"] for example in content.get("examples", {}).values()]
    example: Json = shown[0] if shown else {}
    match media_type:
        case "multipart/form-data":
            form = components["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
            parts = [_part(name, field, example) for name, field in form["properties"].items()]
            return {"body": {"mode": "formdata", "formdata": parts}}
        case "application/x-www-form-urlencoded":
            pairs = [{"key": name, "value": str(value), "type": "text"} for name, value in example.items()]
            return {"body": {"mode": "urlencoded", "urlencoded": pairs}}
    text = json.dumps(example, indent=2, ensure_ascii=False)
    return {
        "header": [{"key": "Content-Type", "value": media_type}],
        "body": {"mode": "raw", "raw": text, "options": {"raw": {"language": "json"}}},
    }


def _part(name: str, field: Json, example: Json) -> Json:
    shown = {"key": name, "description": field.get("description", ""), "disabled": name not in example}
    if field.get("format") == "binary":
        return {**shown, "type": "file", "src": []}
    return {**shown, "type": "text", "value": str(example.get(name, ""))}


def _answers(operation: Mapping[str, Any], request: Json) -> list[Json]:
    """Return the documented answers as saved examples; those every operation shares are left out."""
    return [
        _answer(status, response["description"], example, request)
        for status, response in operation["responses"].items()
        for content in response.get("content", {}).values()
        for example in content["examples"].values()
    ]


def _answer(status: str, description: str, example: Json, request: Json) -> Json:
    return {
        "name": f"{status} {example.get('summary') or description}",
        "originalRequest": request,
        "code": int(status),
        "status": HTTPStatus(int(status)).phrase,
        "_postman_previewlanguage": "json",
        "header": [{"key": "Content-Type", "value": "application/json"}],
        "body": json.dumps(example["value"], indent=2, ensure_ascii=False),
    }
