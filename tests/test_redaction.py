"""Redaction: what may leave the call, and what nothing may do to it."""

import base64
import datetime as dt
import decimal
import enum
import functools
import hmac
import json
import re
import tracemalloc
import uuid
from collections import UserDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from posemon_otel import redaction, settings
from posemon_otel.redaction import exceptions, prompts
from posemon_otel.redaction.values import MOST_ITEMS
from posemon_otel.semconv import attributes as a

LIMIT = settings.VALUE_LENGTH_LIMIT.default
PROMPT = "a dancer in a red dress, arms raised, at dusk"

SECRETS = {
    "hugging face key": "hf_AbCdEfGhIjKlMnOp",
    "replicate key": "r8_AbCdEfGhIjKlMnOp",
    "openai key": "sk-proj-AbCdEfGhIjKlMnOp",
    "aws key": "AKIAIOSFODNN7EXAMPLE",
    "github key": "ghp_AbCdEfGhIjKlMnOp",
    "bearer": "Bearer abcdefgh12345",
    "upper-case bearer": "BEARER abcdefgh12345",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
    "e-mail": "jane.doe+poses@mail.example.org",
    "quoted e-mail": "jane%40example.org",
    "query": "https://cdn.example.org/a.png?X-Amz-Signature=deadbeef&X-Amz-Expires=3600",
    "relative query": "/a.png?sig=deadbeef",
    "credentials": "postgresql+psycopg://jane:hunter2@db.internal/poses",
    "password with a slash": "postgres://jane:hunter2/3@db.internal/poses",
    "password with a hash": "postgres://jane:hunter2#3@db.internal/poses",
    "assignment": "password=hunter2",
    "quoted assignment": '{"api_key": "hunter2"}',
    "upper-case assignment": "API-KEY: hunter2",
    "header": "Authorization: Basic amFuZTpodW50ZXIy, retry",
    "fal's header": "authorization: Key 0f1e:hunter2",
    "cookie": "Set-Cookie: session=hunter2; Path=/",
    "data url": "data:image/png;base64," + "iVBORw0KGgo" * 12,
    "bare image": base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256))).decode(),
    "bytes": repr(bytes(range(128, 192))),
    "prompt": "prompt='a dancer in red'",
    "prompt as JSON": '{"inputs": "a dancer in red", "parameters": {}}',
    "prompt of pydantic": "[type=string, input_value='a dancer in red', input_type=str]",
}
TRACES = re.compile(
    r"AbCdEf|IOSFODNN|abcdefgh|eyJ|jane|hunter2|deadbeef|amFuZTpod|iVBOR|AAECAw|\\x8|dancer|session=|X-Amz",
    re.IGNORECASE,
)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Default settings, and no prompt in mind."""
    monkeypatch.setattr(prompts, "recent", ())
    monkeypatch.setattr(prompts, "shortest", prompts.MOST_TEXT)
    settings.use(settings.Settings(environ={}))
    yield
    settings.use(None)


def with_settings(**values):
    settings.use(settings.Settings(values, environ={}))


# Text


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("around", ["{}", "failed with {} today", "failed\n{}\nagain", "x" * 300 + " {} é"])
def test_a_secret_leaves_no_trace(secret, around):
    scrubbed = redaction.scrub(around.format(secret))
    assert not TRACES.search(scrubbed), scrubbed
    assert scrubbed.startswith(around.partition("{")[0]), "what is around it stays"


@pytest.mark.parametrize(
    "clean",
    [
        "",
        "Processing generation",
        "Rendered 4 of 4 poses in 12.5 s (flux-api, 1024x1024)",
        "black-forest-labs/FLUX.1-dev",
        "0f8fad5b-d9cb-469f-a165-70867728950e",
        "step 3/28: 12:30:05, 45%",
        "ratio = 1.5; tokens: 12, max_tokens=77, token_count: 4",
        "https://api.example.org/models/flux/dev",
        "is it done? yes",
        "décor naïf, 日本語, 🦩",
        "x" * 1000,
        "Basic operation of the key exchange",
        "asking for sk-learn and x-y-z",
    ],
)
def test_a_clean_text_stays_as_it_is(clean):
    assert redaction.scrub(clean) == clean


def test_a_text_keeps_what_is_not_secret():
    before = "500 for url 'https://jane:pw@api.example.org:8443/flux?key=1#top' (Request ID: 42). Mail jane@example.org"
    after = "500 for url 'https://api.example.org:8443/flux' (Request ID: 42). Mail [email]"
    assert redaction.scrub(before) == after
    assert redaction.scrub("(see https://example.org/a?b).") == "(see https://example.org/a)."


def test_half_an_emoji_can_be_encoded():
    assert redaction.scrub("pose \ud83d.") == "pose ?."
    assert redaction.scrub("pose \U0001f9a9.") == "pose \U0001f9a9."


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://example.org/a/b.png?sig=1#x", "https://example.org/a/b.png"),
        ("https://u:p@example.org:8443/", "https://example.org:8443/"),
        ("redis://:pw@127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("http://[::1]:8000/x", "http://[::1]:8000/x"),
        ("postgres://u:p/w@db/x", "postgres://db/x"),
        ("postgres://u:p?w@db/x", "postgres://[redacted]"),
        ("https://example.org/@jane/pose", "https://example.org/@jane/pose"),
        ("https://example.org/u/jane@example.org/", "https://example.org/u/[email]/"),
        ("https://example.org/a;jsessionid=1", "https://example.org/a"),
        ("/a?b=c", "/a"),
        ("user:pw@example.org/x", "example.org/x"),
        ("data:image/png;base64,AAAA", "[image data]"),
        ("not a url", "not a url"),
        ("", ""),
    ],
)
def test_urls(url, clean):
    assert redaction.clean_url(url) == clean


def test_a_prompt_that_is_known_leaves_no_message():
    redaction.translate({"prompt": PROMPT})
    assert redaction.scrub(f"rendering {PROMPT}, again {PROMPT}") == "rendering [prompt], again [prompt]"
    assert redaction.scrub(f"cut: {PROMPT[:-3]}...") == "cut: [prompt]..."
    long = ", ".join(f"pose {number}" for number in range(100))
    redaction.translate({"prompt": long})
    assert redaction.scrub(f"cut: {long[:100]}... rejected") == "cut: [prompt]... rejected"
    error = redaction.exception_text(ValueError(f"cannot render {PROMPT}"))
    assert error.message == "cannot render [prompt]"


def test_only_the_latest_prompts_are_kept_in_mind():
    for index in range(1000):
        redaction.translate({"prompt": f"{index:04} {PROMPT}"})
    assert len(prompts.recent) == prompts._MOST_RECENT
    assert redaction.scrub(f"0999 {PROMPT}") == "[prompt]"


def test_a_line_is_one_line():
    line = "a\nb\r\x1b[31mred\x1b[0m\u202etxt\u2066x\x85\u2028\ttab\ud83d é 日本 \u00a0|"
    clean = redaction.clean_line(line)
    assert clean == r"a\nb\r\x1b[31mred\x1b[0m\u202etxt\u2066x\x85\u2028\ttab\ud83d é 日本 " + "\u00a0|"
    assert redaction.clean_line("Processing é 日本") == "Processing é 日本"


def test_a_keyed_hash_needs_a_key():
    assert redaction.keyed_hash("x") is None
    with_settings(hash_key="k")
    assert redaction.keyed_hash("x") == hmac.new(b"k", b"x", "sha256").hexdigest()[:16]
    assert redaction.keyed_hash("\ud83d")


# Keywords


def test_keywords_become_the_vocabulary():
    assert redaction.translate(
        {"generation_id": "g1", "user_id": "u1", "pose_id": "p1", "width": 1024, "height": 768, "steps": 28}
        | {"guidance_scale": 3.5, "seed": 42, "strength": 0.8, "image_count": 1, "pose.request.id": "r1"}
        | {"tenant": "north", "myapp.shard": 7, "variation": None}
    ) == {
        "pose.generation.id": "g1",
        "user.id": "u1",
        "pose.id": "p1",
        "pose.image.width": 1024,
        "pose.image.height": 768,
        "pose.image.steps": 28,
        "pose.image.guidance_scale": 3.5,
        "gen_ai.request.seed": 42,
        "pose.image.strength": 0.8,
        "pose.image.count": 1,
        "pose.request.id": "r1",
        "pose.data.tenant": "north",
        "pose.data.myapp.shard": 7,
    }


def test_every_short_name_becomes_its_attribute():
    for short, key in a.KEY_OF.items():
        assert redaction.translate({short: 3}) == {key: 3}
        assert redaction.translate({key: 3}) == {key: 3}


def test_a_prompt_is_its_length():
    assert redaction.translate({"prompt": PROMPT, "negative_prompt": "ugly"}) == {
        "pose.prompt.length": len(PROMPT),
        "pose.negative_prompt.length": 4,
    }
    assert redaction.translate({"prompt": [PROMPT, PROMPT, 7]}) == {"pose.prompt.length": 2 * len(PROMPT)}
    assert redaction.translate({"prompt": {"text": "x"}})["pose.prompt.length"] > 0
    assert redaction.translate({"prompt": None}) == {}


def test_a_prompt_has_a_hash_where_there_is_a_key():
    with_settings(hash_key="k")
    first = redaction.translate({"prompt": PROMPT})
    assert re.fullmatch("[0-9a-f]{16}", first["pose.prompt.hash"])
    assert first == redaction.translate({"prompt": PROMPT})
    with_settings(hash_key="other")
    assert redaction.translate({"prompt": PROMPT}) != first


def test_a_prompt_leaves_where_a_setting_asks():
    with_settings(capture_content=True)
    message = redaction.translate({"prompt": PROMPT})["gen_ai.input.messages"]
    assert json.loads(message) == [{"role": "user", "parts": [{"type": "text", "content": PROMPT}]}]
    assert redaction.clean_foreign("gen_ai.prompt.0.content", PROMPT) == PROMPT


@pytest.mark.parametrize(
    "name", ["user_prompt", "prompt_2", "promptText", "positive_prompt", "prompts", "inputs", "input"]
)
def test_a_prompt_under_another_name_stays_too(name):
    assert redaction.translate({name: PROMPT}) == {f"pose.data.{name}": "[prompt]"}
    assert redaction.translate({name: 3}) == {f"pose.data.{name}": 3}


@pytest.mark.parametrize(
    ("model", "attributes"),
    [
        ("black-forest-labs/FLUX.1-dev", {"gen_ai.request.model": "black-forest-labs/FLUX.1-dev"}),
        ("https://u:p@flux.example.org:8443/x?key=1", {"server.address": "flux.example.org", "server.port": 8443}),
        ("http://127.0.0.1/x", {"server.address": "127.0.0.1"}),
        ("http://[bad", {}),
        ("/srv/jane/models/flux-dev/", {"gen_ai.request.model": "flux-dev"}),
        ("./flux-dev", {"gen_ai.request.model": "flux-dev"}),
        ("~/flux-dev", {"gen_ai.request.model": "flux-dev"}),
        ("C:\\models\\flux-dev", {"gen_ai.request.model": "flux-dev"}),
        ("stability/sdxl@1.0", {"gen_ai.request.model": "stability/sdxl@1.0"}),
        ("", {}),
    ],
)
def test_a_model_is_a_name(model, attributes):
    assert redaction.translate({"model": model}) == attributes


def test_an_identifier_that_is_an_address_goes():
    assert redaction.translate({"user_id": "jane@example.org", "job_id": "https://x.org/a?b=c"}) == {
        "user.id": "[email]",
        "messaging.message.id": "https://x.org/a",
    }


def test_unregistered_text_is_scrubbed():
    meta = {"password": "x", "n": [1, 2]}
    assert redaction.translate({"api_key": "abc", "note": "mail jane@example.org", "meta": meta}) == {
        "pose.data.api_key": "[redacted]",
        "pose.data.note": "mail [email]",
        "pose.data.meta": '{"password": "[redacted]", "n": [1, 2]}',
    }


# Values


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Scalar:
    """As NumPy's: ``shape``, ``dtype``, ``item``."""

    shape = ()
    dtype = "float32"

    def item(self):
        return 1.5


