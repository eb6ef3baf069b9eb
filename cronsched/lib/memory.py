"""Settings of a process's memory: the garbage collector and glibc's heaps."""

import ctypes
import gc
from contextlib import suppress


def freeze_gc() -> None:
    """Leave to itself what has been loaded by now: it stays as long as the process. Call it before any fork.

    The garbage collector would walk over all of it now and then, which stops every thread for as long as a hundred
    requests take; and what it writes on the way could not be shared with forked processes.
    """
    gc.collect()
    gc.freeze()


# From malloc.h of glibc.
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
ARENAS = 2
# Blocks from this size on are given back to the system as soon as they are freed.
MAPPED_BYTES = 256 * 1024


def bound_arenas() -> None:
    """Keep glibc from giving every thread a heap of its own, of which none is ever given back. Call it before threads.

    Naming a threshold also keeps it where it is: glibc raises its own with each large block that is freed, after which
    large answers lie among small blocks and leave holes. With another C library nothing happens.
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, ARENAS)
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)
