"""Carries out the effects of an outcome so that a failing effect never affects the outcome itself.

Each effect runs behind one savepoint for the whole batch. Where the database refuses it, it is repeated in ever smaller
parts, and an item that is refused alone is given up: logged here, and returned to the caller, which shows it.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from django.db import transaction

from cronsched.lib.db.outages import first_line, piecewise

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Lost(NamedTuple):
    """An effect that could not be carried out. `effect` and `subject` are worded for people."""

    effect: str
    item: Any
    subject: str
    reason: str


class Effects:
    """The effects of one batch, inside the transaction that writes its outcome. `lost` is what was given up."""

    def __init__(self) -> None:
        self.lost: list[Lost] = []

    def carry_out(
        self,
        effect: str,
        items: Sequence[Item],
        act: Callable[[Sequence[Item]], Outcome],
        *,
        named: Callable[[Item], str] = str,
        instead: Callable[[Item, Exception], Outcome] | None = None,
    ) -> list[Outcome]:
        """Act on all `items` behind a savepoint, or on as many as the database accepts; return the results.

        `instead` takes an item that fails alone, and answers for it. Raises what `act` raises where the database
        cannot be asked, or ended the transaction as a whole.
        """

        def guarded(part: Sequence[Item]) -> list[Outcome]:
            with transaction.atomic():
                return [act(part)]

        def refused(item: Item, error: Exception) -> list[Outcome]:
            if instead is not None:
                return [instead(item, error)]
            self.give_up(effect, item, named(item), error)
            return []

        return [outcome for part in piecewise(items, guarded, refused) for outcome in part]

    def give_up(self, effect: str, item: Any, subject: str, error: Exception) -> None:
        """Note that an effect is lost."""
        reason = first_line(error)
        logger.error("%s could not be stored: %s: %s", effect, subject, reason, exc_info=error)
        self.lost.append(Lost(effect, item, subject, reason))
