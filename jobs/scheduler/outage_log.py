"""What threads do with an outage of the database: one line when it begins, one when it ends."""

import logging
from collections.abc import Callable

from django.db import connection

from cronsched.lib.db.outages import UNREACHABLE, first_line

logger = logging.getLogger(__name__)


class LogOutageOnce:
    """Repeats an act on the database. An outage is logged when it begins and when it ends, not at each attempt."""

    def __init__(self, name: str, act: Callable[..., object]) -> None:
        self._name = name
        self._act = act
        self._is_away = False

    def __call__(self, *arguments: object) -> None:
        try:
            self._act(*arguments)
        except UNREACHABLE as error:
            if not self._is_away:
                logger.warning("%s: the database cannot be used: %s", self._name, first_line(error))
            self._is_away = True
            connection.close()
        else:
            if self._is_away:
                logger.info("%s: the database is back", self._name)
            self._is_away = False
        finally:
            # Returned to the pool, where there is one: a thread that ends with the term would lose it.
            connection.close_if_unusable_or_obsolete()
