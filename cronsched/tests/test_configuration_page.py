"""docs/configuration.md is made from `.env.example`, which another test compares with the settings."""

import re

from cronsched.management.commands.configuration import PAGE, SOURCE, page
from cronsched.tests.test_documented_settings import lines_with_a_default


def test_the_page_is_what_the_file_of_settings_makes():
    assert PAGE.read_text(encoding="utf-8") == page(SOURCE.read_text(encoding="utf-8")), "run make configuration"


def test_every_setting_has_a_row_with_its_default():
    rows = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| (?:`(.*?)`|–) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert rows == lines_with_a_default()


def test_marks_of_tables_in_a_text_do_not_break_the_table():
    text = "# --- Web ---\n\n# a | b, * and <c>\n#NAME=x\n#OTHER=\n"
    assert page(text).splitlines()[-2:] == ["| `NAME` | `x` | a \\| b, \\* and &lt;c> |", "| `OTHER` | – | ″ |"]
