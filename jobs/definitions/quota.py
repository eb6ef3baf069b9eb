"""How many jobs one account may own, where the operator says so."""

from django.conf import settings

from accounts.models import User
from cronsched.lib.errors import Conflict
from jobs.models import Job


def check(by: User | None, wanted: int) -> None:
    """Refuse an account that would own more jobs than `JOBS_PER_ACCOUNT`. Raises `Conflict`.

    Admins and the operator at the console are not bound by it. Two requests at once may pass it by one.
    """
    limit = settings.JOBS_PER_ACCOUNT
    if not limit or not wanted or by is None or by.is_admin:
        return
    owned = Job.objects.filter(created_by=by).count()
    if owned + wanted > limit:
        message = f"An account may own at most {limit} jobs. You own {owned}; this would make {owned + wanted}."
        raise Conflict("Too many jobs", message)
