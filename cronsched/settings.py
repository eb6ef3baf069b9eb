"""Settings, read top to bottom. Every value an operator may set comes from the environment (see `.env.example`).

The process environment wins over the `.env` file. A value that cannot be understood stops the boot with one line.
"""

from pathlib import Path
from typing import Any

from corsheaders.defaults import default_headers
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

from cronsched.lib.config import dotenv, env
from cronsched.lib.db import databases

BASE_DIR = Path(__file__).resolve().parent.parent
dotenv.read(Path(env.text("ENV_FILE", str(BASE_DIR / ".env"))), required=bool(env.text("ENV_FILE")))

VERSION = "2.0.0"
SERVICE_NAME = "Cron Job Scheduler"

# --- Mode and secrets ------------------------------------------------------------------------------------------------

DEBUG = env.flag("DEBUG", False)
DEVELOPMENT_SECRET = "development-only-secret-key-not-for-production-use"  # noqa: S105 - refused outside DEBUG
MINIMUM_SECRET_LENGTH = 32

SECRET_KEY = env.text("SECRET_KEY", DEVELOPMENT_SECRET if DEBUG else "")
JWT_SECRET_KEY = env.text("JWT_SECRET_KEY", SECRET_KEY)
# Keys that still decrypt stored secrets after SECRET_KEY was changed.
SECRET_KEY_FALLBACKS = env.names("SECRET_KEY_FALLBACKS")
# A key of its own for stored secrets, so that SECRET_KEY can be changed without touching them. Blank: SECRET_KEY.
SECRETS_KEY = env.text("SECRETS_KEY")
SECRETS_KEY_FALLBACKS = env.names("SECRETS_KEY_FALLBACKS")
if SECRETS_KEY and len(SECRETS_KEY) < MINIMUM_SECRET_LENGTH:
    raise env.BadSetting("SECRETS_KEY", f"needs a random value of at least {MINIMUM_SECRET_LENGTH} characters.")

if not DEBUG:
    for _name, _secret in (("SECRET_KEY", SECRET_KEY), ("JWT_SECRET_KEY", JWT_SECRET_KEY)):
        if not _secret:
            raise env.BadSetting(_name, "is not set. Outside development (DEBUG=true) a secret of your own is needed.")
        if _secret == DEVELOPMENT_SECRET or len(_secret) < MINIMUM_SECRET_LENGTH:
            raise env.BadSetting(_name, f"needs a random value of at least {MINIMUM_SECRET_LENGTH} characters.")

EXPOSE_ERROR_DETAILS = env.flag("EXPOSE_ERROR_DETAILS", DEBUG)
ALLOW_DEFAULT_ADMIN = env.flag("ALLOW_DEFAULT_ADMIN", DEBUG)
DEFAULT_ADMIN_USERNAME = env.text("DEFAULT_ADMIN_USERNAME", "admin")
DEFAULT_ADMIN_PASSWORD = env.text("DEFAULT_ADMIN_PASSWORD")
DEFAULT_ADMIN_EMAIL = env.text("DEFAULT_ADMIN_EMAIL", "admin@example.com")

# --- Web -------------------------------------------------------------------------------------------------------------

BIND_ADDRESS = env.text("BIND_ADDRESS", "127.0.0.1")
if DEBUG and not env.is_local(BIND_ADDRESS):
    raise env.BadSetting("DEBUG", f"shows its errors to anybody who reaches BIND_ADDRESS={BIND_ADDRESS}: set it false.")
