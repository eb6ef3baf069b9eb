"""How the web process is served: waitress in several processes on one socket."""

import importlib
import logging
import signal
import socket

from django.conf import settings

from cronsched.lib.config import env
from cronsched.lib.db.databases import share_page_cache
from cronsched.lib.memory import bound_arenas, freeze_gc
from cronsched.serving.limits import Limits
from cronsched.serving.listener import CannotListen, listen
from cronsched.serving.server import Server, adjustments, beat_of, end_at_signal
from cronsched.serving.supervisor import SIGNALS, Supervisor

__all__ = ["CannotListen", "listen", "serve"]

logger = logging.getLogger(__name__)

# An upload is wrapped in some lines of its form.
FORM_BYTES = 64 * 1024


def serve(listener: socket.socket) -> int:
    """Serve on `listener` as the settings say until a signal ends it; return the exit code."""
    bound_arenas()
    share_page_cache(settings.DATABASES["default"], threads=settings.WEB_THREADS)
    # Loaded before the processes part, so that they share it.
    importlib.import_module("cronsched.wsgi")
    importlib.import_module(settings.ROOT_URLCONF)
    freeze_gc()
    workers = settings.WEB_WORKERS
    address = f"http://{settings.BIND_ADDRESS}:{settings.PORT}"
    logger.info("Serving %s with %d process(es) of %d threads", address, workers, settings.WEB_THREADS)

    def work(parent: int, told: int) -> None:
        _serve_here(listener, parent, told)

    return Supervisor(workers, work, listener=listener, drain_seconds=settings.DRAIN_TIMEOUT_SECONDS).run()


def _serve_here(listener: socket.socket, parent: int, told: int) -> None:
    from cronsched.wsgi import application

    most = max(settings.MAX_BODY_BYTES, settings.MAX_UPLOAD_BYTES + FORM_BYTES)
    limits = Limits(
        connections=settings.WEB_CONNECTIONS,
        per_address=settings.WEB_CONNECTIONS_PER_ADDRESS,
        trusted=[*env.LOOPBACK, *settings.TRUSTED_PROXIES],
        slow_seconds=settings.WEB_CLIENT_SECONDS,
    )
    server = Server(application, listener, adjustments(threads=settings.WEB_THREADS, max_body_bytes=most), limits)
    end_at_signal(server)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    server.serve(drain_seconds=settings.DRAIN_TIMEOUT_SECONDS, beat=beat_of(parent, told))
