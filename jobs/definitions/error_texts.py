"""The texts in which create, update and rows of a file differ about the same fault (contract, sections 6 and 10)."""

from typing import NamedTuple

from cronsched.lib.errors import DomainError, Forbidden


class ErrorTexts(NamedTuple):
    """The texts that differ. `duplicate_name` takes the name."""

    duplicate_name: str
    bad_target_url: str
    no_end_date: tuple[str, str]
    no_target: str


NEEDS_SCHEME = "target_url must include scheme (http:// or https://)."
CREATE = ErrorTexts(
    duplicate_name='A job with the name "{}" already exists. Please use a unique name.',
    bad_target_url=NEEDS_SCHEME
    + " For GitHub dispatch, use github_owner/github_repo/github_workflow_name or provide owner/repo/workflow.",
    no_end_date=("Missing required fields", '"end_date" is required (YYYY-MM-DD).'),
    no_target='Please provide either "target_url" or GitHub Actions configuration '
    "(github_owner, github_repo, github_workflow_name)",
)
UPDATE = ErrorTexts(
    duplicate_name='A job with the name "{}" already exists.',
    bad_target_url=NEEDS_SCHEME,
    no_end_date=("Invalid end_date", "end_date is required (YYYY-MM-DD)."),
    no_target="Job must have either target_url or complete GitHub Actions configuration",
)
ROW = ErrorTexts(
    duplicate_name='A job with the name "{}" already exists.',
    bad_target_url=CREATE.bad_target_url,
    no_end_date=("Missing required fields", "end_date (YYYY-MM-DD) is required."),
    no_target="Provide target_url or GitHub config (github_owner, github_repo, github_workflow_name).",
)


# What the contract's texts call a page, and what the console does.
_CONSOLE_LABELS = {"in Settings → PIC Teams": "under PIC teams", "in Settings → Categories": "under Categories"}


def in_console(text: str) -> str:
    """Return a text of the contract with the labels that a reader of the console sees."""
    for label, shown in _CONSOLE_LABELS.items():
        text = text.replace(label, shown)
    return text


def duplicate_name(name: str, texts: ErrorTexts) -> DomainError:
    return DomainError("Duplicate job name", texts.duplicate_name.format(name), field="name")


def not_yours(act: str) -> Forbidden:
    """Return the refusal of a caller that may not `act` on ("update", "delete", "execute", "check") this job."""
    return Forbidden("Insufficient permissions", f"You can only {act} your own jobs")
