"""Django's PostgreSQL backend, whose pool works again as soon as the server does.

A restart of the server ends every connection that waits in a pool, and each of them would fail one request when its
turn comes. So the first connection that is found broken has all idle ones checked at once. psycopg's own check before
it hands a connection out is no way out: after each broken one it sleeps, twice as long every time.
"""

from django.db.backends.postgresql import base

from cronsched.lib.db.postgresql.pools import check_idle
from cronsched.lib.db.query_log import NoQueryLog


class DatabaseWrapper(NoQueryLog, base.DatabaseWrapper):
    """A connection of the pool; one that comes back broken has the idle ones checked."""

    def _close(self) -> None:
        is_broken = self.connection is not None and self.connection.closed
        super()._close()  # type: ignore[misc]  # untyped in the stubs
        if is_broken and self.pool:
            check_idle(self.pool)
