"""Values as the console's pages write them."""

from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString


def local_text(instant: datetime) -> str:
    """Write an instant in the scheduler's zone."""
    return date_format(timezone.localtime(instant), "DATETIME_FORMAT")


def moment(instant: datetime | None) -> SafeString | None:
    """Write an instant so that it stays in one line; pointing at it tells its offset."""
    if instant is None:
        return None
    text, exact = local_text(instant), timezone.localtime(instant).isoformat(" ", "milliseconds")
    return format_html('<time class="whitespace-nowrap" datetime="{}" title="{}">{}</time>', exact, exact, text)


def one_line(text: str) -> SafeString:
    """Cut what is too long for a list where the line ends; pointing at it tells the rest."""
    return format_html('<span class="one-line" title="{}">{}</span>', text, text)
