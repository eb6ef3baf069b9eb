from django.urls import URLPattern, URLResolver, path
from rest_framework.parsers import MultiPartParser

from jobs.api.audit import AuditViewSet, RevisionViewSet
from jobs.api.bulk import BulkViewSet
from jobs.api.cron_tools import CronToolsViewSet
from jobs.api.executions import ExecutionViewSet, JobExecutionViewSet
from jobs.api.forecast import ForecastViewSet
from jobs.api.github import GitHubWebhookViewSet
from jobs.api.jobs import JobViewSet
from jobs.api.pauses import PauseViewSet
from jobs.api.renewals import RenewalViewSet
from jobs.api.scheduler import SchedulerViewSet
from jobs.api.why import WhyViewSet

urlpatterns: list[URLPattern | URLResolver] = [
    path("jobs", JobViewSet.as_view({"get": "list", "post": "create"})),
    path("jobs/export", JobViewSet.as_view({"get": "export"})),
    path("jobs/validate-cron", CronToolsViewSet.as_view({"post": "validate"})),
    path("jobs/cron-preview", CronToolsViewSet.as_view({"post": "preview"})),
    path("jobs/test-run", JobViewSet.as_view({"post": "test_run"})),
    path("jobs/bulk-upload", JobViewSet.as_view({"post": "bulk_upload"}, parser_classes=[MultiPartParser])),
    path("jobs/bulk", BulkViewSet.as_view({"post": "act"})),
    path("jobs/<str:job_id>", JobViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"})),
    path("jobs/<str:job_id>/execute", JobViewSet.as_view({"post": "execute"})),
    path("jobs/<str:job_id>/check-target", JobViewSet.as_view({"post": "check_target"})),
    path("jobs/<str:job_id>/signing-secret", JobViewSet.as_view({"post": "renew_signing_secret"})),
    path("jobs/<str:job_id>/signing-secret/previous", JobViewSet.as_view({"delete": "drop_previous_signing_secret"})),
    path("github/webhook", GitHubWebhookViewSet.as_view({"post": "receive"})),
    path("jobs/<str:job_id>/executions", JobExecutionViewSet.as_view({"get": "list"})),
    path("jobs/<str:job_id>/executions/stats", JobExecutionViewSet.as_view({"get": "stats"})),
    path("jobs/<str:job_id>/executions/<str:execution_id>", JobExecutionViewSet.as_view({"get": "retrieve"})),
    path("jobs/<str:job_id>/renew", RenewalViewSet.as_view({"post": "create"})),
    path("jobs/<str:job_id>/renewals", RenewalViewSet.as_view({"get": "list"})),
    path("jobs/<str:job_id>/pause", PauseViewSet.as_view({"post": "pause"})),
    path("jobs/<str:job_id>/resume", PauseViewSet.as_view({"post": "resume"})),
    path("jobs/<str:job_id>/revisions", RevisionViewSet.as_view({"get": "list"})),
    path("jobs/<str:job_id>/revisions/<str:number>/restore", RevisionViewSet.as_view({"post": "restore"})),
    path("jobs/<str:job_id>/why", WhyViewSet.as_view({"get": "explain"})),
    path("forecast", ForecastViewSet.as_view({"get": "show"})),
    path("audit", AuditViewSet.as_view({"get": "list"})),
    path("audit.csv", AuditViewSet.as_view({"get": "export"})),
    path("executions", ExecutionViewSet.as_view({"get": "list"})),
    path("executions/statistics", ExecutionViewSet.as_view({"get": "statistics"})),
    path("executions/<str:execution_id>", ExecutionViewSet.as_view({"get": "retrieve"})),
    path("scheduler/status", SchedulerViewSet.as_view({"get": "status"})),
    path("scheduler/senders", SchedulerViewSet.as_view({"get": "senders"})),
    path("scheduler/resync", SchedulerViewSet.as_view({"post": "resync"})),
]

# Served under the older prefix only.
older_urlpatterns: list[URLPattern | URLResolver] = [
    path("jobs/<str:job_id>/trigger", JobViewSet.as_view({"post": "execute"})),
]
