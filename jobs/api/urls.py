from django.urls import URLPattern, URLResolver, path

from jobs.api.executions import ExecutionViewSet, JobExecutionViewSet

urlpatterns: list[URLPattern | URLResolver] = [
    path("jobs/<str:job_id>/executions", JobExecutionViewSet.as_view({"get": "list"})),
    path("jobs/<str:job_id>/executions/stats", JobExecutionViewSet.as_view({"get": "stats"})),
    path("jobs/<str:job_id>/executions/<str:execution_id>", JobExecutionViewSet.as_view({"get": "retrieve"})),
    path("executions", ExecutionViewSet.as_view({"get": "list"})),
    path("executions/statistics", ExecutionViewSet.as_view({"get": "statistics"})),
    path("executions/<str:execution_id>", ExecutionViewSet.as_view({"get": "retrieve"})),
]
