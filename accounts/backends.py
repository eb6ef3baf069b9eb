"""Signs in at the admin site by name and password, with the same check as in the API."""

from typing import Any

from django.conf import settings
from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import User
from accounts.services import check_credentials
from accounts.throttle import client_address
from cronsched.lib.errors import Unauthorized


class UsernameOrEmailBackend(BaseBackend):
    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """Return the account these belong to, also an inactive one, which the sign-in form refuses with that reason.

        Raises `TooManyRequests` like the API.
        """
        if username is None or password is None or not settings.LOCAL_PASSWORDS:
            return None
        address = client_address(request) if request else ""
        try:
            return check_credentials(username.strip(), password, address=address, now=timezone.now())
        except Unauthorized:
            return None

    def get_user(self, user_id: Any) -> User | None:
        """Return the account of a cookie, None once it is gone or inactive."""
        return User.objects.filter(id=user_id, is_active=True).first()
