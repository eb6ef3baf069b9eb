"""API tokens on the admin site: create, list and revoke; one's own, and all for administrators."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
)

from accounts import api_tokens
from accounts.console import NeverEdited, OpenToAllRoles, account, is_admin
from accounts.models import ApiToken
from cronsched.console import ConsoleAdmin
from cronsched.console.forms import AddressListField
from cronsched.console.labels import in_labels, labels_of
from cronsched.console.texts import moment
from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError

SCOPES = {"read": "read: look at everything", "write": "write: change jobs", "run": "run: run and test jobs"}


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]  # generic to the stubs only
    """What a token may do, until when and from where, by the rules of the API."""

    scopes = forms.MultipleChoiceField(
        label="May", choices=list(SCOPES.items()), initial=["read"], widget=UnfoldAdminCheckboxSelectMultipleWidget
    )
    expires_at = forms.SplitDateTimeField(
        label="Expires", required=False, widget=UnfoldAdminSplitDateTimeWidget, help_text="Blank: it lasts."
    )
    allowed_ips = AddressListField(
        label="Only from", help_text="Addresses or networks, one per line: 192.0.2.0/24. Blank: from anywhere."
    )

    class Meta:
        model = ApiToken
        fields = ("name",)
        widgets = {"name": UnfoldAdminTextInputWidget}
        help_texts = {"name": "What uses it, such as “deploy pipeline”."}

    @property
    def sent(self) -> dict[str, Any]:
        expires_at = self.cleaned_data["expires_at"]
        return {**self.cleaned_data, "expires_at": expires_at.isoformat() if expires_at else None}

    def clean(self) -> dict[str, Any]:
        super().clean()
        if not self.errors:
            try:
                api_tokens.read(self.sent, now=timezone.now())
            except DomainError as error:
                self.add_error(error.field, in_labels(error.message or error.error, labels_of(self)))
        return self.cleaned_data


@admin.register(ApiToken)
class TokenAdmin(NeverEdited, OpenToAllRoles, ConsoleAdmin):
    page_name = "Tokens"
    form = TokenForm
    list_display = ("name", "secret", "owner_name", "may", "state", "expires", "last_used", "created")
    list_display_links = ("name",)
    list_per_page = 50
    search_fields = ("name", "prefix", "owner__username")
    search_help_text = "Name, beginning of the secret or owner"
    ordering = ("-created_at",)
    add_fieldsets = ((None, {"fields": ("name", "scopes", "expires_at", "allowed_ips")}),)
    fields = ("name", "secret", "owner_name", "may", "state", "expires", "networks", "last_used", "created")
    readonly_fields = fields[1:]
    empty_value_display = "-"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        return api_tokens.visible_to(account(request)).select_related("owner")

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        shown = tuple(self.list_display)
        return shown if is_admin(request) else tuple(name for name in shown if name != "owner_name")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_active and (obj is None or is_admin(request) or obj.owner_id == request.user.pk)

    def get_fieldsets(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        return self.add_fieldsets if obj is None else super().get_fieldsets(request, obj)

    # --- What is shown ---

    @display(description="Secret", ordering="prefix")
    def secret(self, token: ApiToken) -> str:
        return f"cron_{token.prefix}_…"

    @display(description="Owner", ordering="owner__username")
    def owner_name(self, token: ApiToken) -> str:
        return token.owner.username

    @display(description="May")
    def may(self, token: ApiToken) -> str:
        return ", ".join(token.scopes)

    @display(description="State", label={"Valid": "success", "Expired": "warning", "Owner deactivated": "danger"})
    def state(self, token: ApiToken) -> str:
        if not token.owner.is_active:
            return "Owner deactivated"
        return "Expired" if token.expires_at and token.expires_at <= timezone.now() else "Valid"

    @display(description="Expires", ordering="expires_at", empty_value="Never")
    def expires(self, token: ApiToken) -> SafeString | None:
        return moment(token.expires_at)

    @display(description="Only from", empty_value="Anywhere")
    def networks(self, token: ApiToken) -> str | None:
        return ", ".join(token.allowed_ips) or None

    @display(description="Last used", ordering="last_used_at", empty_value="Never")
    def last_used(self, token: ApiToken) -> SafeString | None:
        return moment(token.last_used_at)

    @display(description="Made", ordering="created_at")
    def created(self, token: ApiToken) -> SafeString | None:
        return moment(token.created_at)

    # --- Making ---

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        only = {"show_save_and_add_another": False, "show_save_and_continue": False, **(extra_context or {})}
        try:
            return super().changeform_view(request, object_id, form_url, only)
        except DomainError as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        by = account(request)
        made = api_tokens.create(form.sent, owner=by, by=by, now=database_now())
        obj.pk, obj.prefix = made.token.pk, made.token.prefix
        request.__dict__["_secret"] = made.secret

    def response_add(self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None) -> HttpResponse:
        """Show the secret in the answer itself: neither a session nor a cookie ever holds it."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Token made",
            "page_name": self.page_name,
            "opts": self.opts,
            "token": obj,
            "secret": request.__dict__["_secret"],
        }
        return TemplateResponse(request, "console/token.html", context)

    # --- Revoking ---

    def delete_model(self, request: HttpRequest, obj: ApiToken) -> None:
        api_tokens.end(str(obj.pk), by=account(request), now=database_now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        for token in queryset:
            self.delete_model(request, token)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """List the tokens with what revoking them means."""
        tokens = [f"{token}: programs that still use it are refused at once" for token in objs]
        return tokens, {"API tokens": len(tokens)}, set(), []
