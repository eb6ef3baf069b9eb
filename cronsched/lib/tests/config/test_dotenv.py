import os
from pathlib import Path

import pytest

from cronsched.lib.config import dotenv
from cronsched.lib.config.env import BadSetting


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file for settings. What a test reads from it is gone from the environment afterwards."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr("environ.Env.ENVIRON", os.environ)
    return tmp_path / ".env"


def read(file: Path, content: str | bytes) -> None:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    dotenv.read(file, required=True)


def test_values_comments_and_blank_lines_are_read(file):
    read(file, "# a comment\n\n  \nONE_SETTING=1\n export TWO_SETTINGS='a b'\n")
    assert (os.environ["ONE_SETTING"], os.environ["TWO_SETTINGS"]) == ("1", "a b")


def test_the_environment_wins_over_the_file(file):
    os.environ["ONE_SETTING"] = "mine"
    read(file, "ONE_SETTING=theirs\n")
    assert os.environ["ONE_SETTING"] == "mine"


def test_a_byte_order_mark_and_windows_line_ends_do_not_hide_a_setting(file):
    read(file, b"\xef\xbb\xbfONE_SETTING=1\r\nTWO_SETTINGS=2\r\n")
    assert (os.environ["ONE_SETTING"], os.environ["TWO_SETTINGS"]) == ("1", "2")


@pytest.mark.parametrize("line", ["SECRET_KEY", "SECRET KEY=hidden", "SECRET_KEY: hidden", "=hidden", "1_KEY=hidden"])
def test_a_line_that_is_no_setting_stops_the_boot_and_is_not_repeated(file, line):
    with pytest.raises(BadSetting, match=r"\.env: line 2 is not written as NAME=value\.$") as stop:
        read(file, f"# comment\n{line}\n")
    assert "hidden" not in str(stop.value)


@pytest.mark.parametrize("content", [b"\xb5\xff\x00", b"ONE_SETTING=\x00\n"])
def test_a_file_that_is_no_text_stops_the_boot(file, content):
    with pytest.raises(BadSetting, match="is no text in UTF-8"):
        read(file, content)


def test_a_file_that_cannot_be_read_stops_the_boot(file):
    file.mkdir()
    with pytest.raises(BadSetting, match="cannot be read: Is a directory"):
        dotenv.read(file, required=False)


def test_a_file_that_was_named_has_to_be_there(file):
    dotenv.read(file, required=False)
    with pytest.raises(BadSetting, match="cannot be read: No such file or directory"):
        dotenv.read(file, required=True)
