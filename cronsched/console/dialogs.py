"""Actions that ask in a dialog of the theme before they act."""

from collections.abc import Callable
from typing import Any

from django.http import HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.dataclasses import ActionDialog
from unfold.decorators import action
from unfold.forms import BaseDialogForm


def dialog_action(
    name: str,
    *,
    icon: str,
    title: str,
    text: str,
    button: str | None = None,
    form: type[BaseDialogForm] | None = None,
    permission: str = "change",
) -> Callable[[Callable[..., HttpResponse]], Any]:
    """Return the decorator of an action `name` behind a dialog, whose button is called `button` or as the action."""
    dialog = ActionDialog(title=title, description=text, form_class=form, form_submit_text=button or name)
    return action(description=name, permissions=[permission], icon=icon, dialog=dialog)


def dialog_link(address: str, text: str, *, label: str) -> SafeString:
    """Return a link that opens the dialog of the action at `address`, on any page; `label` is all of it in words."""
    return format_html(
        '<a class="console-link" href="{0}" aria-label="{2}" hx-get="{0}" hx-target="#modal-content"'
        ' hx-select="#dialog" x-on:htmx:after-on-load="openModal = true">{1}</a>',
        address,
        text,
        label,
    )
