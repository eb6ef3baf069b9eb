"""Where the contract itself contradicts a check: per operation, with the reason. Everything else is checked."""

# Data that fits the schema and is refused all the same.
DATES = "`from` and `to` are dates in several forms, in order; the schema can only say text"
NAMES = "a name must make a slug that is free and short enough"
IDENTIFIER = "one of two fields is needed, and a blank or NUL in a password is refused"
SECRETS = "passwords hold no NUL, addresses have a dotted domain, user names their alphabet"
JOB_RULES = "expressions, end dates, teams and targets have rules of their own"
CRON = "an expression is text to the schema"
TARGET = "one of two kinds of target is needed"
FILE = "a file of any bytes is no CSV with the right columns"
TEXT = "NUL and incomplete characters are refused in every text"
OWN_ACCOUNT = "nobody deletes the own account"
LIMITED = "a category limits how far its jobs may be extended, and a reason is not blank"
ACT = "jobs are named in one way, each action takes what is its own, and an end lies ahead"
LATER = "what ends by itself ends later than now"
NETWORKS = "an end lies ahead, and addresses are text to the schema"
IDS = "ids and objects are text to the schema"
SLACK = "Slack cannot be switched on without an address"

# Data that does not fit the schema and is taken all the same.
TRUTH = "booleans follow truthiness: other JSON types count as true or false"
FIRST_NAME = "of two names for one field the first that is not blank counts, and the other is not looked at"
COUNT = "decimals and numbers as text are converted, falsy values are the default"
TRIMMED = "a text is trimmed before it is measured"
OTHER_TARGET = "overrides of the kind of target a job does not have are ignored"
OTHER_FIELDS = "what an action does not take is not looked at"
FALSY_METADATA = "falsy metadata counts as an empty object"

REFUSED = "positive_data_acceptance"
TAKEN = "negative_data_rejection"

CONTRADICTIONS: dict[str, dict[str, str]] = {
    REFUSED: {
        "act_on_jobs": ACT,
        "bulk_upload_jobs": FILE,
        "count_unread_notifications": DATES,
        "create_job": JOB_RULES,
        "create_job_category": NAMES,
        "create_pic_team": NAMES,
        "create_token": NETWORKS,
        "delete_read_notifications": DATES,
        "delete_user": OWN_ACCOUNT,
        "execute_job": TEXT,
        "explain_job": DATES,
        "export_audit_entries": IDS,
        "get_execution_statistics": DATES,
        "get_forecast": DATES,
        "list_audit_entries": IDS,
        "list_executions": DATES,
        "list_executions_of_job": DATES,
        "list_notifications": DATES,
        "list_tokens": IDS,
        "login": IDENTIFIER,
        "login_by_form": IDENTIFIER,
        "pause_job": LATER,
        "preview_cron": CRON,
        "register_user": SECRETS,
        "renew_job": LIMITED,
        "renew_signing_secret": TEXT,
        "restore_revision": TEXT,
        "resume_job": TEXT,
        "test_run_job": TARGET,
        "test_slack_settings": SLACK,
        "update_job": JOB_RULES,
        "update_job_category": NAMES,
        "update_pic_team": NAMES,
        "update_preferences": TEXT,
        "update_slack_settings": SLACK,
        "update_ui_preferences": TEXT,
        "update_user": SECRETS,
        "validate_cron": TEXT,
    },
    TAKEN: {
        "act_on_jobs": OTHER_FIELDS,
        "create_job": TRIMMED,
        "create_job_category": TRIMMED,
        "create_pic_team": TRIMMED,
        "create_token": TRIMMED,
        "execute_job": OTHER_TARGET,
        "pause_job": TRIMMED,
        "preview_cron": COUNT,
        "renew_job": TRIMMED,
        "renew_signing_secret": TRUTH,
        "restore_revision": TRIMMED,
        "resume_job": TRIMMED,
        "test_run_job": FALSY_METADATA,
        "update_job": TRUTH,
        "update_job_category": TRUTH,
        "update_pic_team": TRUTH,
        "update_preferences": TRUTH,
        "update_slack_settings": TRUTH,
        "update_user": TRUTH,
        "validate_cron": FIRST_NAME,
    },
}


def by_operation() -> dict[str, dict[str, str]]:
    """Return the reasons per operation and check."""
    found: dict[str, dict[str, str]] = {}
    for check, operations in CONTRADICTIONS.items():
        for operation, reason in operations.items():
            found.setdefault(operation, {})[check] = reason
    return dict(sorted(found.items()))


def configuration() -> str:
    """Return the settings of the fuzzer: all checks, without these."""
    lines = ["[checks]", "enabled = true"]
    for operation, reasons in by_operation().items():
        lines += ["", "[[operations]]", f'include-operation-id = "{operation}"']
        for check, reason in reasons.items():
            lines += [f"# {reason}", f"checks.{check}.enabled = false"]
    return "\n".join(lines)
