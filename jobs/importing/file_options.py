"""What an upload says about all rows of its file: options of the API's form and of the command alike."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from accounts.models import User
from accounts.permissions import ADMIN_REQUIRED
from cronsched.lib.errors import DomainError, Forbidden
from jobs.definitions.github_names import checked_default_owner
from jobs.definitions.validation import read_date
from jobs.importing.weekdays import Weekdays
from taxonomy.models import name_key


@dataclass(frozen=True)
class FileOptions:
    """What holds for the whole file.

    `end_date` is for rows whose own is blank, or past while they are active; `team_map` is by the old name in lower
    case, blank for rows that name none; `created_teams`, in lower case, are the only ones to create, if any are named.
    """

    default_owner: str = ""
    update_existing: bool = False
    end_date: date | None = None
    create_teams: bool = False
    created_teams: tuple[str, ...] = ()
    team_map: Mapping[str, str] = field(default_factory=dict)
    weekdays: Weekdays = Weekdays.AS_WRITTEN


def read_options(
    *,
    by: User | None,
    today: date,
    default_owner: str = "",
    update_existing: bool = False,
    end_date: str = "",
    create_teams: bool = False,
    map_team: Iterable[str] = (),
    weekdays: str = "",
) -> FileOptions:
    """Return the options that texts mean. `by` None is the operator at the console. Raises `DomainError`."""
    if create_teams and by is not None and not by.is_admin:
        raise Forbidden("Insufficient permissions", ADMIN_REQUIRED, detail=ADMIN_REQUIRED, field="create_teams")
    return FileOptions(
        default_owner=checked_default_owner(default_owner),
        update_existing=update_existing,
        end_date=_read_end_date(end_date.strip(), today),
        create_teams=create_teams,
        team_map=dict(_read_pair(line) for lines in map_team for line in lines.splitlines() if line.strip()),
        weekdays=_read_weekdays(weekdays.strip().lower()),
    )


def _read_end_date(text: str, today: date) -> date | None:
    if not text:
        return None
    end_date = read_date(text)
    if end_date is None:
        raise DomainError("Invalid end_date", "Invalid end_date. Use YYYY-MM-DD.", field="end_date")
    if end_date < today:
        raise DomainError("Invalid end_date", "end_date must be today or in the future.", field="end_date")
    return end_date


def _read_pair(text: str) -> tuple[str, str]:
    old, equals, new = (part.strip() for part in text.partition("="))
    if not (equals and new):
        message = "map_team must be OLD=NEW: the team in the file, and the slug or name of the team here."
        raise DomainError("Invalid map_team", message, field="map_team")
    return name_key(old), new


def _read_weekdays(text: str) -> Weekdays:
    try:
        return Weekdays(text) if text else Weekdays.AS_WRITTEN
    except ValueError:
        message = f"weekdays must be one of: {', '.join(Weekdays)}."
        raise DomainError("Invalid weekdays", message, field="weekdays") from None
