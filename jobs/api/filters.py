"""Which executions a list or a statistic is about (contract, section 11, "Common filters").

Blank filters are ignored and unknown values match nothing. Dates and a search that cannot be read are refused (400).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter

from cronsched.api.openapi import FROM, SEARCH_FORM, TO
from cronsched.lib.ids import known_id
from cronsched.lib.input import query, ranges
from jobs.history.queries import Selection, by_job_name
from jobs.models import ExecutionType, Status, TriggerType

JOB_ID = OpenApiParameter("job_id", str, description="Only executions of this job.")
STATUS = OpenApiParameter(
    "status",
    str,
    description="One status or a comma list: " + ", ".join(f"`{status}`" for status in Status) + ".",
)
TRIGGER_TYPE = OpenApiParameter("trigger_type", str, description="`scheduled` or `manual`.")
EXECUTION_TYPE = OpenApiParameter("execution_type", str, description="`webhook` or `github_actions`.")
SEARCH = OpenApiParameter("search", SEARCH_FORM, description="Part of the job's name, in any case.")
COMMON = (STATUS, TRIGGER_TYPE, FROM, TO)

Params = Mapping[str, str]


def selection(params: Params) -> Selection:
    """Return what the global list is asked for."""
    asked = replace(
        common_selection(params),
        jobs=_job_ids(params.get("job_id", "")),
        execution_types=_known([params.get("execution_type", "")], ExecutionType.values),
    )
    return by_job_name(asked, query.search(params))


def common_selection(params: Params) -> Selection:
    """Return what the list of one job is asked for."""
    return Selection(
        statuses=_known(params.get("status", "").split(","), Status.values),
        trigger_types=_known([params.get("trigger_type", "")], TriggerType.values),
        period=ranges.read(params),
    )


def selection_of_period(params: Params) -> Selection:
    """Return what the statistics are asked for."""
    return Selection(jobs=_job_ids(params.get("job_id", "")), period=ranges.read(params))


def _known(texts: Sequence[str], values: Sequence[str]) -> frozenset[str] | None:
    """Return which of `values` the texts name, None where they name nothing at all.

    What is unknown never reaches the database, which might choke on it.
    """
    wanted = {text.strip() for text in texts} - {""}
    return frozenset(wanted.intersection(values)) if wanted else None


def _job_ids(text: str) -> frozenset[UUID] | None:
    if not text.strip():
        return None
    job_id = known_id(text.strip())
    return frozenset() if job_id is None else frozenset({job_id})
