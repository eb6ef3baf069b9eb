"""Mail: one message to one address, text and HTML, over Django's SMTP backend.

Every attempt of a delivery carries the same Message-ID, so a copy that went out twice (the process died between the
server's "250" and our note) is recognised by the receiving mail system.
"""

import logging
import smtplib
import socket
import ssl
import threading
import unicodedata
from collections.abc import Callable
from email.utils import parseaddr
from typing import Any, Self

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.smtp import EmailBackend
from django.template.loader import render_to_string

from notifications.channels.base import DeliveryError, OutgoingMessage, one_line

logger = logging.getLogger(__name__)

# A server may take EMAIL_TIMEOUT for each of its answers, but not for ever: after this the connection is cut.
LONGEST_SECONDS = 60.0
REFUSED_FOR_GOOD = 500
CLOSING_DOWN = 421


def _printable(text: str) -> str:
    """Return `text` without what would command a terminal; answers of targets may hold anything."""
    return "".join(character for character in text if character in "\n\t" or unicodedata.category(character) != "Cc")


def render(outgoing: OutgoingMessage) -> EmailMultiAlternatives:
    """Build the mail. Recipient and subject come from users: neither can add a header or a second recipient."""
    context = {**outgoing.payload, "service": settings.SERVICE_NAME, "subject": one_line(outgoing.summary)}
    headers = {
        "Message-ID": f"<{outgoing.id}@{_domain()}>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }
    if outgoing.thread:
        # A message that was never sent: all of one incident refer to it, so they stand together.
        headers["In-Reply-To"] = headers["References"] = f"<incident-{outgoing.thread}@{_domain()}>"
    if unsubscribe := outgoing.payload.get("unsubscribe_url"):
        headers["List-Unsubscribe"] = f"<{unsubscribe}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail = EmailMultiAlternatives(
        subject=context["subject"],
        body=_printable(render_to_string(f"notifications/{outgoing.kind}.txt", context)),
        to=[outgoing.recipient],
        headers=headers,
    )
    page = _printable(render_to_string(f"notifications/{outgoing.kind}.html", context))
    mail.attach_alternative(page, "text/html")
    return mail


def _domain() -> str:
    return parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"


class MailSession:
    """One connection to the mail server, opened for the first message and again after it broke."""

    def __init__(self, *, longest_seconds: float = LONGEST_SECONDS) -> None:
        self._watch = _Watch(longest_seconds)
        self._backend: EmailBackend | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._backend is not None:
            with self._watch:
                _close(self._backend)

    def send(self, outgoing: OutgoingMessage) -> None:
        mail = render(outgoing)
        with self._watch:
            backend = self._open()
            try:
                backend.send_messages([mail])
            except smtplib.SMTPRecipientsRefused as error:
                code, text = next(iter(error.recipients.values()))
                raise _refused(code, text) from error
            except smtplib.SMTPSenderRefused as error:
                # The fault is in our settings, not in this message: the operator can correct it.
                raise DeliveryError(_words(error.smtp_code, error.smtp_error), everything=True) from error
            except smtplib.SMTPResponseException as error:
                raise _refused(error.smtp_code, error.smtp_error) from error
            except (smtplib.SMTPException, OSError) as error:
                self._drop()
                raise DeliveryError(self._reason(error), everything=self._watch.has_cut) from error
            except (UnicodeError, ValueError) as error:
                raise DeliveryError(f"The message cannot be written: {error}", permanent=True) from error

    def _open(self) -> EmailBackend:
        if self._backend is not None:
            return self._backend
        backend = _Backend(self._watch)
        try:
            backend.open()
        except smtplib.SMTPResponseException as error:
            _close(backend)
            raise DeliveryError(_words(error.smtp_code, error.smtp_error), everything=True) from error
        except (smtplib.SMTPException, OSError) as error:
            _close(backend)
            raise DeliveryError(self._reason(error), everything=True) from error
        self._backend = backend
        return backend

    def _drop(self) -> None:
        if self._backend is not None:
            _close(self._backend)
        self._backend = None

    def _reason(self, error: Exception) -> str:
        if self._watch.has_cut:
            return f"The mail server took longer than {self._watch.seconds:g} s."
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"TLS: {error.verify_message}"
        # smtplib words a timeout while reading as a lost connection.
        if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
            return f"The mail server did not answer within {settings.EMAIL_TIMEOUT} s."
        if isinstance(error, OSError) and error.strerror:
            return f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}: {error.strerror}"
        return str(error) or type(error).__name__


def _refused(code: int, text: bytes | str) -> DeliveryError:
    # Who closes down takes nothing from the others either, and the connection is gone.
    return DeliveryError(_words(code, text), permanent=code >= REFUSED_FOR_GOOD, everything=code == CLOSING_DOWN)


def _words(code: int, text: bytes | str) -> str:
    decoded = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {decoded}"


def _close(backend: EmailBackend) -> None:
    """Close the connection, with QUIT where the server still answers."""
    try:
        backend.close()
    except (smtplib.SMTPException, OSError) as error:
        logger.debug("The mail server did not answer QUIT: %s", error)


class _Watch:
    """Cuts a connection that takes too long in all: each single answer may come in time and the whole never end."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.has_cut = False
        # Asked when the time is up: the socket may have been replaced by one with TLS meanwhile.
        self.socket: Callable[[], socket.socket | None] = lambda: None
        self._timer: threading.Timer | None = None

    def __enter__(self) -> None:
        self.has_cut = False
        self._timer = threading.Timer(self.seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def __exit__(self, *exception: object) -> None:
        assert self._timer is not None
        self._timer.cancel()

    def _cut(self) -> None:
        self.has_cut = True
        if sock := self.socket():
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return


class _Backend(EmailBackend):
    """Django's backend, whose connection can be watched from its first byte on."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__(fail_silently=False)
        self._watch = watch

    @property
    def connection_class(self) -> Any:
        watch = self._watch
        base: type[smtplib.SMTP] = smtplib.SMTP_SSL if self.use_ssl else smtplib.SMTP

        class Watched(base):  # type: ignore[misc, valid-type]
            def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
                # The greeting is read before the constructor returns.
                sock: socket.socket = super()._get_socket(host, port, timeout)
                watch.socket = lambda: getattr(self, "sock", None) or sock
                return sock

        return Watched
