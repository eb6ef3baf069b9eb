"""`manage.py` on a host whose clock can be set: FILE holds by how many seconds it is ahead, and may be written anew.

python -m jobs.tests.chaos.stepped FILE runscheduler ...

Only Python's clock steps, as the service, APScheduler and Django ask for it; not SQLite's own, by which the audit is
written, and not the one that cannot be set. (libfaketime is of no use here: under it a plain sleep of Python fails.)
"""

import datetime as clocks
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from types import ModuleType
from typing import Any, Self

# Whose modules ask for the time by `datetime.now`.
ASKERS = ("accounts", "audit", "cronsched", "jobs", "notifications", "taxonomy", "apscheduler", "django.utils.timezone")
LOOK_SECONDS = 0.1


class Offset:
    """Reads the file ten times a second at most."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked_at = float("-inf")
        self._seconds = 0.0

    def __call__(self) -> float:
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self._seconds = float(self._path.read_text() or 0)
        return self._seconds


def step(path: Path, seconds: float) -> None:
    """Set the clock of the processes that read `path`."""
    new = path.with_suffix(".new")
    new.write_text(str(seconds))
    new.replace(path)


def stepped_datetime(offset: Callable[[], float]) -> type[datetime]:
    """Return a stand-in for `datetime` whose `now` steps. What it makes are plain instants."""

    class Kind(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, clocks.datetime)

    class Stepped(datetime, metaclass=Kind):
        def __new__(cls, *arguments: Any, **keywords: Any) -> Self:
            return datetime(*arguments, **keywords)  # type: ignore[return-value]  # noqa: DTZ001

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=offset())

    return Stepped


def put_in(module: ModuleType, stand_in: type) -> None:
    if getattr(module, "datetime", None) is datetime:
        module.__dict__["datetime"] = stand_in


def main(path: str, *arguments: str) -> None:
    """Run the management command by the clock of `path`."""
    offset = Offset(Path(path))
    right, stand_in = time.time, stepped_datetime(offset)
    time.time = lambda: right() + offset()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronsched.settings")
    import django

    django.setup()
    import jobs.management.commands.runscheduler  # noqa: F401 - so that all that asks for the time is there

    for name, module in list(sys.modules.items()):
        if module is not None and name.startswith(ASKERS) and name != __name__:
            put_in(module, stand_in)
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
