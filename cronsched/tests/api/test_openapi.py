"""The OpenAPI document says of every operation what a reader needs, and says nothing that is wrong in itself."""

from collections.abc import Iterator
from typing import Any

from openapi_schema_validator import OAS30Validator
from openapi_spec_validator import validate

from cronsched.api.documents import description
from cronsched.api.openapi import ACCESS_KEY, ADMIN, PUBLIC, WRITER

Operation = dict[str, Any]


def operations() -> dict[str, Operation]:
    return {
        operation["operationId"]: operation
        for methods in description()["paths"].values()
        for operation in methods.values()
    }


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference inside the document."""
    if "$ref" not in part:
        return part
    found: Any = description()
    for key in part["$ref"].removeprefix("#/").split("/"):
        found = found[key]
    return dict(found)


def contents(operation: Operation) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every body an operation takes or gives, with what it is for."""
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"request, {media_type}", content
    for status, response in operation["responses"].items():
        for content in resolved(response).get("content", {}).values():
            yield status, content


def test_the_document_is_valid_openapi():
    validate(description())


def test_every_operation_is_introduced():
    for name, operation in operations().items():
        assert operation["summary"], name
        assert operation["description"], name
        assert len(operation["tags"]) == 1, name
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (name, parameter["name"])


def test_every_operation_names_the_errors_its_rules_can_give():
    for name, operation in operations().items():
        expected = {"500"}
        access = operation[ACCESS_KEY]
        if access != PUBLIC:
            expected.add("401")
        if access in (WRITER, ADMIN):
            expected.add("403")
        if "requestBody" in operation:
            expected.add("413")
        if any(parameter["in"] == "path" for parameter in operation.get("parameters", [])):
            expected.add("404")
        assert expected <= set(operation["responses"]), name
        assert any(status.startswith("2") for status in operation["responses"]), name


def test_every_body_has_examples_of_its_own_form():
    for name, operation in operations().items():
        for place, content in contents(operation):
            examples = content.get("examples", {})
            assert examples or "multipart" in place, (name, place)
            schema = {**content["schema"], "components": description()["components"]}
            validator = OAS30Validator(schema)
            for title, example in examples.items():
                problems = [error.message for error in validator.iter_errors(example["value"])]
                assert not problems, (name, place, title)