PORT = env.integer("PORT", 5001, at_least=1, at_most=65535)
# Requests one web process answers at the same time.
WEB_THREADS = env.integer("WEB_THREADS", 16, at_least=1)
# Connections one web process holds, in all and from one address (0: no limit of its own).
WEB_CONNECTIONS = env.integer("WEB_CONNECTIONS", 4000, at_least=16, at_most=100_000)
WEB_CONNECTIONS_PER_ADDRESS = env.integer("WEB_CONNECTIONS_PER_ADDRESS", 500)
# How long the head of a request, or 16 KB of a body or of an answer, may take before the connection is closed.
WEB_CLIENT_SECONDS = env.integer("WEB_CLIENT_SECONDS", 20, at_least=1, at_most=600)
ALLOWED_HOSTS = env.names("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.names("CSRF_TRUSTED_ORIGINS")
# Where messages link to the pages of a job; empty: to the console.
FRONTEND_BASE_URL = env.http_url("FRONTEND_BASE_URL", "")
# Where this service itself is reached: mails link to its admin site and to pages that act by a signed link.
PUBLIC_BASE_URL = env.http_url("PUBLIC_BASE_URL", "http://localhost:5001")

# Behind a proxy that ends TLS, the proxy must set X-Forwarded-Proto itself and drop the client's.
BEHIND_TLS_PROXY = env.flag("BEHIND_TLS_PROXY", False)
if BEHIND_TLS_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# How many proxies of ours append to X-Forwarded-For. With 0 the header is a client's own claim and ignored.
PROXY_COUNT = env.integer("PROXY_COUNT", 1 if BEHIND_TLS_PROXY else 0)
# Addresses whose X-Forwarded-* headers count; from all others they are dropped.
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES", "FORWARDED_ALLOW_IPS") or (env.PRIVATE if PROXY_COUNT else [])
SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", False)
SECURE_HSTS_SECONDS = env.integer("SECURE_HSTS_SECONDS", 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_HSTS_SECONDS > 0
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.flag("SECURE_COOKIES", not DEBUG)
SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"

CORS_ORIGINS = env.names("CORS_ORIGINS", ["*"])
CORS_ALLOW_ALL_ORIGINS = "*" in CORS_ORIGINS
CORS_ALLOWED_ORIGINS = [] if CORS_ALLOW_ALL_ORIGINS else CORS_ORIGINS
CORS_ALLOW_CREDENTIALS = not CORS_ALLOW_ALL_ORIGINS
# The console's pages are not shown to other origins.
CORS_URLS_REGEX = r"^/(?!admin(/|$)|links/|static/)"
CORS_ALLOW_HEADERS = [
    *default_headers,
    "idempotency-key",
    "if-match",
    "if-none-match",
    "x-change-reason",
    "x-request-id",
]
CORS_EXPOSE_HEADERS = ["ETag", "Idempotency-Replayed", "Retry-After", "X-Request-Id"]

# The API answers both slash forms itself; a redirect would lose the body of a POST.
APPEND_SLASH = False
MAX_BODY_BYTES = env.integer("MAX_BODY_BYTES", 1024 * 1024, at_least=1024)
MAX_UPLOAD_BYTES = env.integer("MAX_UPLOAD_BYTES", 10 * 1024 * 1024, at_least=1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES

ROOT_URLCONF = "cronsched.urls"
WSGI_APPLICATION = "cronsched.wsgi.application"

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "cronsched.console_app.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "cronsched",
    "audit",
    "accounts",
    "taxonomy",
    "notifications",
    "jobs",
]

MIDDLEWARE = [
    "cronsched.middleware.RequestIds",
    "cronsched.http_metrics.RequestCounts",
    "cronsched.middleware.TrustedProxies",
    "cronsched.middleware.HeadsWithoutBodies",
    "corsheaders.middleware.CorsMiddleware",
    "cronsched.middleware.JSONErrors",
    "cronsched.middleware.DatabaseOutages",
    "cronsched.middleware.SlashlessPaths",
    "cronsched.middleware.NothingKept",
    "cronsched.middleware.ConsolePolicy",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.ChangeOrigin",
    "django.contrib.messages.middleware.MessageMiddleware",
    "accounts.middleware.ConsoleSessions",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "accounts.middleware.DeniedPages",
    "accounts.middleware.SignInRefusals",
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "cronsched.console.page_names.page_name",
            ],
        },
    }
]

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_FINDERS = ["cronsched.static_files.UsedFiles"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}

