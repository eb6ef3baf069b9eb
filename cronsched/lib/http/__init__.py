"""The one client for HTTP. Whatever the project asks of another host goes through `HTTPClient`.

A scheduler that calls the URLs of its users is a way into the network it runs in, and a caller of a thousand targets
meets every kind of broken one. libcurl does the sending, in one thread per process; around it:

- every address of a host is vetted, and the very address that was vetted is connected to (no rebinding);
- TLS is verified against the name; no redirect is followed; there is no proxy and no .netrc;
- identity encoding is asked for, what comes compressed all the same is inflated within the bound on what is kept;
- a request ends at one total deadline, wherever the target stalls or drips;
- it is sent at most once. `RequestError.request_sent` says whether the target may have seen it.

Addresses: `addresses`. URLs: `urls`. Names: `resolver`. What goes out and comes back: `messages`, `charsets`. One
exchange: `transfer`, `answer`, `failures`. The thread: `loop`. Where it goes, and by which handle: `dispatcher`. All of
it put together: `client`. Configuration comes in as a `ClientPolicy`. How many go at once is for the caller to say.
"""

from cronsched.lib.http.addresses import AddressRules, Category
from cronsched.lib.http.client import ClientPolicy, HTTPClient
from cronsched.lib.http.errors import Kind, RequestError, TargetRefused
from cronsched.lib.http.messages import RESERVED_HEADERS, OutgoingRequest, Response

__all__ = [
    "RESERVED_HEADERS",
    "AddressRules",
    "Category",
    "ClientPolicy",
    "HTTPClient",
    "Kind",
    "OutgoingRequest",
    "RequestError",
    "Response",
    "TargetRefused",
]
