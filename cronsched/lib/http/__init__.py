"""The one door out. Whatever the project asks of another host goes through `Door.send`.

A scheduler that calls the URLs of its users is a way into the network it runs in, and a caller of a thousand targets
meets every kind of broken one. So each request:

- has every address of its host vetted, and connects to the very address that was vetted (no rebinding);
- verifies TLS against the name; follows no redirect; knows no proxy and no .netrc;
- asks for identity encoding, decompresses nothing and keeps a bounded part of the answer;
- ends at one total deadline, wherever the target stalls or drips;
- is sent at most once. `DoorError.request_sent` says whether the target may have seen it.

Addresses: `addresses`. URLs: `urls`. Names: `resolver`. Sockets and reading: `wire`. Reuse: `keepalive`. Limits per
host: `slots`. All of it put together: `door`. Configuration comes in as a `DoorPolicy`.
"""

from cronsched.lib.http.addresses import AddressRules, Category
from cronsched.lib.http.door import RESERVED_HEADERS, Answer, Door, DoorPolicy, OutRequest
from cronsched.lib.http.errors import DoorError, Kind, TargetRefused

__all__ = [
    "RESERVED_HEADERS",
    "AddressRules",
    "Answer",
    "Category",
    "Door",
    "DoorError",
    "DoorPolicy",
    "Kind",
    "OutRequest",
    "TargetRefused",
]