# --- Database --------------------------------------------------------------------------------------------------------

DATABASES = {"default": databases.from_url(env.text("DATABASE_URL"), sqlite_file=BASE_DIR / "cronsched.sqlite3")}
# SQLite has one writer at a time: a second web process only adds waiting for its lock.
WEB_WORKERS = env.integer("WEB_WORKERS", 1 if DATABASES["default"]["ENGINE"].endswith("sqlite3") else 2, at_least=1)
# MariaDB and MySQL make no index with a condition; each of ours only saves time where it is made.
SILENCED_SYSTEM_CHECKS = ["models.W037"] if DATABASES["default"]["ENGINE"].endswith("mysql") else []
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Where each sending process keeps a journal of its own. systemd names the first folder.
_STATE = env.text("STATE_DIRECTORY").partition(":")[0] or databases.sqlite_folder(DATABASES["default"]) or BASE_DIR
JOURNAL_DIR = env.text("JOURNAL_DIR", str(Path(_STATE) / "cronsched-journal"))

# --- Accounts and API ------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.UsernameOrEmailBackend"]
# The first one hashes new passwords; what the last one verifies came with an import.
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "accounts.passlib_hashes.PasslibPBKDF2PasswordHasher",
]
MINIMUM_PASSWORD_LENGTH = 6
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": MINIMUM_PASSWORD_LENGTH},
    },
    {"NAME": "accounts.validators.NotBlankValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
ACCESS_TOKEN_SECONDS = env.integer("JWT_ACCESS_TOKEN_EXPIRES", 3600, at_least=1)
REFRESH_TOKEN_SECONDS = env.integer("JWT_REFRESH_TOKEN_EXPIRES", 2592000, at_least=1)
# How long a session lasts at most, however often it is refreshed, over the API and at the console. 0: no limit.
SESSION_MAX_AGE_DAYS = env.integer("SESSION_MAX_AGE_DAYS", 0, at_most=3650)
# Single sign-on at the console by OpenID Connect. Blank: off.
OIDC_ISSUER = env.http_url("OIDC_ISSUER", "")
OIDC_CLIENT_ID = env.text("OIDC_CLIENT_ID")
OIDC_CLIENT_SECRET = env.text("OIDC_CLIENT_SECRET")
OIDC_SCOPES = env.text("OIDC_SCOPES", "openid profile email")
# What the button calls it: Sign in with …
OIDC_NAME = env.text("OIDC_NAME", "single sign-on")
# The claim with the roles, also a path such as realm_access.roles; blank: roles are given here.
OIDC_ROLE_CLAIM = env.text("OIDC_ROLE_CLAIM")
OIDC_ROLE_MAP = env.pairs("OIDC_ROLE_MAP", ("admin", "user", "viewer"))
OIDC_CREATE_ACCOUNTS = env.flag("OIDC_CREATE_ACCOUNTS", False)
OIDC_REQUIRE_VERIFIED_EMAIL = env.flag("OIDC_REQUIRE_VERIFIED_EMAIL", True)
# Off: no sign-in by password, neither at the console nor over the API.
LOCAL_PASSWORDS = env.flag("LOCAL_PASSWORDS", True)
if OIDC_ISSUER and not (OIDC_CLIENT_ID and OIDC_CLIENT_SECRET):
    raise env.BadSetting("OIDC_ISSUER", "needs OIDC_CLIENT_ID and OIDC_CLIENT_SECRET, too.")
if bool(OIDC_ROLE_CLAIM) != bool(OIDC_ROLE_MAP):
    raise env.BadSetting("OIDC_ROLE_CLAIM", "and OIDC_ROLE_MAP are needed together.")
if not LOCAL_PASSWORDS and not OIDC_ISSUER:
    raise env.BadSetting(
        "LOCAL_PASSWORDS", "can be switched off only where OIDC_ISSUER is set: otherwise no one could sign in."
    )
# Failed sign-ins of one account from one address before it has to wait.
SIGN_IN_ATTEMPTS = env.integer("SIGN_IN_ATTEMPTS", 10, at_least=1)
# Failed sign-ins from one address, with whatever names, within SIGN_IN_LOCKOUT_SECONDS; and of one account, from
# wherever, within an hour, after which it takes one attempt every ten seconds from addresses it is not known from.
SIGN_IN_ATTEMPTS_PER_ADDRESS = env.integer("SIGN_IN_ATTEMPTS_PER_ADDRESS", 100, at_least=1)
SIGN_IN_ATTEMPTS_PER_ACCOUNT = env.integer("SIGN_IN_ATTEMPTS_PER_ACCOUNT", 50, at_least=1)
# Which accounts must have a second factor at the console.
REQUIRE_SECOND_FACTOR = env.one_of("REQUIRE_SECOND_FACTOR", "NOBODY", ["NOBODY", "ADMINS", "EVERYBODY"])
# Whether changing the own password or address asks for the current password.
REQUIRE_CURRENT_PASSWORD = env.flag("REQUIRE_CURRENT_PASSWORD", False)
SIGN_IN_LOCKOUT_SECONDS = env.integer("SIGN_IN_LOCKOUT_SECONDS", 300, at_least=1)

# Claims and lifetimes are set by `accounts.tokens`; the library only needs to know the name of this claim.
SIMPLE_JWT = {"TOKEN_TYPE_CLAIM": "type", "SIGNING_KEY": JWT_SECRET_KEY}

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.SessionTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    # Views read bodies by `cronsched.api.bodies.json_object`; the parser is named for the API description.
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "cronsched.api.bodies.AlwaysJSON",
    "DEFAULT_SCHEMA_CLASS": "cronsched.api.openapi.OperationSchema",
    "EXCEPTION_HANDLER": "cronsched.api.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": SERVICE_NAME,
    "DESCRIPTION": "Schedules webhooks and GitHub Actions workflows by cron expressions.",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v2",
    # Otherwise an uploaded file would be described as an address.
    "COMPONENT_SPLIT_REQUEST": True,
    "PREPROCESSING_HOOKS": ["cronsched.api.openapi.only_canonical_paths"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "cronsched.api.openapi.complete_operations",
    ],
    # One set of choices under several names of fields.
    "ENUM_NAME_OVERRIDES": {"OnResumeEnum": "jobs.models.OnResume"},
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- Console (the admin site) ----------------------------------------------------------------------------------------


def _page(title: str, icon: str, url_name: str, **more: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{url_name}"), **more}


def _icon(request: HttpRequest) -> str:
    return static("cronsched/icon.svg")


def _styles(request: HttpRequest) -> str:
    return static("cronsched/console.css")


def _scripts(request: HttpRequest) -> str:
    return static("cronsched/console.js")


_PRIMARY = {
    "50": "#eff6ff",
    "100": "#dbeafe",
    "200": "#bfdbfe",
    "300": "#93c5fd",
    "400": "#93c5fd",
    "500": "#60a5fa",
    "600": "#1d4ed8",
    "700": "#1e40af",
    "800": "#1e3a8a",
    "900": "#1e3a8a",
    "950": "#172554",
}
_ADMINS_ONLY = {"permission": "accounts.console.is_admin"}
_WRITERS_ONLY = {"permission": "accounts.console.is_writer"}

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": SERVICE_NAME,
    "SITE_HEADER": SERVICE_NAME,
    "SITE_SYMBOL": "schedule",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _icon}],
    "STYLES": [_styles],
    "SITE_URL": "/docs",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "LOGIN": {"form": "accounts.forms.SignInForm"},
    "ACCOUNT": {"navigation": "accounts.account_pages.menu"},
    "DASHBOARD_CALLBACK": "jobs.admin.now.fill",
    # Blue with enough contrast as text on the theme's backgrounds: 600 in the light, 500 in the dark.
    "COLORS": {"primary": _PRIMARY},
    "GLOBAL_CALLBACK": "jobs.admin.pulse.context",
    "COMMAND": {"search_callback": "jobs.admin.search.find"},
    "TABS": "jobs.admin.jobs.filters.tabs",
    "SCRIPTS": [_scripts],
    "SIDEBAR": {
        "show_search": True,
        "navigation": [
            {
                "items": [
                    _page("Now", "monitor_heart", "index"),
                    _page("Jobs", "schedule", "jobs_job_changelist", active="jobs.admin.jobs.filters.is_page_of_jobs"),
                    _page("Executions", "history", "jobs_jobexecution_changelist"),
                    _page("Calendar", "calendar_month", "jobs_calendar"),
                    _page("Audit", "rule", "audit_auditentry_changelist"),
                ]
            },
            {
                "title": "Tools",
                "separator": True,
                "items": [
                    _page("Why", "help", "jobs_why"),
                    _page("Upload", "upload_file", "jobs_upload", **_WRITERS_ONLY),
                ],
            },
            {
                "title": "Set-up",
                "separator": True,
                "items": [
                    _page("Teams", "groups", "taxonomy_picteam_changelist"),
                    _page("Categories", "category", "taxonomy_jobcategory_changelist"),
                    _page("Slack", "forum", "notifications_slacksettings_changelist", **_ADMINS_ONLY),
                    _page("Deliveries", "outgoing_mail", "notifications_delivery_changelist", **_ADMINS_ONLY),
                    _page("People", "person", "accounts_user_changelist"),
                    _page("Tokens", "key", "accounts_apitoken_changelist"),
                    _page("Scheduler", "timer", "jobs_schedulerlease_changelist", **_ADMINS_ONLY),
                ],
            },
        ],
    },
}

