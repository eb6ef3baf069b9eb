"""A real mail server on loopback, whose temper a test decides."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


class MailServer:
    """Keeps what it took. `refuse` maps addresses, `refuse_data` all messages, to the answer they get."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self.refuse: dict[str, str] = {}
        self.refuse_data = ""
        self.port = 0
        self.connections = 0

    def mail_to(self, address: str) -> EmailMessage:
        (mail,) = [mail for mail in self.mails if mail["To"] == address]
        return mail

    @property
    def recipients(self) -> list[str]:
        return sorted(address for _, addresses in self.envelopes for address in addresses)

    # --- What aiosmtpd asks ---

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, name: str, answers: list[str]) -> list[str]:  # noqa: N802
        session.host_name = name
        self.connections += not session.ssl
        return answers

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.refuse_data:
            return self.refuse_data
        self.envelopes.append((envelope.mail_from, list(envelope.rcpt_tos)))
        parsed = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        self.mails.append(parsed)
        return "250 taken"


@contextmanager
def mail_server(tls: ssl.SSLContext | None = None, login: tuple[str, str] | None = None) -> Iterator[MailServer]:
    """Run a server; with `tls` it wants STARTTLS first, with `login` that name and password."""
    server = MailServer()
    server.port = free_port()

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        given = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode())
        # Not handled: the server words the refusal itself.
        return AuthResult(success=given == login, handled=False)

    controller = Controller(
        server,
        hostname="127.0.0.1",
        port=server.port,
        tls_context=tls,
        require_starttls=tls is not None,
        auth_required=login is not None,
        auth_require_tls=tls is not None,
        authenticator=check,
    )
    controller.start()
    try:
        yield server
    finally:
        controller.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])
