"""The operators' console for jobs and executions. Whatever changes something goes through `jobs.services`."""

from jobs.admin.audit import AuditAdmin
from jobs.admin.executions import ExecutionAdmin
from jobs.admin.jobs import JobAdmin
from jobs.admin.scheduler import SchedulerAdmin

__all__ = ["AuditAdmin", "ExecutionAdmin", "JobAdmin", "SchedulerAdmin"]