# --- Scheduler -------------------------------------------------------------------------------------------------------

# Off only by `false` (contract, section 16).
SCHEDULER_ENABLED = env.text("SCHEDULER_ENABLED", "true").lower() != "false"
SCHEDULER_TIMEZONE = env.time_zone("SCHEDULER_TIMEZONE", "Asia/Tokyo")
SCHEDULER_POLL_SECONDS = env.clamped("SCHEDULER_POLL_SECONDS", 60, low=10, high=300)
MAX_IN_FLIGHT = env.integer("MAX_IN_FLIGHT", 2000, at_least=1, at_most=10000)
PER_HOST_IN_FLIGHT = env.integer("PER_HOST_IN_FLIGHT", 0)
DRAIN_TIMEOUT_SECONDS = env.integer("DRAIN_TIMEOUT_SECONDS", 30)
# Where claimed runs are sent: by this process and standbys, or by Celery's workers.
EXECUTION_BACKEND = env.one_of("EXECUTION_BACKEND", "LOCAL", ["LOCAL", "CELERY"])
CELERY_BROKER_URL = env.text("CELERY_BROKER_URL")
CELERY_QUEUE = env.text("CELERY_QUEUE", "cronsched")
MANUAL_RUN_WAIT_SECONDS = env.integer("MANUAL_RUN_WAIT_SECONDS", 20, at_least=1, at_most=28)
# 0 keeps the history for ever.
EXECUTION_RETENTION_DAYS = env.integer("EXECUTION_RETENTION_DAYS", 365)
# Where mail about jobs may go; empty: anywhere.
NOTIFICATION_EMAIL_DOMAINS = [name.lower() for name in env.names("NOTIFICATION_EMAIL_DOMAINS")]
# Mails about one job within an hour; later ones are merged into one mail for each address. 0: no limit.
NOTIFICATION_MAILS_PER_JOB_HOUR = env.integer("NOTIFICATION_MAILS_PER_JOB_HOUR", 200)
# How many mails leave within a second; 0: as fast as the server takes them.
NOTIFICATION_MAILS_PER_SECOND = env.integer("NOTIFICATION_MAILS_PER_SECOND", 20)
NOTIFICATION_RETENTION_DAYS = env.integer("NOTIFICATION_RETENTION_DAYS", 90)
# 0 keeps the trail for ever.
AUDIT_RETENTION_DAYS = env.integer("AUDIT_RETENTION_DAYS", 730)

