"""How a pool of psycopg recovers after a server that was away."""

import threading
from typing import Any

# A restarted server's connections fail at once. A host that has fallen silent answers none of them for half a minute:
# the check goes on without the caller then.
CHECK_SECONDS = 1.0

_checking = threading.Lock()


def check_idle(pool: Any) -> None:
    """Replace the broken ones among the idle connections of `pool`; return when that is done, or goes on too long."""
    if not _checking.acquire(blocking=False):
        # Another thread has taken all of them out of the pool to check them.
        return
    thread = threading.Thread(target=_check, args=(pool,), name="check idle connections", daemon=True)
    thread.start()
    thread.join(CHECK_SECONDS)


def _check(pool: Any) -> None:
    try:
        pool.check()
    finally:
        _checking.release()


def keep_trying(pool: Any) -> None:
    """Make `pool` try to connect again where it has just given up: callers that wait do not start an attempt.

    Its waiting time between two attempts begins anew each time, so that it never grows beyond some seconds.
    """
    if not pool.closed:
        # Starts an attempt where there is none, and looks at connections only where there are some.
        pool.check()
