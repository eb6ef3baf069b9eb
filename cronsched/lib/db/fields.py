"""Model fields that are ours."""

import logging
from typing import Any

from django.db import models

from cronsched.lib import crypto

logger = logging.getLogger(__name__)


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """Text that is readable in Python and encrypted in the database. It cannot be searched for.

    A value whose key is lost reads as None, with a line in the log: the rest of the row stays usable, and saving a new
    value repairs it.
    """

    def get_prep_value(self, value: Any) -> Any:
        text = super().get_prep_value(value)
        return text if text is None else crypto.encrypt(text)

    def value_to_string(self, obj: models.Model) -> Any:
        """Return what `dumpdata` writes: encrypted, as it is in the database."""
        value = self.value_from_object(obj)
        return value if value is None else crypto.encrypt(value)

    def to_python(self, value: Any) -> Any:
        """Return the text, also of what `dumpdata` wrote: only who has the key can have made that."""
        text = super().to_python(value)
        if not isinstance(text, str) or not text.startswith(crypto.MARK):
            return text
        try:
            return crypto.decrypt(text)
        except crypto.Undecipherable:
            return text

    def from_db_value(self, value: str | None, expression: object, connection: object) -> str | None:
        if value is None:
            return None
        try:
            return crypto.decrypt(value)
        except crypto.Undecipherable:
            logger.error("%s cannot be decrypted: its key is neither the present one nor listed as a fallback.", self)
            return None
