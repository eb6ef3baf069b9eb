"""Actions that ask in a dialog of the theme before they act."""

from collections.abc import Callable
from typing import Any

from django.http import HttpResponse
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