# What one account, and each of its API tokens, may do in a minute. 0 is no limit.
WRITES_PER_MINUTE = env.integer("WRITES_PER_MINUTE", 3000)
RUNS_PER_MINUTE = env.integer("RUNS_PER_MINUTE", 1200)
TESTS_PER_MINUTE = env.integer("TESTS_PER_MINUTE", 120)
# 0: any number.
JOBS_PER_ACCOUNT = env.integer("JOBS_PER_ACCOUNT", 0)

# --- Targets ---------------------------------------------------------------------------------------------------------

WEBHOOK_ALLOW_PRIVATE_NETWORKS = env.flag("WEBHOOK_ALLOW_PRIVATE_NETWORKS", DEBUG)
WEBHOOK_ALLOWED_CIDRS = env.networks("WEBHOOK_ALLOWED_CIDRS")
MAX_RESPONSE_BYTES = env.integer("MAX_RESPONSE_BYTES", 64 * 1024, at_least=1024)
# PEM file of certificate authorities to trust beside the public ones.
EXTRA_CA_FILE = env.text("EXTRA_CA_FILE")
if EXTRA_CA_FILE and not Path(EXTRA_CA_FILE).is_file():
    raise env.BadSetting("EXTRA_CA_FILE", f"{EXTRA_CA_FILE!r} is not a file.")