class Array:
    dtype = "float32"

    def __init__(self, *shape):
        self.shape = shape

    def tolist(self):
        return [0.5] * self.shape[0]


class Shouting(str):
    """A subclass whose methods must not be called."""

    __slots__ = ()

    def __str__(self):
        raise RuntimeError

    isascii = encode = lower = __getitem__ = __len__ = __str__


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        (None, None),
        (True, True),
        (2**63 - 1, 2**63 - 1),
        (2**70, hex(2**70)),
        (-(2**70), hex(-(2**70))),
        (1.5, 1.5),
        (float("inf"), float("inf")),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Shouting("loud"), "loud"),
        (b"\x89PNG", "<4 bytes>"),
        (bytearray(3), "<3 bytes>"),
        (memoryview(b"abc"), "<3 bytes>"),
        (decimal.Decimal("1.25"), 1.25),
        (dt.timedelta(seconds=2), 2.0),
        (dt.date(2026, 11, 24), "2026-11-24"),
        (dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC), "2026-11-24T12:00:00+00:00"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Scalar(), 1.5),
        (Array(3), [0.5, 0.5, 0.5]),
        (Array(64, 64), "<array (64, 64) float32>"),
        ([], []),
        ([1, 2], [1, 2]),
        ((1, 2.5), [1.0, 2.5]),
        ([True, False], [True, False]),
        (["a", 1, None, True], ["a", "1", "true"]),
        ([[1, 2], [3]], ["[1, 2]", "[3]"]),
        ({"a": {"b": (1, "x")}}, '{"a": "{\\"b\\": [\\"1\\", \\"x\\"]}"}'),
        ("pose \ud83d", "pose ?"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values(value, clean):
    found = redaction.clean_value(value, free_text=False)
    assert found == clean
    assert type(found) is type(clean)


def test_what_is_not_a_number_is_a_float_all_the_same():
    assert redaction.clean_value(float("nan"), free_text=True) != redaction.clean_value(float("nan"), free_text=True)


def test_long_values_are_cut():
    assert redaction.clean_value("x" * 100_000, free_text=False) == "x" * LIMIT
    assert redaction.clean_value("é" * 100_000, free_text=True) == "é" * LIMIT
    assert len(redaction.clean_value(list(range(10_000)), free_text=True)) == MOST_ITEMS
    assert sum(map(len, redaction.clean_value(["x" * LIMIT] * 100, free_text=True))) <= LIMIT
    assert len(redaction.clean_value({str(i): "x" * 1000 for i in range(1000)}, free_text=True)) <= LIMIT
    with_settings(value_length_limit=8)
    assert redaction.clean_value("x" * 100, free_text=False) == "x" * 8
    found = redaction.translate({"pose_id": "p" * 100, "other": "o" * 100})
    assert found == {"pose.id": "p" * 8, "pose.data.other": "o" * 8}


def test_a_secret_at_the_cut_is_not_left_by_half():
    value = "x" * (LIMIT - 6) + " hf_AbCdEfGhIjKlMnOp"
    assert "AbC" not in redaction.clean_value(value, free_text=True)


def test_100_mb_are_cut_without_a_copy():
    huge = "x" * 100_000_000
    tracemalloc.start()
    try:
        assert set(redaction.translate({"pose_id": huge, "data": huge}).values()) == {"x" * LIMIT}
        assert len(redaction.exception_text(ValueError(huge)).message) <= 4096
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def recursive_list():
    value: list = []
    value.append(value)
    return value


def recursive_dict():
    value: dict = {}
    value.update(self=value, url=value, prompt=value, statement=[value])
    return value


class Raising:
    """Whatever is asked of it."""

    def __getattribute__(self, name):
        raise RuntimeError(name)

    def __str__(self):
        raise RuntimeError

    __repr__ = __hash__ = __eq__ = __len__ = __iter__ = __bool__ = __str__


class RaisingText:
    def __str__(self):
        raise KeyError


class EndlessText:
    def __str__(self):
        return str(self)


class NoText:
    def __str__(self):
        return 3  # noqa: PLE0307  # as nasty objects do


class EndlessList(list):
    def __iter__(self):
        while True:
            yield 1


class EndlessScalar(Scalar):
    def item(self):
        return self


class BrokenMapping(UserDict):
    def items(self):
        yield "pose.id", "p1"
        raise RuntimeError


NASTY = [
    recursive_list(),
    recursive_dict(),
    Raising(),
    RaisingText(),
    EndlessText(),
    NoText(),
    EndlessList([1]),
    EndlessScalar(),
    BrokenMapping(),
    10**5000,
    [10**5000, Raising()],
    {Raising: Raising(), 1: 2, "\ud83d": "\ud83d"},
    functools.partial(print),
    type,
    "\ud83d" * 100_000,
    "@" * 100_000,
    "a@" * 50_000,
    "://" * 30_000,
    "eyJ" * 30_000,
    "'" * 100_000,
    "token" * 20_000 + "=",
    "x=" * 50_000,
    'prompt="' * 10_000,
    "\\x8f" * 20_000,
    "?a=" * 30_000,
    "[" * 100_000,
    "\x00\x1b\u202e" * 1000,
]
KEYS = ["pose.id", "url.full", "url.query", "db.query.text", "exception.message", "authorization", "gen_ai.prompt", "x"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("index", range(len(NASTY)))
def test_nothing_raises_and_everything_can_be_encoded(index):
    value = NASTY[index]
    encode = msgspec.msgpack.Encoder().encode
    for free_text in (True, False):
        encode(redaction.clean_value(value, free_text))
    for key in KEYS:
        encode(redaction.clean_foreign(key, value))
    for name in ("prompt", "negative_prompt", "model", "width", "pose_id", "reason", "meta", "\ud83d"):
        encode(redaction.translate({name: value}))
    encode(redaction.clean_attributes({"a": value, "pose.id": value, "\ud83d": value}))
    encode(redaction.clean_attributes({"a": value}, foreign=False))
    encode(redaction.exception_text(ValueError(value)))
    if type(value) is str:
        for function in (redaction.scrub, redaction.scrub_message, redaction.clean_url, redaction.clean_line):
            encode(function(value))


def test_a_mapping_that_breaks_off_keeps_what_was_read():
    assert redaction.clean_attributes(BrokenMapping()) == {"pose.id": "p1"}
    assert redaction.clean_attributes(None) == {}
    assert redaction.clean_attributes(Raising()) == {}


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.text(st.characters(categories=["Cs", "Lu", "Cf"])),
    st.binary(),
    st.datetimes(),
    st.decimals(),
    st.sampled_from(NASTY[3:6]),
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner), max_leaves=20
)


