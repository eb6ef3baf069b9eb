import json
from urllib.parse import urlencode

import pytest
from django.core.management import CommandError, call_command

from accounts.tests.factories import make_user
from cronsched.api.documents import description


@pytest.fixture
def collection(tmp_path, capsys):
    file = tmp_path / "collection.json"
    call_command("postman", output=file, base_url="https://cron.example.com/")
    return json.loads(file.read_text())


def folder_of(operation):
    return "Sign-out" if operation["operationId"] == "logout" else operation["tags"][0]


def requests_of(collection):
    return {item["name"]: item for folder in collection["item"] for item in folder["item"]}


def test_every_operation_is_one_request_in_the_folder_of_its_tag(collection):
    described = {
        (folder_of(operation), operation["summary"], method.upper())
        for methods in description()["paths"].values()
        for method, operation in methods.items()
    }
    collected = {
        (folder["name"], item["name"], item["request"]["method"])
        for folder in collection["item"]
        for item in folder["item"]
    }
    assert collected == described


def test_requests_go_to_the_chosen_address_with_the_token_of_the_sign_in(collection):
    variables = {variable["key"]: variable["value"] for variable in collection["variable"]}
    assert variables["base_url"] == "https://cron.example.com"
    assert collection["auth"]["bearer"][0]["value"] == "{{access_token}}"
    sign_in = requests_of(collection)["Sign in"]
    assert sign_in["request"]["auth"] == {"type": "noauth"}
    assert any('set("access_token"' in line for line in sign_in["event"][0]["script"]["exec"])


def test_a_request_brings_its_parameters_and_its_body(collection):
    request = requests_of(collection)["Update a category"]["request"]
    assert request["url"]["raw"] == "{{base_url}}/api/v2/job-categories/:label_id"
    assert [variable["key"] for variable in request["url"]["variable"]] == ["label_id"]
    assert json.loads(request["body"]["raw"]) == {"name": "Maintenance"}
    query = requests_of(collection)["List executions"]["request"]["url"]["query"]
    assert {"key": "limit", "value": "20"}.items() <= next(part for part in query if part["key"] == "limit").items()
    assert all(part["disabled"] for part in query)


def test_an_upload_is_a_form_with_a_file(collection):
    upload = requests_of(collection)["Create jobs from a CSV file"]["request"]["body"]
    assert {part["key"]: part["type"] for part in upload["formdata"]}["file"] == "file"


def test_a_request_shows_its_documented_answers(collection):
    answers = requests_of(collection)["Create a category"]["response"]
    assert {answer["code"] for answer in answers} >= {201, 400, 403, 409}
    assert all(json.loads(answer["body"]) for answer in answers)


def test_the_collection_can_be_piped(capsys):
    call_command("postman")
    assert json.loads(capsys.readouterr().out)["info"]["name"] == "Cron Job Scheduler"


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("postman", output=tmp_path / "missing" / "collection.json")


# They are signed by GitHub, or answer a form of their own.
SIGNED = {"/api/v2/github/webhook"}


def filled(text, variables):
    for name, value in variables.items():
        text = text.replace("{{" + name + "}}", value)
    return text


@pytest.mark.django_db
def test_the_whole_collection_runs_in_its_order(collection, client):
    make_user(username="root", role="admin", password="correct horse")
    variables = {"base_url": "", "username": "root", "password": "correct horse", "access_token": ""}
    refused = []
    for item in (item for folder in collection["item"] for item in folder["item"]):
        request = item["request"]
        path = filled(request["url"]["raw"], variables)
        body = request.get("body", {})
        data = filled(body.get("raw", ""), variables)
        if body.get("mode") == "urlencoded":
            data = urlencode({pair["key"]: filled(pair["value"], variables) for pair in body["urlencoded"]})
        headers = {header["key"].lower(): header["value"] for header in request["header"]}
        kind = headers.get("content-type", "application/x-www-form-urlencoded" if data else "")
        token = "" if request.get("auth") == {"type": "noauth"} else variables["access_token"]
        bearer = {"authorization": f"Bearer {token}"} if token else {}
        response = client.generic(
            request["method"],
            path,
            data,
            content_type=kind,
            headers=bearer,
        )
        if response.status_code == 401 and path not in SIGNED:
            refused.append((item["name"], path, response.content))
        if "event" in item and response.status_code == 200:
            variables |= {name: response.json()[name] for name in ("access_token", "refresh_token")}
    assert refused == []
