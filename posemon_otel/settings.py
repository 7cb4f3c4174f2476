"""Every setting: variable, type, default, meaning. The only reader of the environment.

A setting is an object of this module; ``settings.current()[LOG_FORMAT]`` is its value. A value comes from an explicit argument of
``configure``, else from the first of its variables that is set, else it is the default. A wrong value never raises out of a worker:
the default stands in, and ``Settings.problems`` holds one line that says what was expected, what came and what was taken.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from posemon_otel._setting import Setting as Setting  # noqa: PLC0414 - others import it from here
from posemon_otel._setting import address, choice, endpoint, flag, names, protocol, seconds, text, whole, without

if TYPE_CHECKING:
    from posemon_otel.otel_variables import Wrong

T = TypeVar("T")

MIB = 1024 * 1024

SERVICE_NAME = text("service_name", "OTEL_SERVICE_NAME", "", "name of this service; `service.name` of the Resource")
DISABLED = flag("disabled", "OTEL_SDK_DISABLED", False, "true switches everything off")
DISABLED_INSTRUMENTATIONS: Setting[tuple[str, ...]] = Setting(
    "disabled_instrumentations", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", names, (),
    "libraries that are not instrumented, as `posemon_<library>` or `<library>`", expected="names separated by commas",
)  # fmt: skip
CONFIG_FILE = text(
    "config_file", "OTEL_CONFIG_FILE", "", "declarative configuration of the SDK; its providers are used then"
)
TRACES_EXPORTER = text(
    "traces_exporter",
    "OTEL_TRACES_EXPORTER",
    "otlp",
    "`otlp`, `otlp_json_file`, `console`, `none`, or an installed exporter's name",
)
METRICS_EXPORTER = text("metrics_exporter", "OTEL_METRICS_EXPORTER", "otlp", "as for traces")
LOGS_EXPORTER = text("logs_exporter", "OTEL_LOGS_EXPORTER", "otlp", "as for traces")
JOURNAL_EXPORTER = Setting(
    "journal_exporter", "POSEMON_JOURNAL_EXPORTER", without("posemon_journal"), "otlp",
    "where the exporter `posemon_journal` of other SDKs delivers to", expected="as for traces, and not itself",
)  # fmt: skip
TRACES_SAMPLER = text(
    "traces_sampler", "OTEL_TRACES_SAMPLER", "", "OpenTelemetry's sampler, or an installed one's name"
)
TRACES_SAMPLER_ARG = text("traces_sampler_arg", "OTEL_TRACES_SAMPLER_ARG", "", "its argument, like a ratio from 0 to 1")
ID_GENERATOR = text("id_generator", "OTEL_PYTHON_ID_GENERATOR", "", "an installed id generator's name")
OTLP_ENDPOINT = endpoint(
    "otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", "where telemetry goes; unset means a collector on this machine"
)
OTLP_PROTOCOL = protocol("otlp_protocol", "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "how OTLP is spoken")
OTLP_TRACES_PROTOCOL = protocol(
    "otlp_traces_protocol", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "", "the same, for traces"
)
OTLP_METRICS_PROTOCOL = protocol(
    "otlp_metrics_protocol", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "", "the same, for metrics"
)
OTLP_LOGS_PROTOCOL = protocol("otlp_logs_protocol", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "", "the same, for logs")
OTLP_TRACES_ENDPOINT = endpoint(
    "otlp_traces_endpoint", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "where traces go, path included"
)
OTLP_METRICS_ENDPOINT = endpoint(
    "otlp_metrics_endpoint", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "where metrics go, path included"
)
OTLP_LOGS_ENDPOINT = endpoint("otlp_logs_endpoint", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "where logs go, path included")
OTLP_ENDPOINTS = (OTLP_ENDPOINT, OTLP_TRACES_ENDPOINT, OTLP_METRICS_ENDPOINT, OTLP_LOGS_ENDPOINT)
OTLP_FILE_DIR = text(
    "otlp_file_dir", "POSEMON_OTLP_FILE_DIR", "", "folder of the exporter `otlp_json_file`; unset means standard output"
)
EXCEPTION_SIGNAL = choice(
    "exception_signal", "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs/dup",
    "`logs` writes exceptions as log records alone, `logs/dup` as span events too", "logs", "logs/dup",
)  # fmt: skip
CAPTURE_CONTENT = flag(
    "capture_content",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
    False,
    "true lets prompts leave the process, as `gen_ai.input.messages`",
)
VALUE_LENGTH_LIMIT = whole(
    "value_length_limit",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    16 * 1024,
    "characters of one attribute value; longer ones are cut",
)

JOURNAL = choice("journal", "POSEMON_JOURNAL", "on", "`off` sends at once, without durability", "on", "off")
JOURNAL_DIR = text(
    "journal_dir", "POSEMON_JOURNAL_DIR", "", "folder of the journal; default `$XDG_STATE_HOME/posemon/<service>`"
)
STATE_HOME = text("state_home", "XDG_STATE_HOME", "", "folder for what programs keep; default `~/.local/state`")
JOURNAL_CAP = whole(
    "journal_cap", "POSEMON_JOURNAL_CAP", 1024 * MIB,
    "bytes not yet delivered that are kept; beyond it the oldest go, counted", MIB,
)  # fmt: skip
JOURNAL_CAP_UNANSWERED = whole(
    "journal_cap_unanswered", "POSEMON_JOURNAL_CAP_UNANSWERED", 64 * MIB,
    "the same while no endpoint is named and the default one has never answered", MIB,
)  # fmt: skip
JOURNAL_KEEP = whole("journal_keep", "POSEMON_JOURNAL_KEEP", 64 * MIB, "bytes of delivered segments kept for look-ups")
SEGMENT_BYTES = whole("segment_bytes", "POSEMON_JOURNAL_SEGMENT", 8 * MIB, "bytes of one segment file", 4096)
SHIP_INTERVAL = seconds(
    "ship_interval", "POSEMON_SHIP_INTERVAL OTEL_BSP_SCHEDULE_DELAY", 1.0, "pause between two deliveries", 0.01
)
SHIP_INTERVAL.units = {"OTEL_BSP_SCHEDULE_DELAY": 0.001}
SHIP_BATCH = whole(
    "ship_batch",
    "POSEMON_SHIP_BATCH OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    512,
    "spans or log records in one request",
    1,
    100_000,
)
METRIC_INTERVAL = whole(
    "metric_interval", "OTEL_METRIC_EXPORT_INTERVAL", 60_000, "milliseconds between two metric exports", 10
)
SDK_METRICS = flag(
    "sdk_metrics",
    "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED",
    False,
    "true adds OpenTelemetry's own metrics, `otel.sdk.*`; the SDK's part of them listens to the variable alone",
)
EXIT_BUDGET = seconds(
    "exit_budget", "POSEMON_EXIT_BUDGET", 5.0, "seconds that delivery may take at exit; the rest stays in the journal"
)
QUEUE_CONTEXT = choice(
    "queue_context",
    "POSEMON_QUEUE_CONTEXT",
    "parent",
    "whether a job's span is the child of its producer's span or only links to it",
    "parent",
    "link",
)
LOG_FORMAT = choice(
    "log_format",
    "POSEMON_LOG_FORMAT",
    "console",
    "lines on stderr: for people, as JSON, or none",
    "console",
    "json",
    "none",
)
LOG_LEVEL = choice(
    "log_level", "POSEMON_LOG_LEVEL", "info", "least severity of a line on stderr", "debug", "info", "warning", "error"
)
VIEW = choice(
    "view", "POSEMON_VIEW", "none", "`tree` prints every finished generation as a tree on stderr", "none", "tree"
)
HASH_KEY = text(
    "hash_key",
    "POSEMON_HASH_KEY",
    "",
    "key of the hashes of prompts and storage keys; unset means no hashes",
    secret=True,
)
STORAGE_KEYS = flag(
    "storage_keys", "POSEMON_STORAGE_KEYS", False, "true lets the keys of stored objects leave the process"
)

DATABASE_URL = text(
    "database_url",
    "POSEMON_DATABASE_URL",
    "",
    "our own database, an SQLAlchemy URL; a worker writes rows only where it is set",
    secret=True,
)
APPLICATION_DATABASE_URL = text(
    "application_database_url", "DATABASE_URL", "", "the application's database: read, never written", secret=True
)
REDIS_URL = text("redis_url", "POSEMON_REDIS_URL REDIS_URL", "", "BullMQ's Redis", secret=True)
QUEUE = text("queue", "POSEMON_QUEUE", "pose-generation", "BullMQ queue that the admin app watches")
JWT_SECRET = text("jwt_secret", "JWT_SECRET", "", "key of the admins' tokens (HS256), at least 32 bytes", secret=True)
JWKS_URL = Setting(
    "jwks_url", "POSEMON_JWKS_URL", address, "", "keys of an identity provider whose RS256 and ES256 tokens are taken too",
    expected="an address with a scheme, like https://id.example.com/jwks.json",
)  # fmt: skip
JWKS_AUDIENCE = text(
    "jwks_audience",
    "POSEMON_JWKS_AUDIENCE",
    "",
    "audience (claim `aud`) that the identity provider's tokens must be for; needed beside its keys",
)
JWKS_ISSUER = text(
    "jwks_issuer", "POSEMON_JWKS_ISSUER", "", "issuer (claim `iss`) that they must be of; unset means any of these keys"
)
ADMIN_HOST = text("admin_host", "POSEMON_ADMIN_HOST", "127.0.0.1", "address that the admin app listens on")
ADMIN_PORT = whole("admin_port", "POSEMON_ADMIN_PORT", 8321, "port of the admin app", 0, 65535)
ADMIN_PREFIX = text(
    "admin_prefix", "POSEMON_ADMIN_PREFIX", "/api/apps/pose-generator", "where the admin app's endpoints begin"
)
ADMIN_LOGIN = flag("admin_login", "POSEMON_ADMIN_LOGIN", True, "whether `posemon serve` offers POST /api/auth/login")
TRUSTED_PROXIES: Setting[tuple[str, ...]] = Setting(
    "trusted_proxies", "POSEMON_TRUSTED_PROXIES", names, (),
    "addresses of proxies whose X-Forwarded-For is believed, for rate limits", expected="addresses separated by commas",
)  # fmt: skip
SHOW_USER_NAMES = flag(
    "show_user_names", "POSEMON_SHOW_USER_NAMES", False, "true shows names and e-mail addresses among the top users"
)

ALL: tuple[Setting[Any], ...] = tuple(value for value in list(globals().values()) if isinstance(value, Setting))
_BY_NAME = {setting.name: setting for setting in ALL}
_PREFIX, _OTEL = "POSEMON_", "OTEL_"
_BY_SIGNAL = (
    (OTLP_TRACES_ENDPOINT, OTLP_TRACES_PROTOCOL),
    (OTLP_METRICS_ENDPOINT, OTLP_METRICS_PROTOCOL),
    (OTLP_LOGS_ENDPOINT, OTLP_LOGS_PROTOCOL),
)
_MOST_SHOWN = 80


def _as_text(value: Any) -> str:
    """An argument as a variable would hold it, so that both are checked alike."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return ",".join(map(str, value))
    return value.decode() if isinstance(value, bytes) else str(value)