@bounds(deadline=None)  # the machine may be busy
@given(keywords=st.dictionaries(st.text() | st.sampled_from([*a.KEY_OF, *a.PROMPTS, *KEYS]), TREES, max_size=6))
def test_any_keywords(keywords):
    found = redaction.translate(keywords)
    msgspec.msgpack.encode(found)
    for key, value in found.items():
        assert key in a.BY_KEY or key.startswith(a.DATA_PREFIX)
        items = value if type(value) is list else [value]
        assert len({*map(type, items)} - {str}) <= 1
        for item in items:
            assert type(item) in (str, bool, int, float)
            assert type(item) is not str or len(item) <= LIMIT
    msgspec.msgpack.encode(redaction.clean_attributes(keywords))


@bounds(deadline=None)  # the machine may be busy
@given(before=st.text(), after=st.text(), secret=st.sampled_from(sorted(SECRETS.values())))
def test_any_text_around_a_secret(before, after, secret):
    scrubbed = redaction.scrub(f"{before} {secret} {after}")
    assert secret not in scrubbed
    assert secret not in redaction.scrub_message(scrubbed)


# Attributes of other libraries


@pytest.mark.parametrize(
    ("key", "value", "clean"),
    [
        ("url.full", "https://u:p@example.org/a?token=x", "https://example.org/a"),
        ("http.url", "https://example.org/a?b", "https://example.org/a"),
        ("url.query", "token=x", "[redacted]"),
        ("http.target", "/a?token=x", "/a"),
        ("http.request.header.authorization", ("Bearer x",), "[redacted]"),
        ("http.request.header.referer", ["https://example.org/?q=1"], ["https://example.org/"]),
        ("http.response.header.set-cookie", "a=b", "[redacted]"),
        ("http.request.header.x-api-key", "abc", "[redacted]"),
        ("http.request.header.accept", ["image/png"], ["image/png"]),
        ("db.query.text", "SELECT a FROM t WHERE b = 'o''hara' AND n > 12", "SELECT a FROM t WHERE b = ? AND n > ?"),
        ("db.statement", "UPDATE t1 SET c2 = $1, d = 3.5, \"E3\" = 'x", 'UPDATE t1 SET c2 = $1, d = ?, "E3" = ?'),
        ("db.query.parameter.0", "jane", "[redacted]"),
        ("db.system.name", "postgresql", "postgresql"),
        ("session_token", "abc", "[redacted]"),
        ("accessToken", "abc", "[redacted]"),
        ("user.email", "jane", "[redacted]"),
        ("gen_ai.usage.input_tokens", 12, 12),
        ("gen_ai.usage.prompt_tokens", 12, 12),
        ("llm.token_count.prompt", 12, 12),
        ("gen_ai.request.max_tokens", 77, 77),
        ("gen_ai.tokenizer", "t5", "t5"),
        ("gen_ai.prompt.0.content", PROMPT, "[prompt]"),
        ("gen_ai.input.messages", PROMPT, "[prompt]"),
        ("gen_ai.output.messages", "[]", "[prompt]"),
        ("input.value", PROMPT, "[prompt]"),
        ("inputs", PROMPT, "[prompt]"),
        ("Input", [PROMPT], "[prompt]"),
        ("request", {"inputs": PROMPT, "more": {"input": {"text": PROMPT}, "n": 1}},
         '{"inputs": "[prompt]", "more": "{\\"input\\": \\"[prompt]\\", \\"n\\": 1}"}'),
        ("input_size", "big", "big"),
        ("process.command_args", ["w", "--token", "S", "--n", "3"], ["w", "--token", "[redacted]", "--n", "3"]),
        ("process.command_args", ("w", "--api-key=S", "x"), ["w", "--api-key=[redacted]", "x"]),
        ("process.command_args", ["w", "--password", "--verbose", "token"], ["w", "--password", "--verbose", "token"]),
        ("process.command_args", ["python", "-u", "--max_tokens", "3"], ["python", "-u", "--max_tokens", "3"]),
        ("process.command_line", "w --token S=T --n 3", "w --token [redacted] --n 3"),
        ("process.command_line", "w  --secret 'S T' -key=S", "w  --secret [redacted] -key=[redacted]"),
        ("process.command", "w --auth S", "w --auth [redacted]"),
        ("inputs", 3, 3),
        ("exception.message", f'bad value "{PROMPT}"', f'bad value "[{len(PROMPT)} characters]"'),
        ("server.port", 443, 443),
        ("pose.generation.id", "g1", "g1"),
        ("pose.prompt.length", 12, 12),
        ("thread.name", "jane@example.org", "[email]"),
        ("x", None, None),
    ],
)  # fmt: skip
def test_foreign_attributes(key, value, clean):
    assert redaction.clean_foreign(key, value) == clean
    assert redaction.clean_attributes({key: value}) == ({} if clean is None else {key: clean})


