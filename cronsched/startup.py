"""Checks at the start of a process: is it the right database, and is anything missing?"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import Error, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from cronsched.lib import time_zones
from cronsched.lib.db import older_service
from cronsched.lib.db.outages import NO_TABLES
from cronsched.lib.db.writing import missing_migrations

logger = logging.getLogger(__name__)

NO_STATIC_FILES = "The console has no styles and scripts. Run: python manage.py collectstatic --no-input"


def look() -> None:
    """Log what is missing, with the command that helps. Ends the process at the older service's database.

    To be called before a process forks: no connection is left behind.
    """
    logger.info("Time zones follow tzdata %s", time_zones.version())
    with own_connection() as own:
        try:
            older_service.refuse(own)
            if missing_migrations(own):
                logger.warning("The database cannot be used yet: %s", NO_TABLES)
        except Error:
            # It is away. The code that needs it logs that, and waits for it.
            return


def look_for_static_files() -> None:
    """Write to the log where the console's files have not been collected. In development they need not be."""
    if not settings.DEBUG and not any(Path(settings.STATIC_ROOT).glob("*")):
        logger.warning(NO_STATIC_FILES)


@contextmanager
def own_connection() -> Iterator[BaseDatabaseWrapper]:
    """Yield a connection outside the pool, which would have threads and go on trying."""
    own = connection.copy()
    own.settings_dict["OPTIONS"].pop("pool", None)
    try:
        yield own
    finally:
        own.close()
