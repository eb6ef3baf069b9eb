"""Read a CSV file of jobs into rows whose cells are named by what they mean (contract, section 10)."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from unicodedata import normalize

from django.conf import settings

from cronsched.lib.errors import DomainError
from jobs.definitions.request_options import CELL_FIELDS
from jobs.definitions.scheduling_options import OPTION_FIELDS

# With these a file is judged and written well within the time a client waits.
MAX_ROWS = 20_000
MAX_ROWS_WITH_BLANK = 200_000
MAX_COLUMNS = 1_000
MAX_TITLE = 100

# What a column means -> the headers it may have, by precedence.
ALIASES = {
    "name": ("job name", "name"),
    "cron_expression": ("cron schedule (jst)", "cron expression", "cron", "cron_expression"),
    "status": ("status", "is_active", "active"),
    "target_url": ("target url", "target_url", "url"),
    "github_owner": ("github owner", "owner", "github_owner"),
    "github_repo": ("repo", "github repo", "github_repo"),
    "github_workflow_name": ("workflow name", "github workflow name", "github_workflow_name"),
    "dispatch_url": ("dispatch url", "dispatch_url", "github dispatch url", "github_dispatch_url"),
    "category": ("category", "job category", "job_category"),
    "end_date": ("end date", "end_date"),
    "pic_team": ("pic team", "pic_team", "pic team slug", "pic_team_slug"),
    "branch": ("branch", "ref"),
    "metadata": ("request body", "request_body", "metadata"),
    **{name: (name.replace("_", " "), name) for name in (*OPTION_FIELDS, *CELL_FIELDS)},
}

# Stands behind the last line. It becomes a row of its own unless a quoted cell is still open there.
END = "\x00"
# Bytes that are no UTF-8, as `surrogateescape` keeps them until they are counted.
UNDECODABLE = re.compile("[\udc80-\udcff]")


class Row(NamedTuple):
    """`number` counts the header as 1 and leaves blank rows out. `cells` are trimmed, blank where there is none."""

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """What a file holds. `ignored_columns` are the titles that mean nothing here, `undecodable` bytes by their row."""

    rows: list[Row]
    stats: Mapping[str, int]
    ignored_columns: Sequence[str] = ()
    undecodable: Mapping[int, int] | None = None

    @property
    def names(self) -> list[str]:
        return [name for row in self.rows if (name := row.cells["name"])]


def read_table(content: bytes) -> Table:
    """Return the rows of a CSV file. Raises `DomainError` (400) for a file that cannot be read as a whole."""
    text = content.decode("utf-8", "surrogateescape").lstrip("\ufeff")
    records = _records(text)
    header = next(records, None)
    if header is None:
        raise _unusable("CSV is empty.")
    named = _named_places(header)
    columns = _columns(header)
    undecodable: dict[int, int] = {}
    is_clean = UNDECODABLE.search(text) is None
    rows: list[Row] = []
    count = 0
    for record in records:
        count += 1
        if _has_content(record, named):
            number = len(rows) + 2
            rows.append(Row(number, _cells(record if is_clean else _decoded(record, number, undecodable), columns)))
        _check_size(len(rows), count)
    stats = {
        "original_column_count": len(header),
        "original_row_count": count,
        "removed_column_count": len(header) - len(named),
        "removed_empty_row_count": count - len(rows),
    }
    return Table(rows, stats, _ignored(header, named, columns), undecodable)


def _check_size(rows: int, count: int) -> None:
    if rows > MAX_ROWS:
        raise _unusable(f"CSV has more than {MAX_ROWS} rows. Split the file.")
    if count > MAX_ROWS_WITH_BLANK:
        raise _unusable(f"CSV has more than {MAX_ROWS_WITH_BLANK} rows, blank ones included.")


def _decoded(record: list[str], number: int, undecodable: dict[int, int]) -> list[str]:
    """Return the row with a replacement character for each byte that is no UTF-8, counted under its number."""
    replaced = [UNDECODABLE.subn("\ufffd", cell) for cell in record]
    if found := sum(count for _, count in replaced):
        undecodable[number] = found
    return [cell for cell, _ in replaced]


def _records(text: str) -> Iterator[list[str]]:
    if END in text:
        raise _unusable("This is no text in UTF-8.")
    if not text:
        return
    # The limit is the whole interpreter's, and its default is smaller than the bodies the API accepts.
    csv.field_size_limit(settings.MAX_BODY_BYTES)
    reader = csv.reader(io.StringIO(f"{text}{END}" if text[-1] in "\r\n" else f"{text}\n{END}", newline=""))
    begins = 1
    try:
        for record in reader:
            if record == [END]:
                return
            if record and record[-1].endswith(END):
                raise _unusable(f"A quote opened in the row that begins in line {begins} is never closed.")
            begins = reader.line_num + 1
            yield record
    except csv.Error as error:
        raise _unusable(f"Line {reader.line_num}: {error}.") from None


def _named_places(header: list[str]) -> frozenset[int]:
    if len(header) > MAX_COLUMNS:
        raise _unusable(f"CSV has more than {MAX_COLUMNS} columns.")
    named = frozenset(place for place, title in enumerate(header) if title.strip())
    if not named:
        raise _unusable("CSV header row has no usable column names.")
    return named


def _columns(header: list[str]) -> dict[str, list[int]]:
    """Return for each meaning the places of its columns, by precedence of their headers, then from left to right.

    Other spellings of a known header (`Time-Zone`, a line break in it) come after the known ones.
    """
    titles = [title.strip().lower() for title in header]
    compact = [_compact(title) for title in header]
    columns = {}
    for meaning, aliases in ALIASES.items():
        exact = [place for alias in aliases for place, title in enumerate(titles) if title == alias]
        spelled = {_compact(alias) for alias in aliases}
        columns[meaning] = exact + [
            place for place, title in enumerate(compact) if title in spelled and place not in exact
        ]
    if not any(columns.values()):
        raise _unusable(
            'CSV header row has no column this service knows, such as "Job Name". Is it separated by commas?'
        )
    return columns


def _compact(title: str) -> str:
    """Return the letters and digits of a title: what is left when case, blanks, hyphens and marks do not matter."""
    return "".join(sign for sign in normalize("NFKC", title).casefold() if sign.isalnum())


def _ignored(header: list[str], named: frozenset[int], columns: Mapping[str, list[int]]) -> list[str]:
    known = {place for places in columns.values() for place in places}
    titles = (" ".join(UNDECODABLE.sub("\ufffd", header[place]).split()) for place in sorted(named - known))
    return [title[:MAX_TITLE] for title in titles]


def _has_content(record: list[str], named: frozenset[int]) -> bool:
    return any(cell and not cell.isspace() for place, cell in enumerate(record) if place in named)


def _cells(record: list[str], columns: Mapping[str, list[int]]) -> dict[str, str]:
    # Short rows end early: what they lack is blank.
    return {
        meaning: next((text for place in places if place < len(record) and (text := record[place].strip())), "")
        for meaning, places in columns.items()
    }


def _unusable(message: str) -> DomainError:
    return DomainError("Invalid CSV", message)
