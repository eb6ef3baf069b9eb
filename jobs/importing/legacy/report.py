"""What became of each row, counted by decision and kept by example; all of it goes into a file where one is asked for.

Memory stays flat: of a decision that concerns a million rows only the first ones are kept.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

# Of each decision so many rows are kept for the screen and the JSON document.
KEPT = 1000
FILE_COLUMNS = ("table", "id", "name", "decision", "detail")
MAX_DETAIL = 2000


class Finding(NamedTuple):
    """One decision about one row. `decision` is a sentence that is the same for all rows it was taken for."""

    table: str
    id: str
    name: str
    decision: str
    detail: str = ""


@dataclass
class TableCount:
    """How many rows of a table were read, came in, were here before, or were left out."""

    read: int = 0
    imported: int = 0
    present: int = 0
    left_out: int = 0


@dataclass
class ImportReport:
    """What an import did, or would do. `questions` are what the operator has to answer first."""

    dry_run: bool = False
    file: IO[str] | None = None
    remarks: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    tables: dict[str, TableCount] = field(default_factory=dict)
    decisions: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    # Wakes exactly the jobs that came in paused and were active there.
    batch_id: str = ""

    def __post_init__(self) -> None:
        self._rows = csv.writer(self.file) if self.file else None
        if self._rows:
            self._rows.writerow(FILE_COLUMNS)

    def table(self, name: str) -> TableCount:
        return self.tables.setdefault(name, TableCount())

    def note(self, finding: Finding) -> None:
        """Count and list a decision about a row that comes in."""
        key = finding.table, finding.decision
        self.decisions[key] += 1
        finding = finding._replace(detail=finding.detail[:MAX_DETAIL])
        if self.decisions[key] <= KEPT:
            self.findings.append(finding)
        if self._rows:
            self._rows.writerow(_harmless(text) for text in finding)

    def leave_out(self, finding: Finding) -> None:
        """Count and list a row that does not come in."""
        self.table(finding.table).left_out += 1
        self.note(finding)

    @property
    def left_out(self) -> int:
        return sum(count.left_out for count in self.tables.values())

    def of_decision(self, table: str, decision: str) -> Iterator[Finding]:
        return (found for found in self.findings if (found.table, found.decision) == (table, decision))

    @property
    def body(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "dry_run": self.dry_run,
            "questions": self.questions,
            "remarks": self.remarks,
            "tables": {name: vars(count) for name, count in self.tables.items()},
            "decisions": _counted(self.decisions),
            "findings": [finding._asdict() for finding in self.findings],
            "batch_id": self.batch_id or None,
        }


def _counted(decisions: Counter[tuple[str, str]]) -> Sequence[dict[str, Any]]:
    return [{"table": table, "decision": text, "count": count} for (table, text), count in decisions.items()]


def _harmless(text: str) -> str:
    """Return a cell that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@"} else text
