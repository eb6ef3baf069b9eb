"""gunicorn's worker with threads, which has no more patience with the head of a request than with its body."""

from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker


class Worker(ThreadWorker):
    """Tells the application's `Patience` for whom it waits. gunicorn itself would wait for ever."""

    def handle(self, conn: TConn) -> Any:
        self.wsgi.patience.begin(conn.sock)
        try:
            return super().handle(conn)
        finally:
            self.wsgi.patience.end(conn.sock)

    def handle_request(self, req: Any, conn: TConn) -> bool:
        # The head is there; of the body the application knows itself.
        self.wsgi.patience.end(conn.sock)
        return bool(super().handle_request(req, conn))
