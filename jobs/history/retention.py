"""Take executions out of the history: counted, in portions, and without reading them as models."""

from collections.abc import Sequence
from uuid import UUID

from django.db import connection, transaction
from django.db.models import CASCADE, SET_NULL, ManyToOneRel

from cronsched.lib.db import batches
from jobs.history import daily_counts
from jobs.models import JobExecution


def delete(execution_ids: Sequence[UUID]) -> int:
    """Delete those of these executions that are still there; return how many.

    Rows that refer to them go with them or forget them, as declared: notices stay and lose their reference. The daily
    counts follow in the same transaction.
    """
    with transaction.atomic():
        # Locked before they are counted: another transaction may be deleting the same. In one order, so that no two
        # deadlock; locked whole, so that no new row can refer to them.
        wanted = JobExecution.objects.filter(pk__in=execution_ids).order_by("pk")
        held = list(batches.locked(wanted, skip=False, whole=True).values_list("pk", flat=True))
        if not held:
            return 0
        rows = JobExecution.objects.filter(pk__in=held)
        daily_counts.add(daily_counts.of(rows, sign=-1))
        _let_go(held)
        return rows._raw_delete(connection.alias)


def _let_go(execution_ids: Sequence[UUID]) -> None:
    # Relations without a name of their own are hidden from `related_objects`, and most of these have none.
    for relation in JobExecution._meta.get_fields(include_hidden=True):
        if not isinstance(relation, ManyToOneRel):
            continue
        referring = relation.related_model._base_manager.filter(**{f"{relation.field.name}__in": execution_ids})
        if relation.on_delete is SET_NULL:
            referring.update(**{relation.field.name: None})
        elif relation.on_delete is CASCADE:
            referring.delete()
        else:
            raise TypeError(f"It is not declared what becomes of {relation.field} when an execution is deleted.")
