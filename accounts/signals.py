"""Signals about accounts, for other apps."""

from typing import NamedTuple

from django.dispatch import Signal

# Sent within the transaction that changes a password or an address, with `user`, the `address` the account had before
# and `changed`, the words for what is new.
credentials_changed = Signal()


class LeaverJobs(NamedTuple):
    """How many rows of a leaving account an app has, and how many of them it handed over."""

    owned: int
    handed_over: int


# Sent within the transaction that deactivates or deletes an account, before it does, with `user`, the account `to` that
# its rows are handed over to (None: they stay as they are), `by` and `now`. Receivers return `LeaverJobs`.
leaving = Signal()
