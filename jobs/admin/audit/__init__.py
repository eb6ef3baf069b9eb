"""The audit trail, to read only: admins see all of it, the others what they did and what was done to their jobs."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from accounts.console import NeverEdited, OpenToAllRoles, account
from audit.models import AuditEntry, AuditQuerySet
from cronsched.console import ConsoleAdmin
from cronsched.console.changelist import ConsoleChangeList
from cronsched.console.filters import ChoiceFilter, PeriodFilter, titled
from cronsched.console.texts import moment
from jobs.admin.audit.search import KINDS, about
from jobs.admin.changes import act_of, changes_of, changes_table, written
from jobs.admin.texts import cut_line, page_link
from jobs.definitions.owner_names import names_of

PAGES = {
    "job": "jobs_job_change",
    "user": "accounts_user_change",
    "team": "taxonomy_picteam_change",
    "category": "taxonomy_jobcategory_change",
}


class KindFilter(ChoiceFilter):
    title = "Of what"
    parameter_name = "kind"

    def options(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [(kind, kind.replace("_", " ").capitalize()) for kind in KINDS]

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(object_type=value)


class AuditChangeList(ConsoleChangeList):
    """Reads the names of all accounts in the changes of the page with one query."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        entries = list(self.result_list)
        names = names_of(entries)
        for entry in entries:
            entry.names = names
        self.result_list = entries


@admin.register(AuditEntry)
class AuditAdmin(NeverEdited, OpenToAllRoles, ConsoleAdmin):
    page_name = "Audit"
    list_display = ("when", "actor", "act", "what", "changed", "reason", "address")
    list_display_links = ("when",)
    list_filter = (
        KindFilter,
        ("actor_kind", titled("By", ChoicesDropdownFilter)),
        ("at", titled("When", PeriodFilter)),
    )
    list_filter_submit = True
    list_fullwidth = True
    list_per_page = 50
    # The theme shows the field where there are some; `get_search_results` looks in its own way.
    search_fields = ("object_id",)
    search_help_text = "Beginning of the name of what was changed, or of who did it"
    ordering = ("-at", "-id")
    sortable_by = ("when",)
    paginator = InfinitePaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fields = ("when", "actor", "act", "what", "all_changes", "reason", ("address", "request_id"))
    labels = {"request_id": "Request"}
    readonly_fields = ("when", "actor", "act", "what", "all_changes", "address")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ConsoleChangeList]:
        return AuditChangeList

    def get_queryset(self, request: HttpRequest) -> AuditQuerySet:
        entries: AuditQuerySet = super().get_queryset(request)
        user = account(request)
        return entries if user.is_admin else entries.filter(Q(actor_id=user.pk) | Q(owner_id=user.pk))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry], search_term: str
    ) -> tuple[QuerySet[AuditEntry], bool]:
        return (queryset.filter(about(search_term.strip())) if search_term.strip() else queryset), False

    @display(description="When", ordering="at")
    def when(self, entry: AuditEntry) -> SafeString | None:
        return moment(entry.at)

    @display(description="Who")
    def actor(self, entry: AuditEntry) -> SafeString:
        return cut_line(entry.actor_name)

    @display(description="Act")
    def act(self, entry: AuditEntry) -> SafeString:
        return cut_line(entry.action, act_of(entry))

    @display(description="From")
    def address(self, entry: AuditEntry) -> str | None:
        return entry.source_ip

    @display(description="What")
    def what(self, entry: AuditEntry) -> SafeString:
        page, name = PAGES.get(entry.object_type), entry.object_name or entry.object_id or entry.object_type
        return page_link(page, entry.object_id, name) if page and entry.object_id else cut_line(name)

    @display(description="Changes")
    def changed(self, entry: AuditEntry) -> SafeString:
        names = getattr(entry, "names", {})
        told = (f"{name}: {written(old, names)} → {written(new, names)}" for name, old, new in changes_of(entry))
        return cut_line(", ".join(told))

    @display(description="Changes", empty_value="None")
    def all_changes(self, entry: AuditEntry) -> SafeString:
        return changes_table(entry)
