"""Categories, teams and the Slack settings."""

from uuid import UUID

from audit.services import MASKED, Entry, record
from jobs.importing.legacy import values
from jobs.importing.legacy.source import Row
from jobs.importing.legacy.state import ImportState
from jobs.importing.legacy.tables import LegacyCategory, LegacySlackSettings, LegacyTable, LegacyTeam
from notifications.models import SlackSettings
from notifications.slack_settings import MAX_CHANNEL, MAX_URL
from taxonomy.models import GENERAL_SLUG, JobCategory, Label, PicTeam, slugify
from taxonomy.services import MAX_NAME, MAX_SLUG

MADE = "A job names it, but there was no such row there: made."


def import_labels(state: ImportState) -> None:
    for table, model in ((LegacyCategory, JobCategory), (LegacyTeam, PicTeam)):
        slugs = set(model._default_manager.values_list("slug", flat=True))
        keys = set(model._default_manager.values_list("pk", flat=True))
        for chunk in state.chunks(state.source.rows(table)):
            new = [label for row in chunk if (label := _label(state, table, model, row, slugs, keys))]
            store_labels(state, new)


def store_labels(state: ImportState, new: list[Label]) -> None:
    """Insert new labels, with an entry of each in the audit trail, and let jobs find them."""
    for label in new:
        if isinstance(label, PicTeam):
            state.rules.teams.add(label)
        elif isinstance(label, JobCategory):
            state.rules.categories.add(label)
    if state.options.dry_run or not new:
        return
    with state.transaction():
        type(new[0])._default_manager.bulk_create(new)
        for label in new:
            kind = "team" if isinstance(label, PicTeam) else "category"
            created = {"name": (None, label.name), "slug": (None, label.slug)}
            record(Entry(f"{kind}.created", str(label.pk), label.name, created), by=None, now=state.now)


def _label(
    state: ImportState, table: type[LegacyTable], model: type[Label], row: Row, slugs: set[str], keys: set[UUID]
) -> Label | None:
    name = table._meta.db_table
    count = state.begin_row(name)
    title = (values.text(row["name"]) or values.text(row["slug"]) or "")[:MAX_NAME]
    slug = _slug(state, name, row, title)
    key = values.identity(name, row["id"])
    if not slug or key is None:
        state.leave_out(name, row["id"], title, "It has neither a usable slug nor a usable name.")
        return None
    if slug in slugs or key in keys:
        count.present += 1
        return None
    slugs.add(slug)
    keys.add(key)
    count.imported += 1
    return _new_label(state, name, model, row, key=key, title=title, slug=slug)


def _slug(state: ImportState, table: str, row: Row, title: str) -> str:
    written = values.text(row["slug"]) or ""
    slug = slugify(written or title)[:MAX_SLUG].strip("-")
    if slug and slug != row["slug"]:
        state.note(
            table, row["id"], title, "The slug is blank, too long or not in form: changed.", f"{written}: {slug}"
        )
    return slug


def _new_label(
    state: ImportState, table: str, model: type[Label], row: Row, *, key: UUID, title: str, slug: str
) -> Label:
    created_at = values.instant(row["created_at"]) or state.now
    # The contract keeps this one's name.
    title = "General" if model is JobCategory and slug == GENERAL_SLUG else title
    label = model(id=key, slug=slug, name=title, is_active=values.flag(row["is_active"], True), created_at=created_at)
    if isinstance(label, PicTeam):
        handle = values.text(row["slack_handle"])
        if handle is None:
            state.note(table, key, title, "It has no Slack handle: one is made of its slug.", f"@{slug}")
        label.slack_handle = (handle or f"@{slug}")[:MAX_NAME]
    return label


# --- Labels that only jobs name --------------------------------------------------------------------------------------


def category_of(state: ImportState, written: str | None) -> JobCategory:
    """Return the category a job names, which is made where there is none."""
    found = state.rules.categories.find(written or GENERAL_SLUG) if written else None
    if found is None and written and (slug := slugify(written)[:MAX_SLUG].strip("-")):
        found = JobCategory(slug=slug, name=written[:MAX_NAME])
        state.note("job_categories", found.pk, found.name, MADE)
        store_labels(state, [found])
    general = state.rules.categories.find(GENERAL_SLUG)
    assert general is not None
    return found or general


def team_of(state: ImportState, written: str | None) -> PicTeam | None:
    """Return the team a job names, which is made where there is none; None where it names none."""
    written = written if written and slugify(written) else state.options.default_team
    found = state.rules.teams.find(written) if written else None
    if found is None and written:
        slug = slugify(written)[:MAX_SLUG].strip("-")
        found = PicTeam(slug=slug, name=written[:MAX_NAME], slack_handle=f"@{slug}")
        state.note("pic_teams", found.pk, found.name, MADE)
        store_labels(state, [found])
    return found


# --- Slack -----------------------------------------------------------------------------------------------------------


def import_slack(state: ImportState) -> None:
    """Take the Slack settings over where there are none here."""
    table = LegacySlackSettings._meta.db_table
    count = state.report.table(table)
    for row in state.source.rows(LegacySlackSettings):
        count.read += 1
        state.on_row()
        if SlackSettings.objects.exclude(webhook_url=None).exists() or count.imported:
            count.present += 1
            continue
        _take_slack(state, table, row)


def _take_slack(state: ImportState, table: str, row: Row) -> None:
    url, channel = values.text(row["webhook_url"]), values.text(row["channel"])
    enabled = values.flag(row["is_enabled"], False)
    if url is None or len(url) > MAX_URL:
        state.leave_out(table, row["id"], "Slack", "There is no usable address of a webhook.")
        return
    if enabled and not url.lower().startswith("https://"):
        state.note(table, row["id"], "Slack", "The address is not https: nothing will be posted.")
    state.report.table(table).imported += 1
    if state.options.dry_run:
        return
    with state.transaction():
        chosen = {"is_enabled": enabled, "webhook_url": url, "channel": (channel or "")[:MAX_CHANNEL] or None}
        settings, _ = SlackSettings.objects.update_or_create(singleton=True, defaults=chosen)
        changes = {"is_enabled": (None, enabled), "webhook_url": (None, MASKED), "channel": (None, chosen["channel"])}
        record(Entry("slack_settings.updated", str(settings.pk), "Slack", changes), by=None, now=state.now)
