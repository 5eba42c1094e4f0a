"""Every setting of the exchange. The environment is read here, once, and nowhere else.

`docs/reference/settings.md` lists the variables; `make demo` sets them all for the embedded parts.
"""

from pathlib import Path

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from kombu import Queue

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# --- the environment -------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])
PUBLIC_URL = env.str("PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")
RUN_DIR = Path(env.str("RUN_DIR", default=str(BASE_DIR / ".run")))
REDIS_URL = env.str("REDIS_URL")
CHAIN_RPC_URL = env.str("CHAIN_RPC_URL", default="")  # no chain configured is a legal state
CHAIN_CONTRACT_ADDRESS = env.str("CHAIN_CONTRACT_ADDRESS", default="")  # empty: the newest one we deployed
CHAIN_CONFIRMATIONS = env.int("CHAIN_CONFIRMATIONS", default=0)
# Addresses that seal the chain's blocks (QBFT, IBFT 2.0). With them, verifiers demand proof of the chain's state.
CHAIN_VALIDATORS = env.list("CHAIN_VALIDATORS", default=[])
CHAIN_MAX_GAS_PRICE_GWEI = env.int("CHAIN_MAX_GAS_PRICE_GWEI", default=500)  # the most a transaction ever offers
ANCHOR_SECONDS = env.float("ANCHOR_SECONDS", default=3)
WAKE_WHEN_ANCHORED = ["compute.advance_computations"]  # tasks, by name, of those who wait for an anchor
CHAIN_DOWN_LIMIT_SECONDS = env.int("CHAIN_DOWN_LIMIT_SECONDS", default=4 * 3600)  # then nothing new is authorized
CHAIN_KNOWN_ADDRESSES = env.list("CHAIN_KNOWN_ADDRESSES", default=[])  # administrators and senders besides our own keys
# Operations whose runs stand in the chain's total before they start, and how many units one lease takes.
METER_ON_CHAIN_BEFORE = env.list("METER_ON_CHAIN_BEFORE", default=["aligned_statistics"])
METER_LEASE_UNITS = env.int("METER_LEASE_UNITS", default=100)
# Key files of the exchange itself (documents and direct chain records) and of its log (checkpoints and anchors).
EXCHANGE_KEY_FILE = Path(env.str("EXCHANGE_KEY_FILE", default=str(RUN_DIR / "exchange" / "exchange.key.json")))
LOG_KEY_FILE = Path(env.str("LOG_KEY_FILE", default=str(RUN_DIR / "exchange" / "log.key.json")))
# Sends revocations, so that they never wait behind a stuck grant; where it is missing, the exchange's key does.
REVOCATION_KEY_FILE = Path(
    env.str("REVOCATION_KEY_FILE", default=str(EXCHANGE_KEY_FILE.parent / "revocation.key.json"))
)
LOG_ORIGIN = env.str("LOG_ORIGIN", default="hengshu.example/ledger/2026")
LOG_MLDSA_KEY_FILE = env.str("LOG_MLDSA_KEY_FILE", default="")  # empty: checkpoints carry an Ed25519 line alone
LOG_WITNESS_QUORUM = env.int("LOG_WITNESS_QUORUM", default=0)  # how many cosignatures verifiers are told to ask for
LOG_WITNESS_PATIENCE_SECONDS = env.int("LOG_WITNESS_PATIENCE_SECONDS", default=30)
EXCHANGE_CODE = env.str("EXCHANGE_CODE", default="HS")
EXCHANGE_NAME_ZH = env.str("EXCHANGE_NAME_ZH", default="衡数数据交易所")
EXCHANGE_NAME_EN = env.str("EXCHANGE_NAME_EN", default="Hengshu Data Exchange")
EXCHANGE_FEE_BASIS_POINTS = env.int("EXCHANGE_FEE_BASIS_POINTS", default=300)
TASK_LEASE_SECONDS = env.int("TASK_LEASE_SECONDS", default=30)
COMPUTATION_DEADLINE_SECONDS = env.int("COMPUTATION_DEADLINE_SECONDS", default=180)
COMPUTATION_LONGEST_SECONDS = env.int("COMPUTATION_LONGEST_SECONDS", default=21_600)
NOTICE_RETENTION_DAYS = env.int("NOTICE_RETENTION_DAYS", default=1095)  # three years: PIPL art. 56
EMAIL_URL = env.email_url("EMAIL_URL", default="consolemail://")
SECURE_COOKIES = env.bool("SECURE_COOKIES", default=PUBLIC_URL.startswith("https://"))
# How many reverse proxies of ours stand before the web process. 0: X-Forwarded-* is what a stranger typed, and unread.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)
if SECURE_COOKIES and len(SECRET_KEY) < 32:
    raise ImproperlyConfigured("SECRET_KEY has fewer than 32 characters; make one: openssl rand -base64 48")

# --- Django ----------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "csp",
    "django_htmx",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "pgtrigger",
    "rest_framework",
    "exchange.apps.ExchangeConfig",
    "exchange.members.apps.MembersConfig",
    "exchange.web.apps.WebConfig",
    "ledger.apps.LedgerConfig",
    "listings.apps.ListingsConfig",
    "contracts.apps.ContractsConfig",
    "compute.apps.ComputeConfig",
    "exchange.subjects.apps.SubjectsConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "exchange.web.middleware.MembershipMiddleware",
    "exchange.web.middleware.RefusalMiddleware",
]

ROOT_URLCONF = "exchange.urls"
WSGI_APPLICATION = "exchange.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "exchange.web.context.site",
            ],
            "builtins": ["exchange.web.templatetags.hengshu"],
        },
    }
]

