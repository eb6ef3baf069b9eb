"""Permissions by role. The services check who owns a row."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.models import User

ADMIN_REQUIRED = "Admin access required"
WRITER_REQUIRED = "User or admin access required"


class IsAdmin(BasePermission):
    message = ADMIN_REQUIRED

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.user, User) and request.user.is_admin


class IsWriter(BasePermission):
    """Admins and users; what a user may change is narrowed to its own by the service."""

    message = WRITER_REQUIRED

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.user, User) and request.user.can_write
