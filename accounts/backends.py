"""How a name and a password become an account, for the API and the admin site alike."""

from typing import Any

from django.contrib.auth.backends import ModelBackend


class UsernameOrEmailBackend(ModelBackend):
    def user_can_authenticate(self, user: Any) -> bool:
        return super().user_can_authenticate(user)
