"""Start the Procfile's processes with honcho. A closed terminal stops them as Ctrl-C does.

honcho gives each process a session of its own and does not know SIGHUP: closing the terminal would end honcho
alone and leave web and scheduler running, unseen and holding the port.
"""

import os
import signal
import sys
from datetime import UTC, datetime
from types import FrameType

from honcho import command
from honcho.printer import Message, Printer

INTERRUPTED = 128 + signal.SIGINT
ENDS = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}


class OneClock(Printer):
    """Names the process before each of its lines, which tell their time themselves; honcho's own lines do so, too."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{**kwargs, "time_format": ""})

    def write(self, message: Message) -> None:
        if message.name == "system" and message.type == "line":
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            message = message._replace(data=f"{now} INFO honcho: {message.data}")
        # honcho writes a line from its signal handlers. Within another line Python refuses that, and honcho would end
        # before it has stopped anything.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
        try:
            super().write(message)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stop(signum: int, frame: FrameType | None) -> None:
    # The terminal is gone: a message written to it would raise before anything was stopped.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    # The parent may have blocked or ignored signals, which children inherit: a shell does so with what it starts in
    # the background.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, stop)
    command.Printer = OneClock
    # Without -e honcho would read .env itself and let it win over the process environment.
    sys.argv[1:] = ["--env", os.devnull, "start", *sys.argv[1:]]
    try:
        command.main()
    except SystemExit as end:
        # Ctrl-C is how it is meant to be stopped; make would call the usual 130 an error.
        sys.exit(0 if end.code == INTERRUPTED else end.code)
