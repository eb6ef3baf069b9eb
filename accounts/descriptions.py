"""How the endpoints of accounts describe themselves in OpenAPI; each constant decorates the view method of its name."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter

from accounts import serializers, services
from cronsched.api import openapi
from cronsched.api.examples import example_of
from cronsched.api.openapi import Answer, Body, Refusal, operation, path_id, schema_refusal
from cronsched.lib.errors import Problem

SIGN_IN = "Sign-in"
USERS = "Users"
PREFERENCES = "Preferences"

USER_ID = path_id("user_id", "account")
USER: dict[str, Any] = example_of(serializers.UserSerializer)
ACCESS, REFRESH_TOKEN = "eyJhbGciOi…access", "eyJhbGciOi…refresh"
SIGNED_IN = {"success": True, "message": "Login successful", "access_token": ACCESS, "refresh_token": REFRESH_TOKEN}
COLUMNS = {
    "pic_team": True,
    "end_date": True,
    "cron_expression": False,
    "target_url": False,
    "last_execution_at": False,
}


def _with_detail(status: int, error: str, text: str) -> Refusal:
    return Refusal(status, error, text, {"detail": text})


UNKNOWN = Refusal(404, "User not found")
EMAIL_TAKEN = _with_detail(409, "Email already exists", "Email already exists")
LAST_ADMIN = Refusal(400, "Last administrator", services.LAST_ADMIN)
REFUSED_SIGN_IN = (
    _with_detail(401, "Invalid credentials", "Invalid email/username or password"),
    _with_detail(401, "Account inactive", "Account is inactive. Contact administrator."),
    Refusal(429, "Too many requests", "Too many failed sign-ins. Try again in 300 seconds."),
)
MISSING_PASSWORD = schema_refusal("body", Problem("password", "Field required", "missing"))
NO_JSON = schema_refusal("body", Problem(None, "Invalid JSON", "json_invalid"))

LOGIN = operation(
    "login",
    tag=SIGN_IN,
    summary="Sign in",
    description="By name or e-mail. The name wins where both are sent, and it may hold an e-mail.",
    access=openapi.PUBLIC,
    body=Body(
        serializers.LoginSerializer,
        {
            "By name": {"username": "john", "password": "correct horse"},
            "By e-mail": {"email": "john@example.com", "password": "correct horse"},
        },
        unreadable=(),
    ),
    answers={200: Answer(serializers.SignInSerializer, SIGNED_IN, "Signed in.")},
    refusals=[*REFUSED_SIGN_IN, MISSING_PASSWORD, NO_JSON],
)

LOGIN_FORM = operation(
    "login_by_form",
    tag=SIGN_IN,
    summary="Sign in by OAuth2's password form",
    access=openapi.PUBLIC,
    body=Body(
        serializers.LoginFormSerializer,
        {"Usual": {"grant_type": "password", "username": "john", "password": "correct horse"}},
        media_type="application/x-www-form-urlencoded",
    ),
    answers={200: Answer(serializers.SignInSerializer, SIGNED_IN, "Signed in.")},
    refusals=[*REFUSED_SIGN_IN, MISSING_PASSWORD],
)

REFRESH = operation(
    "refresh_tokens",
    tag=SIGN_IN,
    summary="Exchange a refresh token",
    description="The refresh token comes as bearer token or, without one, in the body. The one used stays valid.",
    access=openapi.PUBLIC,
    body=Body(
        serializers.RefreshSerializer,
        {"In the body": {"refresh_token": REFRESH_TOKEN}, "As bearer token": {}},
        unreadable=(),
        required=False,
    ),
    answers={200: Answer(serializers.TokenPairSerializer, {"access_token": ACCESS, "refresh_token": REFRESH_TOKEN})},
    refusals=openapi.UNAUTHORIZED,
)

ME = operation(
    "get_own_account",
    tag=SIGN_IN,
    summary="Show the caller's account",
    answers={200: Answer(serializers.UserSerializer)},
)

VERIFY = operation(
    "verify_token",
    tag=SIGN_IN,
    summary="Check the access token",
    answers={200: Answer(serializers.VerifySerializer, {"valid": True, "message": "Token is valid"})},
)

LOGOUT = operation(
    "logout",
    tag=SIGN_IN,
    summary="End the session",
    description="From then on its access and refresh tokens answer 401.",
    answers={
        200: Answer(
            serializers.SignOutSerializer,
            {
                "success": True,
                "message": "Logout successful",
                "detail": "Please discard your tokens on the client side",
            },
        )
    },
)

REGISTER = operation(
    "register_user",
    tag=USERS,
    summary="Create an account",
    access=openapi.ADMIN,
    body=Body(
        serializers.RegisterSerializer,
        {"Usual": {"username": "john", "email": "john@example.com", "password": "correct horse", "role": "user"}},
        unreadable=(),
    ),
    answers={
        201: Answer(
            serializers.RegisteredSerializer,
            {"success": True, "message": "User registered successfully"},
            "Created.",
            leads_to=openapi.leads_to(
                "get_user",
                "update_user",
                "delete_user",
                "get_preferences",
                "update_preferences",
                "get_ui_preferences",
                "update_ui_preferences",
                user_id="user/id",
            ),
        )
    },
    refusals=[
        _with_detail(409, "Username already exists", "Username already exists"),
        EMAIL_TAKEN,
        MISSING_PASSWORD,
        NO_JSON,
    ],
)

LIST_USERS = operation(
    "list_users",
    tag=USERS,
    summary="List all accounts",
    description="Oldest first.",
    access=openapi.ADMIN,
    answers={200: Answer(serializers.UserListSerializer)},
)

GET_USER = operation(
    "get_user",
    tag=USERS,
    summary="Show an account",
    description="The caller's own; admins see any.",
    path=[USER_ID],
    answers={200: Answer(serializers.UserAnswerSerializer)},
    refusals=[Refusal(403, "Forbidden. You can only view your own profile."), UNKNOWN],
)

UPDATE_USER = operation(
    "update_user",
    tag=USERS,
    summary="Update an account",
    description="The caller's own; admins update any. A new password ends all other sessions of the account.",
    path=[USER_ID],
    body=Body(
        serializers.AccountChangeSerializer,
        {
            "Own address": {"email": "john@example.org"},
            "By an admin": {"email": "john@example.org", "role": "viewer", "is_active": False},
        },
    ),
    answers={
        200: Answer(
            serializers.UserChangedSerializer,
            {
                "message": "User updated successfully",
                "updated_fields": ["email"],
                "user": {"email": "john@example.org"},
            },
        )
    },
    refusals=[
        Refusal(400, "Invalid email", "Enter a valid email address."),
        Refusal(400, "Password must be at least 6 characters long"),
        Refusal(400, "Invalid current password", '"current_password" is not your password.'),
        Refusal(400, "Invalid role", "Role must be one of: admin, user, viewer"),
        Refusal(400, "No valid fields to update"),
        Refusal(400, "Invalid hand_over_to", 'hand_over_to goes with "is_active": false.'),
        LAST_ADMIN,
        Refusal(403, "Forbidden. You can only update your own profile."),
        Refusal(403, "Only admins can change user roles"),
        Refusal(403, "Only admins can change user active status"),
        UNKNOWN,
        EMAIL_TAKEN,
    ],
)

DELETE_USER = operation(
    "delete_user",
    tag=USERS,
    summary="Delete an account",
    description="Its preferences and notifications go with it; its jobs stay, and only admins may change them, unless"
    " they are handed over.",
    access=openapi.ADMIN,
    path=[USER_ID],
    query=[OpenApiParameter("hand_over_to", str, description="Id or name of the account that gets its jobs.")],
    answers={200: Answer(serializers.UserDeletedSerializer, {"message": "User deleted successfully"})},
    refusals=[
        Refusal(400, "Cannot delete your own account"),
        Refusal(400, "Invalid hand_over_to", "hand_over_to must be the id or name of an account."),
        LAST_ADMIN,
        UNKNOWN,
    ],
)

NOT_READABLE = (Refusal(403, "Forbidden: Cannot access other users preferences"), UNKNOWN)
NOT_WRITABLE = (Refusal(403, "Forbidden: Cannot update other users preferences"), UNKNOWN)

GET_PREFERENCES = operation(
    "get_preferences",
    tag=PREFERENCES,
    summary="Show the notification preferences of an account",
    path=[USER_ID],
    answers={
        200: Answer(
            serializers.PreferencesAnswerSerializer, {"message": "Notification preferences retrieved successfully"}
        )
    },
    refusals=NOT_READABLE,
)

UPDATE_PREFERENCES = operation(
    "update_preferences",
    tag=PREFERENCES,
    summary="Update the notification preferences of an account",
    description="Any of the six; what is not sent stays.",
    path=[USER_ID],
    body=Body(serializers.PreferencesChangeSerializer, {"Daily summary": {"daily_digest": True}}),
    answers={
        200: Answer(
            serializers.PreferencesAnswerSerializer,
            {
                "message": "Notification preferences updated successfully",
                "preferences": {"daily_digest": True},
            },
        )
    },
    refusals=NOT_WRITABLE,
)

GET_UI_PREFERENCES = operation(
    "get_ui_preferences",
    tag=PREFERENCES,
    summary="Show which columns of the job table an account sees",
    path=[USER_ID],
    answers={200: Answer(serializers.UiPreferencesAnswerSerializer, {"preferences": {"jobs_table_columns": COLUMNS}})},
    refusals=NOT_READABLE,
)

UPDATE_UI_PREFERENCES = operation(
    "update_ui_preferences",
    tag=PREFERENCES,
    summary="Choose the columns of the job table",
    description="Columns that are not sent go back to their defaults.",
    path=[USER_ID],
    body=Body(serializers.UiPreferencesSerializer, {"Show targets": {"jobs_table_columns": {"target_url": True}}}),
    answers={
        200: Answer(
            serializers.UiPreferencesAnswerSerializer,
            {"preferences": {"jobs_table_columns": {**COLUMNS, "target_url": True}}},
        )
    },
    refusals=[
        Refusal(400, "Missing required fields", '"jobs_table_columns" is required.'),
        Refusal(400, "Invalid payload", '"jobs_table_columns" must be an object.'),
        *NOT_WRITABLE,
    ],
)
