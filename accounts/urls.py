from django.urls import URLPattern, URLResolver, path

from accounts.views.preferences import PreferencesViewSet, UiPreferencesViewSet
from accounts.views.sessions import OwnSessionsViewSet
from accounts.views.sign_in import SessionViewSet, SignInViewSet
from accounts.views.tokens import TokenViewSet
from accounts.views.users import UserViewSet

urlpatterns: list[URLPattern | URLResolver] = [
    path("auth/login", SignInViewSet.as_view({"post": "login"})),
    path("auth/login/form", SignInViewSet.as_view({"post": "login_form"})),
    path("auth/refresh", SignInViewSet.as_view({"post": "refresh"})),
    path("auth/me", SessionViewSet.as_view({"get": "me"})),
    path("auth/verify", SessionViewSet.as_view({"get": "verify"})),
    path("auth/logout", SessionViewSet.as_view({"post": "logout"})),
    path("auth/register", UserViewSet.as_view({"post": "register"})),
    path("auth/sessions", OwnSessionsViewSet.as_view({"get": "list", "delete": "end_others"})),
    path("auth/sessions/<str:session_id>", OwnSessionsViewSet.as_view({"delete": "destroy"})),
    path("tokens", TokenViewSet.as_view({"get": "list", "post": "create"})),
    path("tokens/<str:token_id>", TokenViewSet.as_view({"delete": "destroy"})),
    path("auth/users", UserViewSet.as_view({"get": "list"})),
    path("auth/users/<str:user_id>", UserViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"})),
    path("auth/users/<str:user_id>/preferences", PreferencesViewSet.as_view({"get": "retrieve", "put": "update"})),
    path("auth/users/<str:user_id>/ui-preferences", UiPreferencesViewSet.as_view({"get": "retrieve", "put": "update"})),
]
