"""The message about one event: its text and its audience. Plain values only, no models.

    Message    the in-app notice; `mail` and `slack` say what is sent besides
    Mail       one mail to each address, less the accounts whose preference vetoes it
    SlackPost  one post to the Slack hook
    Alarm      what the event means for an incident: it failed again, or it is well again

Whether a mail or a post really goes out is decided by `notifications.services.notify`: by settings, preferences and,
where there is an `alarm`, by what was already said about the same incident.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID


class Everyone:
    """The audience of all accounts that exist when the notice is written."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "EVERYONE"


EVERYONE: Final = Everyone()
# No notice in the application: the message is only mailed or posted.
NOBODY: Final[tuple[UUID, ...]] = ()

Audience: TypeAlias = Everyone | tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to each of `recipients`, rendered from `templates/notifications/<kind>.*` with `context`.

    `preference` names the flag of an account's notification preferences that decides about the account's own address.
    An address without an account gets the mail, unless `accounts_only`: then only accounts with the flag do.
    `headline` is the subject.
    """

    kind: str
    headline: str
    recipients: tuple[str, ...]
    context: Mapping[str, Any]
    preference: str | None = None
    accounts_only: bool = False


@dataclass(frozen=True, slots=True)
class SlackPost:
    """One post: `text` in Slack's own markup, already escaped, with the mention in it.

    `facts` are short lines below it (label, text in markup).
    """

    text: str
    mention: str = ""
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Recovery:
    """The incident that is over."""

    failures: int
    failing_since: datetime


@dataclass(frozen=True, slots=True)
class Alarm:
    """What an event means for the job's incident, and from when on the job wants alerts.

    A failing event is mailed and posted from the `after`-th failure in a row on: each time, or with `remind_hours` only
    when so many hours have passed since the last alert. `recovered` words the end of an incident; it is called only
    when there was one that had been alerted, and with `tell_recovery` its message goes everywhere (otherwise to Slack
    alone, and only where failures are thinned out there).
    """

    job_id: UUID
    failing: bool
    after: int = 1
    remind_hours: int = 0
    tell_recovery: bool = False
    recovered: "Callable[[Recovery], Message] | None" = None


# Not frozen: a herd makes thousands, which would take three times as long. Nobody changes one.
@dataclass(slots=True)
class Message:
    """One event. Defaults: everybody sees it in the application, nothing is sent.

    `and_admins` adds the active administrators to an audience of accounts. `hold_until` keeps mail and post back
    (quiet hours). `dedup_key` is a key of what must not be said twice: a second message with it is dropped whole. Mails
    of one `thread` stand together in a mail program; incidents set it. Mails of one `share` (a team) wait for each
    other, not for those of another.
    """

    event: str
    title: str
    text: str
    level: str
    job_id: UUID | None = None
    execution_id: UUID | None = None
    audience: Audience = EVERYONE
    and_admins: bool = False
    mail: Mail | None = None
    slack: SlackPost | None = None
    alarm: Alarm | None = None
    hold_until: datetime | None = None
    dedup_key: str | None = None
    thread: UUID | None = None
    share: UUID | None = None
