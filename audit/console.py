"""Forms of the console whose changes are in the trail: after a conflict they name who was faster."""

from datetime import datetime

from audit.models import AuditEntry
from cronsched.console import SnapshotForm
from cronsched.console.texts import local_text


class AuditedForm(SnapshotForm):
    # The type of its objects in the trail.
    audited_as = ""

    def _last_change(self, since: datetime | None) -> tuple[str, str]:
        """Return who changed the row since it was shown, and when, as the trail has it."""
        entries = AuditEntry.objects.of_object(self.audited_as, str(self.instance.pk)).order_by("-at", "-id")
        entry = entries.filter(at__gte=since).first() if since else None
        return (entry.actor_name, local_text(entry.at)) if entry else super()._last_change(since)
