"""The files under `deploy/`: as far as they can be checked without a container engine and without root's rights."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from cronsched.tests.processes import ROOT

DEPLOY = Path(ROOT) / "deploy"
UNITS = ("web", "scheduler", "worker")
COMMANDS = {
    "manage.py serve",
    "manage.py runscheduler",
    "manage.py migrate",
    "-m celery -A cronsched worker --pool=threads",
}


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@pytest.mark.parametrize("profile", ["sqlite", "postgres", "mariadb", "celery"])
def test_each_profile_has_web_and_scheduler_on_the_same_database_after_its_migrations(compose, profile):
    services = {name: found for name, found in compose["services"].items() if profile in found["profiles"]}
    web, scheduler = services[f"web-{profile}"], services[f"scheduler-{profile}"]
    assert web["environment"] == scheduler["environment"] == services[f"migrate-{profile}"]["environment"]
    assert "healthcheck" in web
    for service in (web, scheduler):
        assert service["depends_on"] == {f"migrate-{profile}": {"condition": "service_completed_successfully"}}


def test_compose_names_only_what_there_is(compose):
    for service in compose["services"].values():
        assert set(service.get("depends_on", {})) <= set(compose["services"])
        volumes = [volume.split(":")[0] for volume in service.get("volumes", [])]
        assert set(volumes) <= set(compose["volumes"])
        if service["image"] == "cronsched":
            assert service["command"][0] == "python"
            assert " ".join(service["command"][1:]) in COMMANDS
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_the_image_is_built_in_two_stages_and_runs_without_roots_rights():
    text = (DEPLOY / "Containerfile").read_text()
    first, last = re.split(r"^FROM .*$", text, flags=re.MULTILINE)[1:]
    assert "build-essential" in first
    assert "build-essential" not in last
    assert re.search(r"^USER cronsched$", last, re.MULTILINE)
    for source in re.findall(r"^COPY (requirements.*) \./$", text, re.MULTILINE)[0].split():
        assert (Path(ROOT) / source).is_file()


@pytest.mark.parametrize("name", UNITS)
def test_systemd_accepts_the_unit(name, tmp_path):
    text = (DEPLOY / f"cronsched-{name}.service").read_text()
    command = re.search(r"^ExecStart=/opt/cronsched/\.venv/bin/python (.+)$", text, re.MULTILINE)
    assert command[1] in COMMANDS
    if shutil.which("systemd-analyze") is None:
        return
    # Whether the program is there is the host's affair.
    unit = tmp_path / f"cronsched-{name}.service"
    unit.write_text(text.replace("/opt/cronsched/.venv/bin/python", shutil.which("true")))
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert str(unit.name) not in verified.stderr, verified.stderr


def test_each_alert_of_prometheus_is_tested():
    rules = yaml.safe_load((DEPLOY / "prometheus-rules.yml").read_text())["groups"][0]["rules"]
    tests = yaml.safe_load((DEPLOY / "prometheus-rules.test.yml").read_text())["tests"]
    asked = [case for test in tests for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in rules}
    assert {case["alertname"] for case in asked if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in asked if not case["exp_alerts"]} == alerts


@pytest.mark.parametrize(("act", "name"), [("check", "prometheus-rules.yml"), ("test", "prometheus-rules.test.yml")])
def test_promtool_accepts_the_rules(act, name):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is missing; Debian's package prometheus has it")
    done = subprocess.run(["promtool", act, "rules", name], cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
