"""The one base of all pages about rows."""

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.contrib.admin import helpers
from django.contrib.admin.utils import flatten, unquote
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from unfold.admin import ModelAdmin
from unfold.decorators import display

from cronsched.console.changelist import BadAddress, ConsoleChangeList
from cronsched.console.texts import moment
from cronsched.lib.db import batches

# What every page calls fields whose names are no words of people.
LABELS = {"created_at": "Created", "updated_at": "Last changed", "is_active": "Active", "last_login": "Last sign-in"}
BAD_SELECTION = "The selection holds something that is no row of this list. Nothing was done; choose again."


class ConsoleAdmin(ModelAdmin):
    """A page of the console.

    Its lists take their own filters' parameters only, and its actions only ids that can be ids. Its form is read and
    saved under the row's lock (`SnapshotForm` compares it with what it showed). A row is asked for once per request.
    """

    change_form_before_template = "console/snapshot.html"
    empty_value_display = "-"
    # What the side-bar calls it; blank: as the rows are called.
    page_name = ""
    # What its page calls fields that its form has no label for.
    labels: Mapping[str, str] = {}

    # --- Lists ---

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ConsoleChangeList]:
        return ConsoleChangeList

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Allow every lookup here: the list itself refuses those that none of its filters has taken."""
        return True

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        context = {"title": self._page_name, "page_name": self._page_name, **(extra_context or {})}
        try:
            return super().changelist_view(request, context)
        except BadAddress as refusal:
            self.message_user(request, str(refusal), messages.WARNING)
            return HttpResponseRedirect(f"{request.path}?{refusal.query}" if refusal.query else request.path)

    @property
    def _page_name(self) -> str:
        return self.page_name or capfirst(str(self.opts.verbose_name_plural))

    def response_action(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        selected = request.POST.getlist(helpers.ACTION_CHECKBOX_NAME)
        if any(self.key_of(text) is None for text in selected):
            self.message_user(request, BAD_SELECTION, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset)

    @display(description="Created", ordering="created_at")
    def created(self, row: Any) -> SafeString | None:
        return moment(row.created_at)

    # --- Rows ---

    def key_of(self, text: str) -> Any:
        """Return the key that `text` writes, None where it cannot be one."""
        field = self.model._meta.pk
        assert field is not None
        try:
            key = field.to_python(text)
            field.run_validators(key)
        except (ValidationError, ValueError, OverflowError):
            return None
        return key

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the row of this id, None where there is none. Asked for once per request."""
        if from_field is not None:
            return super().get_object(request, object_id, from_field)
        found = request.__dict__.setdefault("_rows", {})
        key = (self.model, str(object_id))
        if key not in found:
            found[key] = None if self.key_of(object_id) is None else super().get_object(request, object_id)
        return found[key]

    def row_or_404(self, request: HttpRequest, object_id: str) -> Any:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        return row

    def _changeform_view(self, request: HttpRequest, object_id: str | None, *args: Any) -> HttpResponse:
        if request.method == "POST" and object_id is not None:
            self._lock(unquote(object_id))
            # What was read before the lock may be old.
            request.__dict__.pop("_rows", None)
        return super()._changeform_view(request, object_id, *args)

    def _lock(self, object_id: str) -> None:
        key = self.key_of(object_id)
        if key is not None:
            rows: Any = self.model._default_manager.filter(pk=key)
            batches.locked(rows, skip=False).values_list("pk").first()

    # --- Forms ---

    def get_form(self, request: HttpRequest, obj: Model | None = None, **kwargs: Any) -> Any:
        own = getattr(getattr(self.form, "_meta", None), "labels", None) or {}
        return super().get_form(request, obj, labels={**LABELS, **self.labels, **own}, **kwargs)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Open the sections that hold errors: Django overlooks fields that share a line."""
        context["page_name"] = self._page_name
        form = context["adminform"]
        if form.errors:
            form.fieldsets = [_opened(section, set(form.errors)) for section in form.fieldsets]
        return super().render_change_form(request, context, *args, **kwargs)

    def response_change(self, request: HttpRequest, obj: Model) -> HttpResponse:
        if kept := request.__dict__.get("_kept_fields"):
            text = f"Others changed this meanwhile, too; kept as they left it: {', '.join(kept)}."
            self.message_user(request, text, messages.WARNING)
        return super().response_change(request, obj)

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        request.__dict__["_kept_fields"] = getattr(form, "kept", ())
        return super().save_form(request, form, change)


def _opened(section: tuple[Any, dict[str, Any]], faulty: set[str]) -> tuple[Any, dict[str, Any]]:
    title, options = section
    if not faulty & set(flatten(options["fields"])):
        return section
    classes = tuple(name for name in options.get("classes", ()) if name != "collapse")
    return title, {**options, "classes": classes}
