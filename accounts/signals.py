"""What happens to accounts that other apps tell of."""

from django.dispatch import Signal

# Sent within the transaction that changes a password or an address, with `user`, the `address` the account had before
# and `changed`, the words for what is new.
credentials_changed = Signal()