GITHUB_API_URL = env.http_url("GITHUB_API_URL", "https://api.github.com")
GITHUB_TOKEN = env.text("GITHUB_TOKEN")
DEFAULT_GITHUB_OWNER = env.text("DEFAULT_GITHUB_OWNER")
# A GitHub App instead of a token. 0 looks the installation up by the repository.
GITHUB_APP_ID = env.text("GITHUB_APP_ID")
GITHUB_APP_PRIVATE_KEY = env.text("GITHUB_APP_PRIVATE_KEY").replace("\\n", "\n")
GITHUB_APP_INSTALLATION_ID = env.integer("GITHUB_APP_INSTALLATION_ID", 0)
if bool(GITHUB_APP_ID) != bool(GITHUB_APP_PRIVATE_KEY):
    raise env.BadSetting("GITHUB_APP_ID", "and GITHUB_APP_PRIVATE_KEY are needed together.")
# The pace of dispatches with one credential; GitHub's own limits unless an Enterprise server sets others.
GITHUB_DISPATCH_GAP_MS = env.integer("GITHUB_DISPATCH_GAP_MS", 1000)
GITHUB_DISPATCHES_PER_MINUTE = env.integer("GITHUB_DISPATCHES_PER_MINUTE", 80, at_least=1, at_most=10_000)
GITHUB_DISPATCHES_PER_HOUR = env.integer("GITHUB_DISPATCHES_PER_HOUR", 500, at_least=1, at_most=10_000)
# Whether runs are followed to their end where a job does not say.
TRACK_GITHUB_RUNS = env.flag("TRACK_GITHUB_RUNS", True)
# The secret of GitHub's webhook, by which GitHub reports how runs end, so that fewer polls are needed.
GITHUB_WEBHOOK_SECRET = env.text("GITHUB_WEBHOOK_SECRET")
# Whether the targets of all active jobs are checked every night.
CHECK_TARGETS = env.flag("CHECK_TARGETS", True)

# --- Mail ------------------------------------------------------------------------------------------------------------