def test_our_own_attributes_are_not_looked_at_by_key():
    attributes = {"pose.id": "p1", "pose.refund.reason": "jane@example.org asked"}
    found = redaction.clean_attributes(attributes, foreign=False)
    assert found == {"pose.id": "p1", "pose.refund.reason": "[email] asked"}


# Exceptions


class SomeError(Exception):
    pass


def raised(exc, cause=None):
    try:
        raise exc from cause
    except BaseException as caught:
        return caught


def test_an_exception_as_text():
    found = redaction.exception_text(raised(SomeError("no key hf_AbCdEfGhIjKlMnOp")))
    assert found.type == f"{__name__}.SomeError"
    assert found.message == "no key [redacted]"
    assert found.stacktrace.splitlines() == [
        "Traceback (most recent call last):",
        f'  File "{__file__}", line {raised.__code__.co_firstlineno + 2}, in raised',
        "    raise exc from cause",
        f"{__name__}.SomeError: no key [redacted]",
    ]
    assert redaction.exception_text(ValueError("x"))[:2] == ("ValueError", "x"), "builtins stand without their module"


def test_causes_and_contexts_come_first():
    found = redaction.exception_text(raised(SomeError("outer"), raised(ValueError("token=abc")))).stacktrace
    inner, _, outer = found.partition("\nThe above exception was the direct cause of the following exception:\n\n")
    assert inner.endswith("ValueError: token=[redacted]\n")
    assert outer.endswith("SomeError: outer\n")
    handling = raised(SomeError("outer"))
    handling.__suppress_context__, handling.__context__ = False, KeyError("k")
    assert "During handling of the above exception" in redaction.exception_text(handling).stacktrace
    handling.__suppress_context__ = True
    assert "KeyError" not in redaction.exception_text(handling).stacktrace


