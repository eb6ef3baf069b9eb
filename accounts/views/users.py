"""Endpoints of accounts (contract, section 4)."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.utils import timezone
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import descriptions as describe
from accounts import services
from accounts.authentication import caller, current_session
from accounts.models import Role, User
from accounts.permissions import IsAdmin
from accounts.serializers import RegisterSerializer, UserSerializer, validated
from accounts.services import AccountChanges
from accounts.signals import LeaverJobs
from accounts.throttle import client_address
from accounts.validators import INVALID_EMAIL, is_email
from accounts.views.sign_in import schema_object
from cronsched.api.bodies import json_object, require_json
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.errors import DomainError, Forbidden, NotFound
from cronsched.lib.ids import known_id
from cronsched.lib.input import payload

ADMINS_ONLY = {"list", "register", "destroy"}


class UserViewSet(APIViewSet):
    def get_permissions(self) -> Sequence[BasePermission]:
        return [IsAdmin() if self.action in ADMINS_ONLY else IsAuthenticated()]

    @describe.LIST_USERS
    def list(self, request: Request) -> Response:
        users = UserSerializer(User.objects.all(), many=True).data
        return Response({"count": len(users), "users": users})

    @describe.REGISTER
    def register(self, request: Request) -> Response:
        user = services.create_account(
            **validated(RegisterSerializer, schema_object(request)), by=caller(request), now=timezone.now()
        )
        body = {"success": True, "message": "User registered successfully", "user": UserSerializer(user).data}
        return Response(body, status=201)

    @describe.GET_USER
    def retrieve(self, request: Request, user_id: str) -> Response:
        user = profile(request, user_id, refusal="Forbidden. You can only view your own profile.")
        return Response({"user": UserSerializer(user).data})

    @describe.UPDATE_USER
    def update(self, request: Request, user_id: str) -> Response:
        require_json(request)
        user = profile(request, user_id, refusal="Forbidden. You can only update your own profile.")
        data, by, now = json_object(request), caller(request), timezone.now()
        changes = read_changes(data, user, by=by)
        if settings.REQUIRE_CURRENT_PASSWORD and user == by and {"email", "password"} & set(changes.fields):
            services.confirm_password(user, _current_password(data), address=client_address(request), now=now)
        to = _leaving_to(data, changes)
        session = current_session(request).id
        left = services.update_account(user, changes, keep_session=session, by=by, now=now, hand_over_to=to)
        return Response(
            {
                "message": "User updated successfully",
                "updated_fields": changes.fields,
                "user": UserSerializer(user).data,
                **_left_jobs(left),
            }
        )

    @describe.DELETE_USER
    def destroy(self, request: Request, user_id: str) -> Response:
        user = profile(request, user_id, refusal="")
        name = request.query_params.get("hand_over_to", "").strip()
        to = services.new_owner(name) if name else None
        left = services.delete_account(user, by=caller(request), now=timezone.now(), hand_over_to=to)
        deleted = {"id": str(user.id), "username": user.username}
        return Response({"message": "User deleted successfully", "deleted_user": deleted, **_left_jobs(left)})


def profile(request: Request, user_id: str, *, refusal: str) -> User:
    """Return the account, the caller's own or, for admins, any.

    Raises `Forbidden` with `refusal` for everybody else, whether or not the account exists, and `NotFound`.
    """
    by = caller(request)
    if user_id == str(by.id):
        return by
    if not by.is_admin:
        raise Forbidden(refusal)
    wanted = known_id(user_id)
    user = User.objects.filter(id=wanted).first() if wanted else None
    if user is None:
        raise NotFound("User not found")
    return user


def read_changes(data: Mapping[str, Any], user: User, *, by: User) -> AccountChanges:
    """Return what `data` asks to change about `user`. Raises `DomainError` for the first field at fault."""
    changes = AccountChanges(
        email=_email(data, user), password=_password(data), role=_role(data, by), is_active=_is_active(data, by)
    )
    if not changes.fields:
        raise DomainError("No valid fields to update")
    return changes


def _leaving_to(data: Mapping[str, Any], changes: AccountChanges) -> User | None:
    """Return who gets the jobs of an account that is being deactivated, None where no one was named."""
    name = payload.text(data, "hand_over_to")
    if name is None:
        return None
    if changes.is_active is not False:
        text = 'hand_over_to goes with "is_active": false.'
        raise DomainError("Invalid hand_over_to", text, field="hand_over_to")
    return services.new_owner(name)


def _left_jobs(left: LeaverJobs) -> dict[str, Any]:
    """Return the part of an answer about the jobs of an account that leaves, empty where it has none."""
    return {"jobs": {"owned": left.owned, "handed_over": left.handed_over}} if left.owned else {}


def _email(data: Mapping[str, Any], user: User) -> str | None:
    email = payload.text(data, "email")
    if email is None:
        return None
    email = email.lower()
    if not is_email(email):
        raise DomainError("Invalid email", INVALID_EMAIL, field="email")
    services.refuse_taken_email(email, but=user)
    return email


def _password(data: Mapping[str, Any]) -> str | None:
    password = data.get("password")
    if password is None or password == "":
        return None
    if not isinstance(password, str):
        raise DomainError("Invalid payload", '"password" must be a string.', field="password")
    if len(password) < settings.MINIMUM_PASSWORD_LENGTH:
        text = f"Password must be at least {settings.MINIMUM_PASSWORD_LENGTH} characters long"
        raise DomainError(text, field="password")
    if not password.strip():
        # The sign-in refuses it, the account could never be entered again.
        raise DomainError("Invalid password", "Password must not be blank.", field="password")
    return password


def _current_password(data: Mapping[str, Any]) -> str | None:
    password = data.get("current_password")
    if password is not None and not isinstance(password, str):
        raise DomainError("Invalid payload", '"current_password" must be a string.', field="current_password")
    return password


def _role(data: Mapping[str, Any], by: User) -> str | None:
    if "role" not in data:
        return None
    if not by.is_admin:
        raise Forbidden("Only admins can change user roles")
    role = data["role"]
    if not isinstance(role, str) or role.strip() not in Role.values:
        raise DomainError("Invalid role", f"Role must be one of: {', '.join(Role.values)}", field="role")
    return role.strip()


def _is_active(data: Mapping[str, Any], by: User) -> bool | None:
    if data.get("is_active") is None:
        return None
    if not by.is_admin:
        raise Forbidden("Only admins can change user active status")
    return payload.flag(data, "is_active", default=True)
