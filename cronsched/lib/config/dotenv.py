"""Read the `.env` file into the environment, or stop the boot with one line that says what is wrong with it.

The library would ignore a file it cannot open and lines it cannot read, and would print such lines: a secret would end
in the log, and the process would start without a setting that its operator believes to be set.
"""

import io
import re
from pathlib import Path

import environ

from cronsched.lib.config.env import BadSetting

ASSIGNMENT = re.compile(r"(?:export )?[A-Za-z_][A-Za-z_0-9]*=")


def read(path: Path, *, required: bool) -> None:
    """Set the variables of the file that are not set yet. Without `required` it may be absent.

    Raises BadSetting.
    """
    if not path.exists() and not required:
        return
    lines = [line.strip() for line in _text(path).splitlines()]
    for number, line in enumerate(lines, 1):
        if line and not line.startswith("#") and not ASSIGNMENT.match(line):
            # The line itself is not repeated: it may hold a secret.
            raise BadSetting(str(path), f"line {number} is not written as NAME=value.")
    environ.Env.read_env(io.StringIO("\n".join(lines)), overwrite=False)


def _text(path: Path) -> str:
    try:
        # Editors on Windows put a mark in front, which would become part of the first name.
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise BadSetting(str(path), f"cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadSetting(str(path), "is no text in UTF-8.") from None
    if "\0" in text:
        raise BadSetting(str(path), "is no text in UTF-8.")
    return text
