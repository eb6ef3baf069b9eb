"""`.env.example` is the only list of settings an operator sees, so it has to be complete and true."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
READERS = ("cronsched/settings.py", "cronsched/lib/db/databases.py")
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{2,}")
# The one names the file itself, and cannot stand in it; the other is systemd's to set.
ELSEWHERE = {"ENV_FILE", "STATE_DIRECTORY"}


def variables_read() -> set[str]:
    """Return the names given to the readers of `cronsched.lib.config.env`: the first argument and the aliases."""
    found = set()
    for module in READERS:
        for node in ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and is_reader(node.func):
                words = [arg.value for arg in node.args[:1] + node.args[2:] if isinstance(arg, ast.Constant)]
                found |= {word for word in words if isinstance(word, str) and VARIABLE.fullmatch(word)}
    return found


def is_reader(function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute):
        return isinstance(function.value, ast.Name) and function.value.id == "env" and function.attr != "BadSetting"
    return isinstance(function, ast.Name) and function.id in {"integer", "text", "flag"}


def lines_with_a_default() -> dict[str, str]:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE))


PRINT_SETTINGS = """
import json, cronsched.settings as settings
values = {name: value for name, value in vars(settings).items() if name.isupper()}
print(json.dumps(values, default=lambda value: type(value).__name__))
"""


def settings_with(env_file: str | Path, **environment: str) -> dict[str, Any]:
    result = subprocess.run(
        [sys.executable, "-c", PRINT_SETTINGS],
        cwd=ROOT,
        env={"SECRET_KEY": "x" * 40, "ENV_FILE": str(env_file), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


def test_every_setting_is_documented_and_nothing_else():
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert variables_read() - ELSEWHERE - set(re.findall(VARIABLE, text)) == set()
    assert set(lines_with_a_default()) - variables_read() == set()


def test_the_documented_defaults_are_the_real_ones(tmp_path):
    spelled_out = tmp_path / "env"
    spelled_out.write_text("".join(f"{name}={value}\n" for name, value in lines_with_a_default().items()))
    assert settings_with(spelled_out) == settings_with(os.devnull)


def test_the_process_environment_wins_over_the_file(tmp_path):
    file = tmp_path / "env"
    file.write_text("SCHEDULER_TIMEZONE=UTC\n")
    assert settings_with(file)["SCHEDULER_TIMEZONE"] == "UTC"
    assert settings_with(file, SCHEDULER_TIMEZONE="Europe/Berlin")["SCHEDULER_TIMEZONE"] == "Europe/Berlin"


def test_the_web_process_heeds_what_the_file_says_of_its_port(tmp_path):
    file = tmp_path / "settings.env"
    file.write_text(f"SECRET_KEY={'x' * 40}\nPORT=18473\n")
    file.chmod(0o600)
    environment = {name: value for name, value in os.environ.items() if name not in {"PORT", "SECRET_KEY"}}
    result = subprocess.run(
        [sys.executable, "-c", "import cronsched.settings as s; print(f'{s.BIND_ADDRESS}:{s.PORT}')"],
        cwd=ROOT,
        env={**environment, "ENV_FILE": str(file)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stdout == "127.0.0.1:18473\n", result.stderr
