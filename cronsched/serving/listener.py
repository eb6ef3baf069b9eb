"""The socket the web processes listen on."""

import errno
import socket


class CannotListen(Exception):
    """The address cannot be listened on; the text says why and what to do."""


def listen(address: str, port: int) -> socket.socket:
    """Return a socket bound to `port` at `address`, which may stand in brackets. Raises `CannotListen`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    # Connections still dying from the last run do not count as "in use".
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.strip("[]"), port))
        # A port that was only bound can be bound by another process as well.
        listener.listen(1)
    except OSError as error:
        listener.close()
        reason = f"Port {port} on {address} cannot be used ({error.strerror}). {_way_out(error, port)}"
        raise CannotListen(reason) from None
    return listener


def _way_out(error: OSError, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            another = port + 1 if port < 65535 else port - 1
            return f"Stop what listens there or choose another port: make run PORT={another}"
        case errno.EACCES | errno.EPERM:
            return "Ports below 1024 are the system's; choose another one: make run PORT=5001"
    return "See BIND_ADDRESS."
