"""The door of all management commands: what goes wrong before and below them is one line, too."""

import sys
from collections.abc import Sequence

from django.core.management import execute_from_command_line
from django.db import DatabaseError

from cronsched.lib.db.outages import first_line, is_outage

UNUSABLE = 2


def run(arguments: Sequence[str]) -> None:
    """Run the command that `arguments` name.

    Ends the process with 2 and one line where an argument is no text, or where the database cannot be used;
    with `--traceback` the latter shows from where.
    """
    for argument in arguments:
        if not _is_text(argument):
            _end(f"CommandError: The argument {argument!a} is not UTF-8.")
    try:
        execute_from_command_line(list(arguments))
    except DatabaseError as error:
        if "--traceback" in arguments or not is_outage(error):
            raise
        _end(f"CommandError: The database cannot be used: {first_line(error)}")


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _end(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.exit(UNUSABLE)
