"""Values as the pages show them."""

import json
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator


def as_json(value: Any) -> SafeString | None:
    return preformatted(json.dumps(value, indent=2, ensure_ascii=False)) if value else None


def shortened(text: str | None, length: int) -> str:
    return Truncator(text or "").chars(length)


def preformatted(text: str) -> SafeString:
    return format_html('<pre class="raw-text">{}</pre>', text)


def link(url: str, text: str) -> SafeString:
    """Return a link to `url`, plain text where it is no web address."""
    if not url.startswith(("https://", "http://")):
        return format_html("{}", text)
    return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}" rel="noopener">{}</a>', url, text)