def _shown(value: Any) -> str:
    """A wrong value for a message: short, on one line, without what may be credentials."""
    try:
        shown = str(value).rpartition("@")[2]
        if "/" in shown:  # an address, whose query may hold a key
            shown = shown.partition("?")[0]
    except Exception:  # it cannot be printed, which is what is wrong with it
        return f"an object of {type(value).__name__}"
    return repr(shown if len(shown) <= _MOST_SHOWN else shown[:_MOST_SHOWN] + "...")


def _unknown(variable: str, known: frozenset[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(variable, known, 1, 0.8)
    return f"{variable}: no such setting; it is ignored" + (f" (is {near[0]} meant?)" if near else "")


class Source(NamedTuple):
    """A value and where it comes from: ``argument``, a variable's name, or ``default``."""

    value: Any
    origin: str


class Settings:
    """Resolved settings.

    Attributes:
        problems: One line for each value that could not be used and each unknown ``POSEMON_*`` variable.
        wrong: Variables that are OpenTelemetry's own and hold what it would raise on; ``use`` mends them.
    """

    def __init__(self, arguments: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> None:
        """Reads the environment once.

        Args:
            arguments: Explicit values by setting name; ``None`` values count as not given.
            environ: Stands in for ``os.environ``.

        Raises:
            TypeError: ``arguments`` holds a name that is no setting (a mistake in the caller's code, unlike a wrong value).
        """
        environ = os.environ if environ is None else environ
        self.problems: list[str] = []
        self._values: dict[str, Source] = {}
        given = {name: value for name, value in (arguments or {}).items() if value is not None}
        unknown = sorted(set(given) - set(_BY_NAME))
        if unknown:
            raise TypeError(f"no such setting: {', '.join(unknown)}; known are {', '.join(sorted(_BY_NAME))}")
        for setting in ALL:
            self._values[setting.name] = self._resolve(setting, given, environ)
        known = frozenset(variable for setting in ALL for variable in setting.variables)
        self.problems += [
            _unknown(name, known) for name in sorted(environ) if name.startswith(_PREFIX) and name not in known
        ]
        for own, spoken in _BY_SIGNAL:
            self._refuse_without_scheme(own, spoken)
        self.wrong: list[Wrong] = []
        if any(name.startswith(_OTEL) for name in environ):
            from posemon_otel import otel_variables

            self.wrong = otel_variables.wrong(environ, _shown)
            self.problems += [one.line for one in self.wrong if one.name not in known]

    def _refuse_without_scheme(self, own: Setting[str], spoken: Setting[str]) -> None:
        """Over HTTP an endpoint needs a scheme, a signal's own and the shared one."""
        if (self[spoken] or self[OTLP_PROTOCOL]) == "grpc":
            return
        for setting in (own, OTLP_ENDPOINT):
            value, origin = self._values[setting.name]
            if value and "://" not in value:
                where = setting.name if origin == "argument" else origin
                self.problems.append(f"{where}: expected {setting.expected}, got {_shown(value)}; using none")
                self._values[setting.name] = Source(setting.default, "default")

    def _resolve(self, setting: Setting[Any], given: Mapping[str, Any], environ: Mapping[str, str]) -> Source:
        if setting.name in given:
            value, origin = given[setting.name], "argument"
        else:
            origin = next((name for name in setting.variables if environ.get(name, "").strip()), "default")
            value = environ.get(origin)
        if origin == "default":
            return Source(setting.default, origin)
        try:
            text = _as_text(value)
            if origin in setting.units:
                text = str(float(text) * setting.units[origin])
            return Source(setting.parse(text), origin)
        except Exception:  # whatever an argument's own methods raise is a wrong value too
            shown = "a secret" if setting.secret else _shown(value)
            taken = "none" if setting.default in ("", ()) else repr(setting.default)
            where = setting.name if origin == "argument" else origin
            unit = f" (it counts in {setting.units[origin]:g} s)" if origin in setting.units else ""
            self.problems.append(f"{where}: expected {setting.expected}{unit}, got {shown}; using {taken}")
            return Source(setting.default, "default")

    def __getitem__(self, setting: Setting[T]) -> T:
        value: T = self._values[setting.name].value
        return value

    def origin(self, setting: Setting[Any]) -> str:
        """Where a value comes from: ``argument``, a variable's name, or ``default``."""
        return self._values[setting.name].origin


_current: Settings | None = None


def current() -> Settings:
    """The process's settings: those of ``configure``, before it those of the environment."""
    global _current
    if _current is None:
        _current = Settings()
    return _current


def use(settings: Settings | None) -> None:
    """Makes ``settings`` the process's; ``None`` has them read again at the next use."""
    global _current
    _current = settings
    if settings is not None:
        mend(settings)


def mend(settings: Settings) -> None:
    """Takes out of the environment what OpenTelemetry's packages would raise on.

    They read it by themselves, some of them at each log record.
    """
    for one in settings.wrong:
        if os.environ.get(one.name) == one.value:
            if one.instead:
                os.environ[one.name] = one.instead
            else:
                del os.environ[one.name]
