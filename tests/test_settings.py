"""Settings: one line for each that is wrong, the default instead, and never an exception in a worker."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from posemon_otel import settings as s
from posemon_otel.settings import Settings


def read(environ=None, **arguments):
    return Settings(arguments, environ=environ or {})


@pytest.fixture
def process_settings():
    s.use(None)
    yield
    s.use(None)


def test_nothing_set_is_every_default():
    found = read()
    assert found.problems == []
    for setting in s.ALL:
        assert found[setting] == setting.default
        assert found.origin(setting) == "default"


def test_a_variable_is_read_and_an_argument_wins():
    environ = {"OTEL_SERVICE_NAME": "worker", "POSEMON_SHIP_BATCH": " 64 ", "POSEMON_LOG_FORMAT": "JSON"}
    found = read(environ)
    assert (found[s.SERVICE_NAME], found[s.SHIP_BATCH], found[s.LOG_FORMAT]) == ("worker", 64, "json")
    assert found.origin(s.SHIP_BATCH) == "POSEMON_SHIP_BATCH"
    found = read(environ, service_name="mine", ship_batch=8, log_format=None)
    assert (found[s.SERVICE_NAME], found[s.SHIP_BATCH], found[s.LOG_FORMAT]) == ("mine", 8, "json")
    assert found.origin(s.SHIP_BATCH) == "argument"
    assert found.origin(s.LOG_FORMAT) == "POSEMON_LOG_FORMAT", "None is not given"


def test_the_first_variable_that_is_set_wins():
    both = {"POSEMON_REDIS_URL": "redis://ours", "REDIS_URL": "redis://theirs"}
    assert read(both)[s.REDIS_URL] == "redis://ours"
    assert read(both | {"POSEMON_REDIS_URL": " "})[s.REDIS_URL] == "redis://theirs", "an empty variable is not set"
    assert read({"REDIS_URL": "redis://theirs"}).origin(s.REDIS_URL) == "REDIS_URL"


WRONG = [
    ("POSEMON_SHIP_BATCH", "many", s.SHIP_BATCH, "expected a whole number, from 1 to 100000, got 'many'; using 512"),
    ("POSEMON_SHIP_BATCH", "0", s.SHIP_BATCH, "expected a whole number, from 1 to 100000, got '0'; using 512"),
    ("POSEMON_SHIP_BATCH", "1.5", s.SHIP_BATCH, "expected a whole number, from 1 to 100000, got '1.5'; using 512"),
    ("POSEMON_ADMIN_PORT", "70000", s.ADMIN_PORT, "expected a whole number, from 0 to 65535, got '70000'; using 8321"),
    ("POSEMON_JOURNAL_KEEP", "-1", s.JOURNAL_KEEP, "expected a whole number, at least 0, got '-1'; using 67108864"),
    ("POSEMON_SHIP_INTERVAL", "nan", s.SHIP_INTERVAL, "expected seconds, at least 0.01, got 'nan'; using 1.0"),
    ("POSEMON_JOURNAL", "maybe", s.JOURNAL, "expected one of on, off, got 'maybe'; using 'on'"),
    ("OTEL_SDK_DISABLED", "perhaps", s.DISABLED, "expected true or false, got 'perhaps'; using False"),
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "localhost:4318",
        s.OTLP_ENDPOINT,
        "expected an address with a scheme, like http://127.0.0.1:4318, got 'localhost:4318'; using none",
    ),
]


@pytest.mark.parametrize(("variable", "value", "setting", "line"), WRONG)
def test_a_wrong_value_is_one_line_and_the_default(variable, value, setting, line):
    found = read({variable: value})
    assert found.problems == [f"{variable}: {line}"]
    assert found[setting] == setting.default
    assert found.origin(setting) == "default"
    found = read(**{setting.name: value})
    assert found.problems == [f"{setting.name}: {line}"], "an argument is named by its keyword"
    assert found[setting] == setting.default


@pytest.mark.parametrize(
    ("setting", "value", "taken"),
    [
        (s.SHIP_BATCH, 0, s.SHIP_BATCH.default),
        (s.SHIP_BATCH, True, s.SHIP_BATCH.default),
        (s.SHIP_BATCH, 3, 3),
        (s.SHIP_INTERVAL, -5.0, s.SHIP_INTERVAL.default),
        (s.SHIP_INTERVAL, float("nan"), s.SHIP_INTERVAL.default),
        (s.SHIP_INTERVAL, 3, 3.0),
        (s.DISABLED, True, True),
        (s.DISABLED, False, False),
        (s.DISABLED, 7, False),
        (s.SERVICE_NAME, 7, "7"),
        (s.JWT_SECRET, b"key", "key"),
        (s.JOURNAL_DIR, Path("somewhere"), "somewhere"),
        (s.DISABLED_INSTRUMENTATIONS, ["a", "b"], ("a", "b")),
        (s.DISABLED_INSTRUMENTATIONS, ("a",), ("a",)),
        (s.DISABLED_INSTRUMENTATIONS, "a, b,", ("a", "b")),
        (s.DISABLED_INSTRUMENTATIONS, ["a", 3], ("a", "3")),
        (s.DISABLED_INSTRUMENTATIONS, (), ()),
    ],
)
def test_an_argument_is_checked_as_a_variable_is(setting, value, taken):
    found = read(**{setting.name: value})
    assert found[setting] == taken
    assert type(found[setting]) is type(setting.default)
    assert len(found.problems) == (found.origin(setting) == "default")


class Unprintable:
    def __str__(self):
        raise RuntimeError


def test_what_cannot_be_printed_is_a_wrong_value():
    found = read(service_name=Unprintable())
    assert found.problems == ["service_name: expected text, got an object of Unprintable; using none"]


def test_an_unknown_variable_is_named_with_what_may_be_meant():
    found = read({"POSEMON_JURNAL": "off", "POSEMON_ZZZ": "secret-value", "OTHER": "x", "posemon_journal": "x"})
    assert found.problems == [
        "POSEMON_JURNAL: no such setting; it is ignored (is POSEMON_JOURNAL meant?)",
        "POSEMON_ZZZ: no such setting; it is ignored",
    ]


def test_an_unknown_argument_is_a_mistake_in_the_code():
    with pytest.raises(TypeError, match=r"^no such setting: servce_name; known are .*service_name"):
        read(servce_name="x")


def test_problems_hold_no_secrets():
    for setting in s.ALL:
        if not setting.secret:
            continue
        refusing = s.Setting(
            setting.name, " ".join(setting.variables), int, 0, setting.meaning, expected=setting.expected, secret=True
        )
        found = read()
        found._resolve(refusing, {setting.name: "hunter2"}, {})
        assert found.problems == [f"{setting.name}: expected {setting.expected}, got a secret; using 0"]
    found = read({"OTEL_EXPORTER_OTLP_ENDPOINT": "jane:hunter2@collector:4318"})
    assert "hunter2" not in found.problems[0]
    assert "'collector:4318'" in found.problems[0]


def test_everything_that_holds_a_key_or_a_password_is_secret():
    revealing = ("key", "secret", "token", "password", "database_url", "redis_url", "headers")
    for setting in s.ALL:
        if setting.default == "" and setting.name.endswith(revealing):
            assert setting.secret, setting.name


def test_a_problem_is_short_and_on_one_line():
    for value in ("9" * 5000, "a\nb\x1b[31m", "x" * 100_000):
        (problem,) = read({"POSEMON_SHIP_BATCH": value}).problems
        assert problem.isprintable()
        assert len(problem) < 250


@bounds(deadline=None)  # the machine may be busy
@given(
    values=st.dictionaries(
        st.sampled_from([variable for setting in s.ALL for variable in setting.variables]), st.text(), max_size=5
    )
)
def test_no_environment_raises(values):
    found = Settings(environ=values)
    for setting in s.ALL:
        assert type(found[setting]) is type(setting.default)
    assert len(found.problems) <= len(values)


def test_names_and_variables_are_told_apart():
    names = [setting.name for setting in s.ALL]
    assert len(set(names)) == len(names)
    variables = [variable for setting in s.ALL for variable in setting.variables]
    assert len(set(variables)) == len(variables)
    for setting in s.ALL:
        assert setting.meaning
        assert setting.expected
        assert setting.name.isidentifier()
        if setting.default not in ("", ()):
            assert setting.parse(s._as_text(setting.default)) == setting.default, "a default passes its own check"


def test_contracts_variables_are_there():
    promised = [
        "POSEMON_DATABASE_URL",
        "DATABASE_URL",
        "POSEMON_REDIS_URL",
        "REDIS_URL",
        "POSEMON_JOURNAL",
        "POSEMON_JOURNAL_DIR",
        "POSEMON_LOG_FORMAT",
        "POSEMON_LOG_LEVEL",
        "POSEMON_VIEW",
        "JWT_SECRET",
        "POSEMON_QUEUE_CONTEXT",
        "POSEMON_HASH_KEY",
        "OTEL_SERVICE_NAME",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        "OTEL_CONFIG_FILE",
    ]
    assert set(promised) <= {variable for setting in s.ALL for variable in setting.variables}
    assert s.VALUE_LENGTH_LIMIT.default == 16 * 1024
    assert s.EXIT_BUDGET.default == 5.0
    assert s.JOURNAL_CAP.default == 1024**3
    assert s.ADMIN_PREFIX.default == "/api/apps/pose-generator"


def test_the_process_reads_its_environment_once(process_settings, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "first")
    assert s.current()[s.SERVICE_NAME] == "first"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "second")
    assert s.current()[s.SERVICE_NAME] == "first"
    s.use(None)
    assert s.current()[s.SERVICE_NAME] == "second"
    mine = read(service_name="mine")
    s.use(mine)
    assert s.current() is mine


def test_a_wrong_environment_breaks_no_import():
    environ = {"POSEMON_SHIP_BATCH": "many", "OTEL_BSP_MAX_QUEUE_SIZE": "0", "POSEMON_JOURNAL": "?"}
    code = "import posemon_otel.settings as s; print(len(s.current().problems))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environ,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "3", "")


@pytest.mark.parametrize(
    "value",
    [
        "http//me:hunter2@collector:4318",
        "collector:4318/v1?api-key=hunter2",
        "ftp://me:hunter2@collector/v1?key=hunter2",
        "//me:hunt@hunter2@collector",
    ],
)
def test_a_wrong_address_is_told_of_without_its_credentials(value):
    (problem,) = read({"OTEL_EXPORTER_OTLP_ENDPOINT": value}).problems
    assert "hunt" not in problem
    assert "collector" in problem