def test_source_lines_are_scrubbed_and_kept():
    def fail():
        raise SomeError("hf_AbCdEfGhIjKlMnOp"[:3], "a dancer in a red dress, arms raised"[:8])

    def call():
        try:
            fail()
        except BaseException as exc:
            return redaction.exception_text(exc)

    first, second = call(), call()
    assert first == second
    assert "AbCdEf" not in first.stacktrace
    assert "[36 characters]" in first.stacktrace
    assert "red dress" not in first.stacktrace
    assert any(code is fail.__code__ for code, _ in exceptions._frames.values())


def test_two_functions_alike_in_two_files_are_told_apart():
    texts = []
    for name in ("first.py", "second.py"):
        scope: dict = {}
        exec(compile("def f():\n    raise ValueError('x')", name, "exec"), scope)
        try:
            scope["f"]()
        except ValueError as exc:
            texts.append(redaction.exception_text(exc).stacktrace)
    assert "first.py" in texts[0]
    assert "second.py" in texts[1]


def test_frames_kept_are_bounded(monkeypatch):
    monkeypatch.setattr(exceptions, "_MOST_CACHED", 3)
    monkeypatch.setattr(exceptions, "_frames", {})
    for index in range(10):
        scope: dict = {}
        exec(compile("def f():\n    raise ValueError('x')", f"{index}.py", "exec"), scope)
        try:
            scope["f"]()
        except ValueError as exc:
            redaction.exception_text(exc)
    assert len(exceptions._frames) <= 3


