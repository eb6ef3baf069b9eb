"""Notices and deliveries, read-only, and the Slack settings on the admin site."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.paginator import InfinitePaginator
from unfold.widgets import UnfoldAdminPasswordWidget

from accounts.console import AdminsOnly, NeverEdited, account
from audit.console import AuditedForm
from cronsched.console import ConsoleAdmin
from cronsched.console.answers import redirected
from cronsched.console.between import Asked, ask, is_confirmed
from cronsched.console.dialogs import dialog_action
from cronsched.console.filters import PeriodFilter, titled
from cronsched.console.labels import in_labels, labels_of
from cronsched.console.texts import moment
from cronsched.lib.clock import database_now
from cronsched.lib.errors import DomainError
from notifications import outbox, slack_settings
from notifications.models import Delivery, DeliveryStatus, Level, Notification, SlackSettings

# So many rows are named before something is done to all that are selected.
ASKED = 200
LEVEL_COLOURS = {
    Level.INFO.label: "info",
    Level.SUCCESS.label: "success",
    Level.WARNING.label: "warning",
    Level.ERROR.label: "danger",
}
STATUS_COLOURS = {
    DeliveryStatus.WAITING.label: "warning",
    DeliveryStatus.SENDING.label: "info",
    DeliveryStatus.SENT.label: "success",
    DeliveryStatus.SUMMARISED.label: "success",
    DeliveryStatus.GIVEN_UP.label: "danger",
}


# What a notice or a delivery is about, by the pages of it.
RELATED = ("its_job", "its_execution")


class RelatedPages(ConsoleAdmin):
    """Leads to the pages of what a row is about."""

    @display(description="Job")
    def its_job(self, row: Notification | Delivery) -> SafeString | None:
        return _to("jobs_job_change", row, "related_job")

    @display(description="Execution")
    def its_execution(self, row: Notification | Delivery) -> SafeString | None:
        return _to("jobs_jobexecution_change", row, "related_execution")


def _to(page: str, row: Notification | Delivery, name: str) -> SafeString | None:
    """Return a link to the page of the row whose id `row` keeps as `name`; None where that row is gone."""
    try:
        about = getattr(row, name)
    except ObjectDoesNotExist:
        return None
    if about is None:
        return None
    return format_html('<a class="console-link" href="{}">{}</a>', reverse(f"admin:{page}", args=[about.pk]), about)


@admin.register(Notification)
class NotificationAdmin(NeverEdited, AdminsOnly, RelatedPages):
    list_display = ("title", "message", "level", "audience", "created")
    list_filter = (("type", titled("Kind", ChoicesDropdownFilter)), ("created_at", titled("Created", PeriodFilter)))
    list_filter_submit = True
    list_per_page = 50
    # Ids grow with time, and no index begins with the time of all notices.
    ordering = ("-id",)
    paginator = InfinitePaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fields = ("title", "message", "level", "event", "audience", *RELATED, "created_at")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notification]:
        return super().get_queryset(request).select_related("user")

    @display(description="Kind", ordering="type", label=LEVEL_COLOURS)
    def level(self, notice: Notification) -> str:
        return notice.get_type_display()

    @display(description="To")
    def audience(self, notice: Notification) -> str:
        return str(notice.user) if notice.user_id else "everybody"


@admin.register(Delivery)
class DeliveryAdmin(NeverEdited, AdminsOnly, RelatedPages):
    list_display = (
        "summary",
        "channel",
        "recipient",
        "state",
        "attempts",
        "reason",
        "created",
        "next_attempt",
        "done",
    )
    list_filter = (
        ("status", titled("State", ChoicesDropdownFilter)),
        ("channel", titled("Channel", ChoicesDropdownFilter)),
        ("created_at", titled("Created", PeriodFilter)),
    )
    list_filter_submit = True
    list_fullwidth = True
    list_per_page = 50
    empty_value_display = "-"
    search_fields = ("recipient__istartswith",)
    search_help_text = "Beginning of the address"
    ordering = ("-created_at", "-id")
    paginator = InfinitePaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fields = (
        *("summary", "kind", "channel", "recipient", "state", "attempts", "reason"),
        *("created_at", "next_attempt", "give_up_at", "finished_at", *RELATED),
    )
    labels = {"give_up_at": "Given up at", "finished_at": "Done"}
    readonly_fields = fields
    actions = ("try_again", "give_up")

    @display(description="State", ordering="status", label=STATUS_COLOURS)
    def state(self, delivery: Delivery) -> str:
        return delivery.get_status_display()

    @display(description="Next attempt", ordering="not_before")
    def next_attempt(self, delivery: Delivery) -> SafeString | None:
        return moment(delivery.not_before) if delivery.status == DeliveryStatus.WAITING else None

    @display(description="Done", ordering="finished_at")
    def done(self, delivery: Delivery) -> SafeString | None:
        return moment(delivery.finished_at)

    @admin.action(description="Try again now", permissions=["view"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        if not is_confirmed(request):
            note = "Each is tried within seconds, and for another day if it fails."
            return self._ask(request, queryset, "Try again", outbox.TRIED_AGAIN, note)
        number = outbox.try_again(queryset, now=database_now())
        self.message_user(
            request,
            f"{number} will be tried within seconds, or as soon as their channel stops holding back.",
            messages.SUCCESS,
        )
        return None

    @admin.action(description="Give up", permissions=["view"])
    def give_up(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        if not is_confirmed(request):
            return self._ask(request, queryset, "Give up", outbox.GIVEN_UP, "They will not be sent any more.")
        number = outbox.give_up(queryset, by=account(request), now=database_now())
        self.message_user(request, f"{number} will not be sent.", messages.SUCCESS)
        return None

    def _ask(
        self, request: HttpRequest, queryset: QuerySet[Delivery], verb: str, changing: Sequence[str], note: str
    ) -> HttpResponse:
        number = queryset.filter(status__in=changing).count()
        shown = [(row.status, row.summary, row) for row in queryset[:ASKED]]
        changed = [(summary, f"to {row.recipient}") for status, summary, row in shown if status in changing]
        left = [(summary, row.get_status_display()) for status, summary, row in shown if status not in changing]
        more = f" The first {ASKED} of the selection are named." if len(shown) == ASKED else ""
        counted = f"{number} {'delivery' if number == 1 else 'deliveries'}"
        return ask(self, request, Asked(verb, counted, changed, left, note + more, verb == "Give up"))


class SlackSettingsForm(AuditedForm):
    """The address is a secret: it is asked for anew and never shown."""

    audited_as = "slack_settings"

    plain = ("is_enabled", "channel", "post_every")
    new_webhook_url = forms.CharField(
        label="Webhook URL",
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
    )

    class Meta:
        model = SlackSettings
        fields = ("is_enabled", "channel", "post_every")
        labels = {"is_enabled": "Enabled"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = outbox.masked(self.instance.webhook_url)
        self.fields["new_webhook_url"].help_text = f"Now: {known}. Blank keeps it." if known else "None yet."

    @property
    def sent(self) -> dict[str, Any]:
        """What the form changes, as the API would be sent it."""
        url = self.cleaned_data["new_webhook_url"]
        plain = {name: self.cleaned_data[name] for name in self.plain if name in self.touched}
        return plain | ({"webhook_url": url} if url else {})

    def clean_new_webhook_url(self) -> str:
        """Require https, as the test message does: no other address is posted to."""
        url: str = self.cleaned_data["new_webhook_url"].strip()
        if url and not url.lower().startswith("https://"):
            raise forms.ValidationError("The webhook URL has to start with https://.")
        return url

    def clean(self) -> dict[str, Any]:
        super().clean()
        if not self.errors:
            try:
                slack_settings.check(self.sent, now=timezone.now())
            except DomainError as error:
                field = "new_webhook_url" if error.field == "webhook_url" else error.field
                labels = {**labels_of(self), "webhook_url": str(self.fields["new_webhook_url"].label)}
                self.add_error(field, in_labels(error.message or error.error, labels))
        return self.cleaned_data


@admin.register(SlackSettings)
class SlackSettingsAdmin(AdminsOnly, ConsoleAdmin):
    page_name = "Slack"
    form = SlackSettingsForm
    fieldsets = (
        (None, {"fields": ("is_enabled", "new_webhook_url", "channel", "post_every")}),
        ("How it goes", {"fields": ("last_success_at", "last_error", "last_error_at", "updated_at")}),
    )
    labels = {"last_success_at": "Last message taken", "last_error": "Last refusal", "last_error_at": "Refused at"}
    readonly_fields = ("last_success_at", "last_error", "last_error_at", "updated_at")
    actions_detail = ("send_test",)
    empty_value_display = "-"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Redirect to the one row there is."""
        if not self.has_view_permission(request):
            return super().changelist_view(request, extra_context)
        page = reverse("admin:notifications_slacksettings_change", args=[slack_settings.current().pk])
        return HttpResponseRedirect(page)

    def save_model(self, request: HttpRequest, obj: SlackSettings, form: SlackSettingsForm, change: bool) -> None:
        slack_settings.change(form.sent, by=account(request), now=timezone.now())

    @dialog_action(
        "Send a test message",
        icon="send",
        title="Send a test message?",
        text="It is posted at once, also while Slack is disabled.",
        button="Send",
    )
    def send_test(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        try:
            reason = slack_settings.send_test(by=account(request), now=timezone.now())
        except DomainError as error:
            reason = error.message
        if reason:
            self.message_user(request, f"Slack refused it: {reason}", messages.ERROR)
        else:
            self.message_user(request, "Slack accepted the message.", messages.SUCCESS)
        return redirected(reverse("admin:notifications_slacksettings_change", args=[object_id]))
