"""The catalogue of the leader's chores. An app registers its own in a module `chores`:

    CHORES = [
        CronChore("prune_sessions", "35 3 * * *", lambda now, may_act: sessions.prune(now=now)),
        IntervalChore("deliver", 1, lambda now, may_act: delivery.deliver_due(now=now)),
    ]

A chore is one bounded pass over the whole of its work. It gets the time and `may_act`, which says whether this process
still leads; a long chore asks it between two portions. What it returns is logged. An item that fails must not keep the
chore from the next item.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any

from django.apps import apps
from django.utils.module_loading import module_has_submodule

MayAct = Callable[[], bool]
Run = Callable[[datetime, MayAct], Any]


@dataclass(frozen=True, slots=True)
class CronChore:
    """Runs at the times of `expression`, in the scheduler's zone; made up for after a time without a leader."""

    id: str
    expression: str
    run: Run


@dataclass(frozen=True, slots=True)
class IntervalChore:
    """Runs every `seconds` while a process leads. `executor` names the threads it runs in; `at_once` also at first."""

    id: str
    seconds: float
    run: Run
    executor: str = "chores"
    at_once: bool = False


def catalogue() -> list[CronChore | IntervalChore]:
    """Return the chores of all installed apps. Raises `ValueError` where two have one id."""
    chores: list[CronChore | IntervalChore] = []
    for app in apps.get_app_configs():
        if app.module is not None and module_has_submodule(app.module, "chores"):
            registered: Sequence[CronChore | IntervalChore] = getattr(import_module(f"{app.name}.chores"), "CHORES", ())
            chores.extend(registered)
    ids = [chore.id for chore in chores]
    if twice := {name for name in ids if ids.count(name) > 1}:
        raise ValueError(f"Two chores are called {', '.join(sorted(twice))}.")
    return chores