_database = env.db_url("DATABASE_URL")
if not _database["HOST"]:  # django-environ leaves a socket directory in OPTIONS
    _database["HOST"] = _database.get("OPTIONS", {}).pop("host", "")
DATABASES = {"default": {**_database, "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- people ----------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "members.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "front:workplace"
ACCOUNT_LOGOUT_REDIRECT_URL = "front:home"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = env.str("ACCOUNT_EMAIL_VERIFICATION", default="mandatory")
ACCOUNT_PREVENT_ENUMERATION = True
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXIES
MFA_TOTP_ISSUER = "Hengshu"
SESSION_COOKIE_SECURE = SECURE_COOKIES
CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 60 * 60  # as long as an access token
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
vars().update(EMAIL_URL)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="hengshu@localhost")

# --- pages -----------------------------------------------------------------------------------------------
LANGUAGE_CODE = "zh-hans"
LANGUAGES = [("zh-hans", _("Chinese")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "Asia/Shanghai"
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(RUN_DIR / "static")))
STATICFILES_DIRS = [
    BASE_DIR / "static",
    ("vendor/tabler", BASE_DIR / "node_modules" / "@tabler" / "core" / "dist"),
    ("vendor/echarts", BASE_DIR / "node_modules" / "echarts" / "dist"),
    ("vendor/noble-hashes", BASE_DIR / "node_modules" / "@noble" / "hashes"),
    ("vendor/noble-secp256k1", BASE_DIR / "node_modules" / "@noble" / "secp256k1"),
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True  # the web process serves them where they lie; no collecting step to forget
MEDIA_ROOT = Path(env.str("MEDIA_ROOT", default=str(RUN_DIR / "media")))
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if SECURE_COOKIES else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_SSL_REDIRECT = bool(SECURE_COOKIES and TRUSTED_PROXIES)
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024

# --- API -------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "exchange.web.authentication.MemberTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["exchange.web.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "exchange.web.pagination.Pages",
    "DEFAULT_SCHEMA_CLASS": "exchange.web.schema.NamedSchema",
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.ScopedRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {
        "login": env.str("LOGIN_RATE", default="10/min"),  # one user name from one address
        "login_address": env.str("LOGIN_ADDRESS_RATE", default="120/min"),  # any names from one address
        "public": "600/min",
        "objection": "30/hour",  # filed from one address; asking for their state counts as public
    },
    "NUM_PROXIES": TRUSTED_PROXIES,
    "EXCEPTION_HANDLER": "exchange.web.problems.handle",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Hengshu 衡数",
    "DESCRIPTION": "A data exchange that can prove what it promises.",
    "VERSION": "1",
    "ENUM_NAME_OVERRIDES": {
        "ProductStateEnum": "listings.states.PRODUCT_CHOICES",
        "CertificateStateEnum": "listings.states.CERTIFICATE_CHOICES",
        "PersonalEnum": "listings.states.PERSONAL_CHOICES",
        "ComputationStateEnum": "compute.states.COMPUTATION_CHOICES",
        "ObjectionStateEnum": "exchange.subjects.states.OBJECTION_CHOICES",
    },
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

# --- workers: PostgreSQL is the truth, Celery only wakes ---------------------------------------------------
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 120,  # longer than any task's time limit, so that none runs twice at once
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    # A request that wakes a worker gives up on a dead broker at once (6 s by default); beat repairs the rest.
    "max_retries": 0,
    "interval_start": 0,
    "interval_step": 0,
    "queue_order_strategy": "priority",  # the first of CELERY_TASK_QUEUES first
}
# Revocations have a queue of their own, which every worker empties first; a worker of their own is better still.
CELERY_TASK_QUEUES = [Queue("revocations"), Queue("celery")]
CELERY_TASK_DEFAULT_QUEUE = "celery"
CELERY_TASK_ROUTES = {"ledger.send_revocations": {"queue": "revocations"}}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_TIME_LIMIT = 90
CELERY_TASK_SOFT_TIME_LIMIT = 75
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
# Names of tasks, not functions: the schedule must not import what it wakes. Seconds.
CELERY_BEAT_SCHEDULE = {
    "seal": {"task": "ledger.seal_checkpoint", "schedule": 1.0},
    "witnesses": {"task": "ledger.ask_witnesses", "schedule": 1.0},
    "anchor": {"task": "ledger.anchor_checkpoints", "schedule": ANCHOR_SECONDS},
    "chain-records": {"task": "ledger.send_chain_records", "schedule": 3.0},
    "revocations": {"task": "ledger.send_revocations", "schedule": 1.0, "options": {"expires": 5}},
    "chain-events": {"task": "ledger.read_chain_events", "schedule": 2.0, "options": {"expires": 5}},
    "follow-chain": {"task": "contracts.follow_chain_events", "schedule": 2.0, "options": {"expires": 5}},
    "expire-reservations": {"task": "contracts.expire_reservations", "schedule": 10.0},
    "advance-contracts": {"task": "contracts.advance_contracts", "schedule": 2.0},
    "advance-computations": {"task": "compute.advance_computations", "schedule": 2.0},
    "expire-tasks": {"task": "compute.expire_tasks", "schedule": 5.0},
    "overdue-objections": {"task": "subjects.find_overdue_objections", "schedule": 60.0},
    "forget-notices": {"task": "compute.forget_notices", "schedule": 3600.0},
}

# --- logs: references, counts and durations; never a row, a result or a key --------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {"django.request": {"level": "ERROR"}, "httpx": {"level": "WARNING"}},
}
