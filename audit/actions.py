"""What the audit trail tells of: each action, when an entry of it is written, and who can be its actor. No others."""

from collections.abc import Mapping
from typing import NamedTuple

from audit.models import ActorKind

# The system is the scheduler, single sign-on, or a caller who is not signed in.
USER, TOKEN, COMMAND, SYSTEM = ActorKind.USER, ActorKind.TOKEN, ActorKind.COMMAND, ActorKind.SYSTEM


class Action(NamedTuple):
    text: str
    actors: tuple[ActorKind, ...]


ACTIONS: Mapping[str, Action] = {
    "job.created": Action(
        "A job was made: over the API, in the console, from a file or out of another service.",
        (USER, TOKEN, COMMAND),
    ),
    "job.updated": Action(
        "A job's definition was changed, a revision restored, or its owner changed (`owner`).",
        (USER, TOKEN, COMMAND),
    ),
    "job.paused": Action(
        "A job was paused by somebody, for its failures in a row, or because its end date has passed.",
        (USER, TOKEN, COMMAND, SYSTEM),
    ),
    "job.resumed": Action(
        "A job was resumed by somebody, or because the time of its pause has run out.",
        (USER, TOKEN, COMMAND, SYSTEM),
    ),
    "job.renewed": Action(
        "A job's end date was moved, also from the page that a reminder leads to.",
        (USER, TOKEN, SYSTEM),
    ),
    "job.deleted": Action(
        "A job was deleted with its history; `changes` has its whole definition.",
        (USER, TOKEN),
    ),
    "team.created": Action(
        "A PIC team was made.",
        (USER, TOKEN, COMMAND),
    ),
    "team.updated": Action(
        "A PIC team was changed, or taken out of the choices.",
        (USER, TOKEN),
    ),
    "category.created": Action(
        "A category was made.",
        (USER, TOKEN, COMMAND),
    ),
    "category.updated": Action(
        "A category was changed, or taken out of the choices.",
        (USER, TOKEN),
    ),
    "slack_settings.updated": Action(
        "Slack's address, channel, how often it posts or whether it does were changed.",
        (USER, COMMAND),
    ),
    "slack_settings.shown": Action(
        "An administrator was shown Slack's address, once an hour at most.",
        (USER,),
    ),
    "user.created": Action(
        "An account was made: by registration, an administrator, a command, or at a first single sign-on.",
        (USER, COMMAND, SYSTEM),
    ),
    "user.updated": Action(
        "An account's address, role, password (never told) or state was changed; a role also by single sign-on.",
        (USER, COMMAND, SYSTEM),
    ),
    "user.deleted": Action(
        "An account was deleted. Its entries stay.",
        (USER,),
    ),
    "user.signed_in": Action(
        "Somebody signed in, to the API or to the console; the reason names single sign-on or a factor.",
        (USER,),
    ),
    "user.signed_out": Action(
        "Somebody signed out.",
        (USER,),
    ),
    "user.sign_in_refused": Action(
        "Single sign-on was refused; the reason says why.",
        (USER,),
    ),
    "user.locked_out": Action(
        "An account or address was locked after so many failed sign-ins; the actor is nobody.",
        (SYSTEM,),
    ),
    "user.linked": Action(
        "An account was linked with one of the identity provider.",
        (USER,),
    ),
    "user.second_factor_added": Action(
        "An app or a passkey was added.",
        (USER,),
    ),
    "user.second_factor_renamed": Action(
        "An app or a passkey was renamed.",
        (USER,),
    ),
    "user.second_factor_removed": Action(
        "An app or a passkey was removed by its owner.",
        (USER,),
    ),
    "user.second_factor_reset": Action(
        "An administrator or a command took all second factors away.",
        (USER, COMMAND),
    ),
    "user.second_factor_refused": Action(
        "A code or a passkey was refused at a sign-in.",
        (USER,),
    ),
    "user.recovery_codes_made": Action(
        "New recovery codes were made; the old ones have ended.",
        (USER,),
    ),
    "user.recovery_code_used": Action(
        "Somebody signed in by a recovery code; the reason says how many are left.",
        (USER,),
    ),
    "session.ended": Action(
        "A session was ended by its owner or an administrator.",
        (USER,),
    ),
    "token.created": Action(
        "An API token was made; `owner` says for whom.",
        (USER, COMMAND),
    ),
    "token.deleted": Action(
        "An API token was revoked, also by the deactivation or deletion of its owner's account.",
        (USER,),
    ),
    "token.refused": Action(
        "A call with an API token was refused; the reason says why.",
        (TOKEN,),
    ),
    "import.completed": Action(
        "`import_legacy` has taken an older service's data in; `changes` counts it.",
        (COMMAND,),
    ),
    "history.restored": Action(
        "`mark_restored` was run after the restore of a backup.",
        (COMMAND,),
    ),
    "history.purged": Action(
        "`purge_executions` has deleted old executions; `changes` counts them.",
        (COMMAND,),
    ),
}