MAIL_ENABLED = env.flag("MAIL_ENABLED", True)
EMAIL_HOST = env.text("SMTP_HOST", "", "MAIL_SERVER")
EMAIL_PORT = env.integer("SMTP_PORT", 587, "MAIL_PORT", at_least=1, at_most=65535)
EMAIL_USE_TLS = env.flag("SMTP_USE_TLS", True, "MAIL_USE_TLS")
EMAIL_USE_SSL = env.flag("SMTP_USE_SSL", False, "MAIL_USE_SSL")
EMAIL_HOST_USER = env.text("SMTP_USERNAME", "", "MAIL_USERNAME")
EMAIL_HOST_PASSWORD = env.text("SMTP_PASSWORD", "", "MAIL_PASSWORD")
# Without a limit a silent mail server would hold a delivery thread for ever.
EMAIL_TIMEOUT = env.integer("MAIL_TIMEOUT_SECONDS", 15, at_least=1)
DEFAULT_FROM_EMAIL = env.text("MAIL_DEFAULT_SENDER", EMAIL_HOST_USER, "MAIL_FROM")

# --- Language, time, logging -----------------------------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
# Settings named DATE_FORMAT would lose against those of the language.
FORMAT_MODULE_PATH = "cronsched.formats"
# The admin shows times in the zone the schedules are read in; everything is stored in UTC.
TIME_ZONE = SCHEDULER_TIMEZONE
UNFOLD["SITE_SUBHEADER"] = f"Times in {TIME_ZONE}"

# --- Watching --------------------------------------------------------------------------------------------------------

# What /metrics asks for as a bearer token. Blank: it answers this machine only.
METRICS_TOKEN = env.text("METRICS_TOKEN")
if METRICS_TOKEN and len(METRICS_TOKEN) < 16:
    raise env.BadSetting("METRICS_TOKEN", "needs a random value of at least 16 characters.")

# What the leader calls each minute, so that a watcher outside notices when no scheduler leads.
HEARTBEAT_URL = env.http_url("HEARTBEAT_URL", "")

# Where unexpected errors are reported to; needs the package sentry-sdk.
SENTRY_DSN = env.text("SENTRY_DSN")

LOG_FORMAT = env.one_of("LOG_FORMAT", "CONSOLE", ["CONSOLE", "JSON"])
LOG_LEVEL = env.one_of("LOG_LEVEL", "INFO", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "cronsched.logs.Line", "format": "{asctime} {levelname} {name}: {message}", "style": "{"},
        "json": {"()": "cronsched.logs.JSONLine"},
    },
    "filters": {
        "as_warning": {"()": "cronsched.logs.AsWarning"},
        "refusals_in_one_line": {"()": "cronsched.logs.RefusalsInOneLine"},
        "no_outages": {"()": "cronsched.logs.NoOutages"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "json" if LOG_FORMAT == "JSON" else "line"}
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        # APScheduler reports every run of every chore at INFO: one line a second.
        "apscheduler": {"level": "WARNING"},
        # Two lines for each message.
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        # waitress reports how many requests wait whenever one has to.
        "waitress.queue": {"level": "ERROR"},
        # A line for every request is for development.
        "cronsched.access": {"level": "INFO" if DEBUG else "WARNING"},
        # Django's own handlers would write each of its lines a second time.
        "django": {"handlers": []},
        # The pool would log each attempt to connect; outages are logged where they matter.
        "psycopg.pool": {"level": "ERROR"},
        # A request to another host's name.
        "django.security.DisallowedHost": {"filters": ["as_warning"]},
        # What a client may not do or wrote wrong: its traceback leads to Django's own lines only.
        # A database that is away is one line where the 503 is answered.
        "django.request": {"filters": ["refusals_in_one_line", "no_outages"]},
        "django.security.DisallowedModelAdminToField": {"filters": ["as_warning"]},
    },
}
