"""Work besides requests that a stopping process waits for.

Work that outlives the request that began it (a manual run whose caller has gone) registers a function here. The web
process calls each of them when its last request has been answered, and ends after the last one.
"""

import logging
from collections.abc import Callable

from cronsched.lib.clock import uptime

logger = logging.getLogger(__name__)

Hook = Callable[[float], None]

_hooks: list[Hook] = []


def on_drain(hook: Hook) -> Hook:
    """Register `hook` to be called when the process stops, with the seconds it may take. Usable as a decorator."""
    _hooks.append(hook)
    return hook


def drain(*, until: float) -> None:
    """Call all hooks in the order they were registered. `until` is a time of `uptime`.

    An exception of one is logged and does not stop the others.
    """
    for hook in _hooks:
        try:
            hook(max(0.0, until - uptime()))
        except Exception:
            logger.exception("%s failed while the process was stopping", hook.__qualname__)
