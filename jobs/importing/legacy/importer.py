"""The import from the first table to the last."""

from collections.abc import Callable
from datetime import datetime

from audit import origin
from audit.services import Entry, record
from jobs.definitions.validation import Rules, local_date
from jobs.importing.legacy import accounts, definitions, history, labels, notices, survey
from jobs.importing.legacy.report import ImportReport
from jobs.importing.legacy.source import LegacySource
from jobs.importing.legacy.state import ImportOptions, ImportState, deleted_here
from jobs.importing.legacy.tables import TABLES

STEPS = (
    accounts.import_accounts,
    accounts.import_preferences,
    labels.import_labels,
    labels.import_slack,
    definitions.import_jobs,
    history.import_executions,
    notices.import_notifications,
)
COMMAND = "import_legacy"


def run(
    source: LegacySource,
    options: ImportOptions,
    report: ImportReport,
    *,
    now: datetime,
    on_row: Callable[[], None] = lambda: None,
) -> None:
    """Import what is not here yet, or say what would be. `on_row` is called once for each row read.

    With questions open nothing is written; a dry run goes on to what would become of each row.
    """
    report.remarks += source.remarks
    state = ImportState(source, options, report, Rules(local_date(now)), now, on_row, deleted=deleted_here())
    survey.ask(state)
    if report.questions and not options.dry_run:
        return
    with origin.acting_from(origin.Origin(command=COMMAND)):
        for step in STEPS:
            step(state)
        if not options.dry_run:
            record(_entry(report), by=None, now=now)


def rows(source: LegacySource) -> int:
    """Return how many rows there are to read."""
    return sum(source.count(table) for table in TABLES)


def _entry(report: ImportReport) -> Entry:
    counts = {name: (None, count.imported) for name, count in report.tables.items() if count.imported}
    return Entry("import.completed", "", "older service", counts)
