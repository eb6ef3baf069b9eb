"""How the web process is served. Read by `gunicorn --config gunicorn.conf.py cronsched.wsgi:application`."""

import json
import os
from pathlib import Path
from socket import socket

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronsched.settings")

# Settings that cannot work end the process here with their one line. Found by a worker instead, the same error
# would be printed again and again while the master starts new workers for ever.
from django.conf import settings
from gunicorn import util
from gunicorn.arbiter import Arbiter

from cronsched.lib.config import env
from cronsched.lib.memory import settle_down

# The first look at a setting reads `.env`, where the variables below may stand as well.
_on_sqlite = settings.DATABASES["default"]["ENGINE"].endswith("sqlite3")
_port = env.integer("PORT", 5001, at_least=1, at_most=65535)

bind = f"{settings.BIND_ADDRESS}:{_port}"
worker_class = "cronsched.worker.Worker"
# SQLite has one writer at a time: a second worker process only adds waiting for its lock.
workers = env.integer("WEB_WORKERS", 1 if _on_sqlite else 2, at_least=1)
threads = settings.WEB_THREADS
preload_app = True

# A worker whose main loop stands still this long is replaced. Long requests do not count: they have threads.
timeout = 60
# Requests in flight get as long as the scheduler's, so that both processes stop within the same time.
graceful_timeout = settings.DRAIN_TIMEOUT_SECONDS
# Longer than the idle timeout of usual proxies (60 s), which otherwise race a connection we have just closed.
keepalive = 75
if Path("/dev/shm").is_dir():
    # The heartbeat file on a busy disk can block a worker long enough to be taken for dead.
    worker_tmp_dir = "/dev/shm"
# One shared path in the home directory: a second service of the same user would fight for it.
control_socket_disable = True
accesslog = "-" if settings.DEBUG else None


def when_ready(server: Arbiter) -> None:
    """Called once, when the application is loaded and before workers are forked."""
    settle_down()


def _write_error(client: socket, status: int, reason: str, message: str) -> None:
    """Refuse what is no request at all, or one with too long a line, in the shape of the API instead of a page."""
    body = json.dumps({"error": reason, "message": message or reason}).encode()
    # Whose page asked has not been read: where only some may read answers, these stay unread.
    open_to_all = "Access-Control-Allow-Origin: *\r\n" if settings.CORS_ALLOW_ALL_ORIGINS else ""
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\n{open_to_all}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(client, head.encode("latin-1") + body)


util.write_error = _write_error