def deep(levels):
    if levels:
        deep(levels - 1)
    raise SomeError("bottom")


def test_deep_and_long_ones_are_bounded():
    try:
        deep(400)
    except SomeError as exc:
        found = redaction.exception_text(exc).stacktrace
    assert len(found) <= exceptions.MOST_TEXT
    assert found.endswith("SomeError: bottom\n")
    assert re.search(r"\[\d+ frames\]", found)
    last = None
    for _ in range(1000):
        last = raised(SomeError("é" * 5000), last)
    found = redaction.exception_text(last)
    assert len(found.message) == 4096
    assert len(found.stacktrace) <= exceptions.MOST_TEXT


def test_groups_notes_and_cycles():
    group = ExceptionGroup("tasks", [SomeError("mail jane@example.org"), *[ValueError(str(i)) for i in range(20)]])
    group.add_note("seen with token=abc")
    found = redaction.exception_text(group).stacktrace
    assert "mail [email]" in found
    assert "token=[redacted]" in found
    assert "more]" in found
    first, second = SomeError("a"), SomeError("b")
    first.__cause__, second.__cause__ = second, first
    assert redaction.exception_text(first).stacktrace.count("SomeError") == 2


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError

    __repr__ = __str__


class HostileError(Exception):
    def __getattribute__(self, name):
        raise RuntimeError(name)

    __str__ = __repr__ = __hash__ = __eq__ = MuteError.__str__


def test_hostile_exceptions():
    mute = redaction.exception_text(raised(MuteError()))
    assert mute.type == f"{__name__}.MuteError"
    assert mute.message == "<unprintable>"
    assert "in raised" in mute.stacktrace
    assert redaction.exception_text(HostileError()).type == f"{__name__}.HostileError"
    shouting = redaction.exception_text(ValueError(Shouting("loud")))
    assert shouting.type == "ValueError"
    odd = type("Odd", (Exception,), {"__module__": None})()
    assert redaction.exception_text(odd).type == "Odd"


@bounds(deadline=None)  # the machine may be busy
@given(message=st.text(st.characters()), notes=st.lists(st.text(), max_size=3))
def test_any_message(message, notes):
    exc = ValueError(message)
    for note in notes:
        exc.add_note(note)
    msgspec.msgpack.encode(redaction.exception_text(raised(exc)))
