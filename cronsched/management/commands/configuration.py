"""`manage.py configuration`: docs/configuration.md, made from `.env.example`.

Names and defaults of that file are compared with the settings by a test; another one checks that the page is what this
writes.
"""

import re
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

SOURCE, PAGE = settings.BASE_DIR / ".env.example", settings.BASE_DIR / "docs" / "configuration.md"
HEAD = """\
# Configuration

Made by `manage.py configuration` from [`.env.example`](../.env.example): change that, not this page.

All settings come from the environment of the processes or from `.env`; the environment wins. A blank value counts as
absent. A value that cannot be understood stops the start with one line that names the variable. true/false may be
written 1/0, yes/no, on/off; lists are separated by commas. `ENV_FILE`, only in the environment, names another file than
`.env`.
"""
NOTHING = "\N{EN DASH}"
SECTION = re.compile(r"# --- (.+?) -+")
SETTING = re.compile(r"#([A-Z][A-Z0-9_]*)=(.*)")


def page(text: str) -> str:
    """Return the page for the `text` of `.env.example`."""
    lines = [HEAD.rstrip()]
    words: list[str] = []
    in_table = False
    for line in text[text.index("# --- ") :].splitlines():
        if section := SECTION.fullmatch(line):
            lines += ["", f"## {section[1]}", "", "| setting | default | what it does |", "|---|---|---|"]
            words, in_table = [], False
        elif setting := SETTING.fullmatch(line):
            name, default = setting[1], setting[2]
            # What stands above several settings stands beside the first of them.
            what = _cell(" ".join(words)) if words else ("″" if in_table else "")
            lines.append(f"| `{name}` | {f'`{default}`' if default else NOTHING} | {what} |")
            words, in_table = [], True
        elif line.startswith("# "):
            words.append(line.removeprefix("# "))
        elif not line:
            words, in_table = [], False
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


class Command(BaseCommand):
    help = "Write docs/configuration.md, or the file named, from .env.example."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--file", type=Path, default=PAGE, help="Where to write.")

    def handle(self, *args: Any, **options: Any) -> None:
        options["file"].write_text(page(SOURCE.read_text(encoding="utf-8")), encoding="utf-8")
