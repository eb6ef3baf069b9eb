from django.urls import URLPattern, URLResolver, path

from taxonomy.views import CategoryViewSet, LabelViewSet, TeamViewSet


def _paths(name: str, views: type[LabelViewSet]) -> list[URLPattern]:
    return [
        path(name, views.as_view({"get": "list", "post": "create"})),
        path(f"{name}/<str:label_id>", views.as_view({"put": "update", "delete": "destroy"})),
    ]


urlpatterns: list[URLPattern | URLResolver] = [
    *_paths("job-categories", CategoryViewSet),
    *_paths("pic-teams", TeamViewSet),
]
