"""Start the Procfile's processes with honcho. A closed terminal stops them as Ctrl-C does.

honcho gives each process a session of its own and does not know SIGHUP: closing the terminal would end honcho
alone and leave web and scheduler running, unseen and holding the port.
"""

import os
import signal
import sys
from types import FrameType

from honcho.command import main

INTERRUPTED = 128 + signal.SIGINT


def stop(signum: int, frame: FrameType | None) -> None:
    # The terminal is gone: a message written to it would raise before anything was stopped.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, stop)
    # Without -e honcho would read .env itself and let it win over the process environment.
    sys.argv[1:] = ["--env", os.devnull, "start", *sys.argv[1:]]
    try:
        main()
    except SystemExit as end:
        # Ctrl-C is how it is meant to be stopped; make would call the usual 130 an error.
        sys.exit(0 if end.code == INTERRUPTED else end.code)
