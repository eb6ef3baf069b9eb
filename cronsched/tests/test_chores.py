"""Every function that tidies up is run by the leader."""

import ast
import re
from collections.abc import Iterator

import pytest
from apscheduler.triggers.cron import CronTrigger

from cronsched.lib import chores
from cronsched.lib.chores import CronChore, catalogue
from cronsched.tests.test_architecture import dotted, modules
from jobs import cron
from jobs.scheduler.runner import THREADS
from jobs.tests.factories import NOON

TIDIES = re.compile(r"(prune|tidy|forget|recount|count_days|remind|resume_what)")
# What a chore is called with; a function that needs more is called by a user's act.
GIVEN = {"now", "may_act"}


def functions_that_tidy(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Yield the public functions of a module that are named as chores are and need no more than the time."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and TIDIES.match(node.name):
            needed = {arg.arg for arg in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]}
            if "now" in needed and needed <= GIVEN:
                yield node


def references(tree: ast.AST) -> set[str]:
    """Return what a piece of code refers to, as `name` or `module.name`."""
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return found | {f"{node.value.id}.{node.attr}" for node in attributes if isinstance(node.value, ast.Name)}


def left_out(trees: dict[str, ast.Module]) -> list[str]:
    """Return the functions that tidy up and are named neither in their app's chores nor in another that is."""
    found = [(module, node) for module, tree in trees.items() for node in functions_that_tidy(tree)]
    known: dict[str, set[str]] = {}
    for module, tree in trees.items():
        if module.split(".")[1:] == ["chores"]:
            known[module.partition(".")[0]] = references(tree)

    def is_run(module: str, name: str) -> bool:
        return bool({name, f"{module.rpartition('.')[2]}.{name}"} & known.get(module.partition(".")[0], set()))

    for module, node in found:
        if is_run(module, node.name):
            known[module.partition(".")[0]] |= references(node)
    return sorted(f"{module}.{node.name}" for module, node in found if not is_run(module, node.name))


def trees() -> dict[str, ast.Module]:
    return {dotted(path): ast.parse(path.read_text(encoding="utf-8")) for path in modules()}


def test_no_function_that_tidies_up_is_left_out_of_the_catalogue():
    assert left_out(trees()) == []


def test_a_function_that_nobody_runs_is_found():
    tree = ast.parse("def prune(now): ...\ndef forget_failures(key, *, now): ...\ndef tidy(*, now, may_act): ...")
    assert left_out({"app.services": tree, "app.chores": ast.parse("CHORES = [services.prune]")}) == [
        "app.services.tidy"
    ]


def test_the_catalogue_holds_the_chores_of_every_app():
    ids = {chore.id for chore in catalogue()}
    assert {"prune_accounts", "prune_audit", "deliver", "sweep", "prune_history"} <= ids


def test_two_chores_of_one_id_are_refused(monkeypatch):
    monkeypatch.setattr("audit.chores.CHORES", [CronChore("sweep", "0 3 * * *", print)])
    with pytest.raises(ValueError, match="sweep"):
        chores.catalogue()


def test_chores_are_planned_as_they_can_be():
    for chore in catalogue():
        if isinstance(chore, CronChore):
            assert cron.next_fire_time(chore.expression, "UTC", after=NOON) is not None
            CronTrigger.from_crontab(chore.expression)
        else:
            assert chore.executor in THREADS
            assert chore.seconds >= 1
