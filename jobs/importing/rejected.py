"""The rows of a file that were left out, as a CSV file to correct and upload again."""

import csv
import io

from jobs.importing.csv_file import ALIASES, Table
from jobs.importing.export import COLUMNS
from jobs.importing.report import Report

TITLES = {meaning: title for title, meaning in COLUMNS.items()} | {"branch": "Branch", "dispatch_url": "Dispatch URL"}
# An upload passes over these two.
NUMBER, REASONS = "Row in the file", "What is wrong"


def as_csv(table: Table, report: Report) -> str:
    """Return the rows that `report` left out, with the columns that they fill and all that is wrong with each."""
    wrong = {
        error["row"]: " ".join(fault["message"] or fault["error"] for fault in error["faults"])
        for error in report.errors
    }
    rows = [row for row in table.rows if row.number in wrong]
    filled = [meaning for meaning in ALIASES if any(row.cells[meaning] for row in rows)]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*(TITLES[meaning] for meaning in filled), NUMBER, REASONS])
    for row in rows:
        writer.writerow([*(row.cells[meaning] for meaning in filled), row.number, wrong[row.number]])
    return out.getvalue()
