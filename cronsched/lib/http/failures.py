"""What libcurl's codes mean here, in words for the owner of a job."""

import errno
import re
from typing import TYPE_CHECKING

import pycurl

from cronsched.lib.http.errors import Kind, RequestError

if TYPE_CHECKING:
    from cronsched.lib.http.transfer import Call, Transfer

# Codes that pycurl does not name: CURLE_WEIRD_SERVER_REPLY, CURLE_TOO_LARGE.
_WEIRD_REPLY, _TOO_LARGE = 8, 100
# What libcurl says of a certificate that does not verify. Without it the name does not match.
_FLAW = re.compile(r"SSL certificate [^:]*: (.+?)(?: \(\d+\))?")
_TLS = frozenset(
    {
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_SSL_CIPHER,
        pycurl.E_SSL_CERTPROBLEM,
        pycurl.E_SSL_ISSUER_ERROR,
        pycurl.E_SSL_INVALIDCERTSTATUS,
        pycurl.E_USE_SSL_FAILED,
    }
)
_INVALID = frozenset({pycurl.E_UNSUPPORTED_PROTOCOL, _WEIRD_REPLY})


def failure(transfer: "Transfer", call: "Call", code: int, message: str) -> RequestError:
    """Return why the transfer brought no usable answer. `message` is libcurl's own, of which only TLS's is shown."""
    answer = transfer.answer
    if not transfer.has_left:
        return _not_sent(transfer, call, code, message)
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return timed_out(call, _doing(transfer), request_sent=True, status=answer.status if answer.has_head else None)
    if answer.is_too_large or code == _TOO_LARGE:
        return _sent(Kind.TOO_LARGE, "the head of the answer is too large", answer.status)
    if answer.is_invalid or code in _INVALID:
        return _sent(Kind.PROTOCOL, "the answer is not valid HTTP", answer.status)
    if code == pycurl.E_BAD_CONTENT_ENCODING or (code == pycurl.E_WRITE_ERROR and answer.has_head):
        return _sent(Kind.UNREADABLE, "the answer's compression cannot be read", answer.status)
    if answer.status is None:
        return _sent(Kind.LOST, "the target closed the connection without an answer", None)
    return _sent(Kind.LOST, "the answer ended early", answer.status)


def timed_out(call: "Call", doing: str, *, request_sent: bool = False, status: int | None = None) -> RequestError:
    reason = f"timed out after {call.request.timeout:g} s while {doing}"
    return RequestError(Kind.TIMEOUT, reason, request_sent=request_sent, status=status)


def _sent(kind: Kind, reason: str, status: int | None) -> RequestError:
    return RequestError(kind, reason, request_sent=True, status=status)


def _doing(transfer: "Transfer") -> str:
    if transfer.answer.has_head:
        return "reading the answer"
    return "waiting for the answer" if transfer.is_body_sent else "sending the request"


def _not_sent(transfer: "Transfer", call: "Call", code: int, message: str) -> RequestError:
    if code == pycurl.E_OPERATION_TIMEDOUT:
        is_connected = transfer.handle.getinfo(pycurl.CONNECT_TIME) > 0
        return timed_out(call, "negotiating TLS" if is_connected else "connecting")
    if code == pycurl.E_PEER_FAILED_VERIFICATION:
        return RequestError(Kind.TLS, f"TLS certificate is not valid: {_flaw(call, message)}")
    if code in _TLS or transfer.handle.getinfo(pycurl.CONNECT_TIME) > 0:
        return RequestError(Kind.TLS, "TLS handshake failed")
    refused = transfer.handle.getinfo(pycurl.OS_ERRNO) == errno.ECONNREFUSED
    return RequestError(Kind.CONNECT, "connection refused" if refused else "connection failed")


def _flaw(call: "Call", message: str) -> str:
    if found := _FLAW.fullmatch(message):
        return found[1]
    return f"Hostname mismatch, certificate is not valid for '{call.location.server.host.rstrip('.')}'"
