"""Real targets on loopback whose every byte a test decides."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Visit:
    """One connection, as the target sees it."""

    def __init__(self, sock: socket.socket, target: "Target") -> None:
        self.sock = sock
        self._target = target
        self._buffer = b""

    def read_request(self) -> bytes:
        """Return the next request, head and body; empty where the caller has gone."""
        head = self._read_until(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        request = head + self._read(length)
        if request:
            self._target.requests.append(request)
        return request

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, data: bytes, *, every: float = 0.02) -> None:
        """Send byte by byte until the caller gives up."""
        for index in range(len(data)):
            self.send(data[index : index + 1])
            if self._target.stopped.wait(every):
                return

    def stall(self) -> None:
        """Say nothing until the caller gives up."""
        while self.sock.recv(65536):
            pass

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()

    def _read_until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            if not (more := self.sock.recv(65536)):
                return b""
            self._buffer += more
        head, _, self._buffer = self._buffer.partition(end)
        return head + end

    def _read(self, length: int) -> bytes:
        while len(self._buffer) < length:
            if not (more := self.sock.recv(65536)):
                break
            self._buffer += more
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return body


Behaviour = Callable[[Visit], object]


class Target:
    """A listening socket; `behave` is called in a thread of its own for each connection."""

    def __init__(self, behave: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.stopped = threading.Event()
        self._behave = behave
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def close(self) -> None:
        self.stopped.set()
        # Wakes `accept`, which closing alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._open):
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            if self._tls:
                self._open.discard(sock)
                sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                self._open.add(sock)
                sock.do_handshake()
            self._behave(Visit(sock, self))
        except OSError:
            # The caller has gone, which is what most tests are about.
            return
        finally:
            sock.close()
            self._open.discard(sock)


@contextmanager
def target(behave: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[Target]:
    running = Target(behave, tls)
    try:
        yield running
    finally:
        running.close()


def answering(*answers: bytes) -> Behaviour:
    """Answer each request of a connection with the next of `answers`, the last one again and again."""

    def behave(visit: Visit) -> None:
        left = list(answers)
        while visit.read_request():
            visit.send(left.pop(0) if len(left) > 1 else left[0])

    return behave


def closing_after(answer: bytes) -> Behaviour:
    def behave(visit: Visit) -> None:
        visit.read_request()
        visit.send(answer)

    return behave
