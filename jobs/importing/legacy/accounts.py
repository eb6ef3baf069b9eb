"""Accounts with their passwords and preferences."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError

from accounts import passlib_hashes
from accounts.models import NotificationPreferences, Role, UiPreferences, User, default_table_columns
from accounts.services import record_creation
from accounts.validators import EMAIL_LENGTH, USERNAME_LENGTH, is_email, validate_username
from jobs.importing.legacy import values
from jobs.importing.legacy.source import Row
from jobs.importing.legacy.state import ImportState
from jobs.importing.legacy.tables import LegacyNotificationPreferences, LegacyUiPreferences, LegacyUser

USERS = "users"
STANDS_FOR = "An account here has this name or address: it is used for the older one and not changed."
UNUSABLE_HASH = (
    "The password's hash is of a kind that is not verified here: an administrator has to set a new password."
)
FLAGS = (
    "email_on_job_success",
    "email_on_job_failure",
    "email_on_job_disabled",
    "browser_notifications",
    "daily_digest",
    "weekly_report",
)


@dataclass
class Taken:
    """Names and addresses that accounts have: here since before, by the account, and all of them."""

    own: dict[str, UUID]
    usernames: set[str]
    emails: set[str]

    @classmethod
    def read(cls, imported: set[UUID]) -> "Taken":
        """Read the accounts that are here. Those of the ids `imported` came from there."""
        rows = list(User.objects.values_list("pk", "username", "email"))
        born_here = [row for row in rows if row[0] not in imported]
        own = {email: key for key, _, email in born_here} | {name: key for key, name, _ in born_here}
        return cls(own, {row[1] for row in rows}, {row[2] for row in rows})


def import_accounts(state: ImportState) -> None:
    imported = {key for row in state.source.rows(LegacyUser) if (key := values.identity(USERS, row["id"]))}
    taken = Taken.read(imported)
    known = state.joined = dict(User.objects.values_list("pk", "created_at"))
    for chunk in state.chunks(state.source.rows(LegacyUser)):
        with state.transaction():
            new = [user for row in chunk if (user := _account(state, row, taken, known))]
            state.insert(new)
            if not state.options.dry_run:
                for user in new:
                    record_creation(user, by=None, now=state.now)


def _account(state: ImportState, row: Row, taken: Taken, known: dict[UUID, datetime]) -> User | None:
    """Return the account that a row becomes; None where there is one already, or none is to be."""
    count = state.begin_row(USERS)
    key, name = values.identity(USERS, row["id"]), values.text(row["username"])
    if key is None:
        state.leave_out(USERS, "", name, "The row has no id.")
        return None
    if key in known:
        state.accounts[key] = key
        count.present += 1
        return None
    if str(key) in state.deleted:
        state.leave_out(USERS, key, name, "The account has been deleted here since it was imported.")
        return None
    email = (values.text(row["email"]) or "").lower()
    if (own := taken.own.get(name or "") or taken.own.get(email)) is not None:
        state.accounts[key] = own
        count.present += 1
        state.note(USERS, key, name, STANDS_FOR, own)
        return None
    user = _new_account(state, row, key, taken)
    state.accounts[key], known[key] = key, user.created_at
    count.imported += 1
    return user


def _new_account(state: ImportState, row: Row, key: UUID, taken: Taken) -> User:
    username = _username(state, row, key, taken)
    created_at = values.instant(row["created_at"])
    if created_at is None:
        state.note(USERS, key, username, "No readable date of creation: 1970 is used.", row["created_at"])
    created_at = created_at or values.FIRST
    return User(
        id=key,
        username=username,
        email=_email(state, row, key, username, taken),
        password=_password(state, row, key, username),
        role=_role(state, row, key, username),
        is_active=values.flag(row["is_active"], True),
        created_at=created_at,
        updated_at=values.instant(row["updated_at"]) or created_at,
    )


def _username(state: ImportState, row: Row, key: UUID, taken: Taken) -> str:
    written = values.text(row["username"]) or ""
    longest = USERNAME_LENGTH[1]
    name = written[:longest] or f"imported-{key.hex[:8]}"
    if name != row["username"]:
        state.note(
            USERS, key, name, "The name is blank, too long, or holds blanks around it: changed.", row["username"]
        )
    if name in taken.usernames:
        name = next(text for n in range(2, 10**6) if (text := f"{name[: longest - 7]}-{n}") not in taken.usernames)
        state.note(USERS, key, name, "The name is used twice: a number was added.", written)
    taken.usernames.add(name)
    try:
        validate_username(name)
    except ValidationError as error:
        state.note(USERS, key, name, "The name is kept, but none like it could be chosen here.", error.messages[0])
    if any(other != name and other.lower() == name.lower() for other in taken.usernames):
        state.note(USERS, key, name, "Names differ only by case: each signs in with its own spelling.")
    return name


def _email(state: ImportState, row: Row, key: UUID, username: str, taken: Taken) -> str:
    written = values.text(row["email"]) or ""
    email = written.lower()
    if not email or len(email) > EMAIL_LENGTH:
        email = f"{key.hex}@imported.invalid"
        state.note(USERS, key, username, "No usable e-mail address: a placeholder is used.", written)
    elif not is_email(email):
        state.note(USERS, key, username, "The e-mail address is kept, but no mail will reach it.", written)
    if email in taken.emails:
        local, _, domain = email.rpartition("@")
        cut = local[: EMAIL_LENGTH - len(domain) - 8]
        email = next(text for n in range(2, 10**6) if (text := f"{cut}+{n}@{domain}") not in taken.emails)
        state.note(USERS, key, username, "The e-mail address is used twice: a number was added.", f"{written}: {email}")
    taken.emails.add(email)
    return email


def _password(state: ImportState, row: Row, key: UUID, username: str) -> str:
    encoded = passlib_hashes.encoded_of(values.text(row["password_hash"]) or "")
    if encoded is None:
        state.note(USERS, key, username, UNUSABLE_HASH)
        return make_password(None)
    return encoded


def _role(state: ImportState, row: Row, key: UUID, username: str) -> str:
    role = (values.text(row["role"]) or "").lower()
    if role not in Role.values:
        state.note(USERS, key, username, "The role is unknown: the account becomes a viewer.", role)
        return Role.VIEWER.value
    return role


# --- Preferences -----------------------------------------------------------------------------------------------------


def import_preferences(state: ImportState) -> None:
    has_mail = set(NotificationPreferences.objects.values_list("user_id", flat=True))
    has_columns = set(UiPreferences.objects.values_list("user_id", flat=True))
    for table, model, there in (
        (LegacyNotificationPreferences, NotificationPreferences, has_mail),
        (LegacyUiPreferences, UiPreferences, has_columns),
    ):
        name = table._meta.db_table
        for chunk in state.chunks(state.source.rows(table)):
            new = [
                model(user_id=user_id, updated_at=state.now, **_choices(state, name, row))
                for row in chunk
                if (user_id := _owner(state, name, row, there))
            ]
            with state.transaction():
                state.insert(new)


def _owner(state: ImportState, table: str, row: Row, there: set[UUID]) -> UUID | None:
    count = state.begin_row(table)
    user_id = state.accounts.get(values.identity(USERS, row["user_id"]) or UUID(int=0))
    if user_id is None:
        state.leave_out(table, row["id"], "", "The row belongs to no account.", row["user_id"])
        return None
    if user_id in there:
        count.present += 1
        return None
    there.add(user_id)
    count.imported += 1
    return user_id


def _choices(state: ImportState, table: str, row: Row) -> Mapping[str, Any]:
    if "jobs_table_columns" not in row:
        defaults = NotificationPreferences()
        return {name: values.flag(row[name], getattr(defaults, name)) for name in FLAGS}
    chosen = values.document(row["jobs_table_columns"])
    if not isinstance(chosen, dict):
        state.note(
            table, row["id"], "", "The columns are no JSON object: the defaults are used.", row["jobs_table_columns"]
        )
        chosen = {}
    columns = {name: bool(chosen.get(name, default)) for name, default in default_table_columns().items()}
    return {"jobs_table_columns": columns}
