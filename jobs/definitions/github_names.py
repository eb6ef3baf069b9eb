"""Names of owners, repositories and workflows, and the ways to write all three at once (contract, sections 6 and 9)."""

import re

from cronsched.lib.errors import DomainError

GITHUB_FIELDS = ("github_owner", "github_repo", "github_workflow_name")

MAX_GITHUB_LENGTH = 255
# GitHub's own limits; a file name ends at 255 bytes.
GITHUB_LENGTHS = {"github_owner": 39, "github_repo": 100, "github_workflow_name": MAX_GITHUB_LENGTH}
_NO_PART_OF_A_PATH = re.compile(r"[\s/\\?#%\x00-\x1f\x7f]")

# GitHub's own names of owners contain no dot, so a host in the first place is never taken for one.
_PARTS = r"(?P<github_owner>[^/\s?#.]+)/(?P<github_repo>[^/\s?#]+)"
_WORKFLOW = r"(?P<github_workflow_name>[^/\s?#]+)"
DISPATCH_FORMS = tuple(
    re.compile(form)
    for form in (
        rf"{_PARTS}/{_WORKFLOW}",
        rf"/?{_PARTS}/actions/workflows/{_WORKFLOW}",
        rf"(?i:(?:https://)?github\.com)/{_PARTS}/actions/workflows/{_WORKFLOW}",
        rf"(?i:https://api\.github\.com)/repos/{_PARTS}/actions/workflows/{_WORKFLOW}/dispatches",
    )
)
BAD_DISPATCH_URL = (
    "Invalid dispatch URL format. Expected one of: <owner>/<repo>/<workflow>, "
    "/<owner>/<repo>/actions/workflows/<workflow>, or https://github.com/<owner>/<repo>/actions/workflows/<workflow>."
)


def check_github_name(name: str, text: str, shown: str = "") -> None:
    """Refuse text that cannot be the GitHub field `name`, called `shown` where it stands. Raises `DomainError`."""
    title, limit = shown or name, GITHUB_LENGTHS[name]
    if len(text) > MAX_GITHUB_LENGTH:
        raise DomainError(f"Invalid {title}", f"{title} must be at most {MAX_GITHUB_LENGTH} characters.", field=title)
    if len(text) > limit:
        message = f"{title} must be at most {limit} characters, as at GitHub."
        raise DomainError(f"Invalid {title}", message, field=title)
    if _NO_PART_OF_A_PATH.search(text):
        message = f"{title} must not contain blanks or any of / \\ ? # %."
        raise DomainError(f"Invalid {title}", message, field=title)


def checked_default_owner(text: str) -> str:
    """Return the owner that fills gaps in an upload. Raises `DomainError` for one no job could store."""
    owner = text.strip()
    check_github_name("github_owner", owner, "default_github_owner")
    return owner


def dispatch_target(text: str, error: str) -> dict[str, str]:
    """Return the GitHub fields a dispatch URL names (contract, section 9).

    Raises `DomainError` titled `error` for text of another form.
    """
    matches = (form.fullmatch(text) for form in DISPATCH_FORMS)
    target = next((match.groupdict() for match in matches if match), None)
    if target is None:
        raise DomainError(error, BAD_DISPATCH_URL, field="dispatch_url")
    return target


def read_shorthand(text: str) -> dict[str, str] | None:
    """Return the GitHub fields of `owner/repo/workflow` written in place of a URL, None for anything else."""
    parts = [part.strip() for part in text.split("/")]
    if "://" in text or len(parts) != len(GITHUB_FIELDS) or not all(parts) or "." in parts[0]:
        return None
    return dict(zip(GITHUB_FIELDS, parts, strict=True))
