"""What a process does about its memory."""

import gc


def settle_down() -> None:
    """Leave to itself what has been loaded by now: it stays as long as the process. Call it before any fork.

    The garbage collector would walk over all of it now and then, which stops every thread for as long as a hundred
    requests take; and what it writes on the way could not be shared with forked processes.
    """
    gc.collect()
    gc.freeze()
