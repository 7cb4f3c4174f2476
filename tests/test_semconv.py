"""The tables of names agree with each other and with what users were promised."""

import ast
import json
import re
import sys
from pathlib import Path

import pytest

from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import errors as e
from posemon_otel.semconv import metrics as m
from posemon_otel.semconv import operations as o

# The promise, written out a second time on purpose: a changed registry must fail here.
ATTRIBUTES = [
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.model",
    "gen_ai.output.type",
    "gen_ai.request.seed",
    "gen_ai.request.choice.count",
    "gen_ai.input.messages",
    "messaging.system",
    "messaging.destination.name",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.message.id",
    "messaging.client.id",
    "server.address",
    "server.port",
    "user.id",
    "error.type",
    "exception.type",
    "pose.generation.id",
    "pose.generation.status",
    "pose.id",
    "pose.name",
    "pose.variation",
    "pose.component",
    "pose.outcome",
    "pose.image.width",
    "pose.image.height",
    "pose.image.count",
    "pose.image.format",
    "pose.image.size",
    "pose.image.steps",
    "pose.image.guidance_scale",
    "pose.image.strength",
    "pose.image.operation",
    "pose.controlnet.type",
    "pose.controlnet.processor",
    "pose.controlnet.scale",
    "pose.request.id",
    "pose.queue.wait",
    "pose.queue.attempt",
    "pose.queue.state",
    "pose.storage.system",
    "pose.storage.operation",
    "pose.operation.name",
    "pose.prompt.length",
    "pose.prompt.hash",
    "pose.cost.usd",
    "pose.error.reason",
]

SHORT_NAMES = {
    "generation_id": "pose.generation.id",
    "user_id": "user.id",
    "pose_id": "pose.id",
    "width": "pose.image.width",
    "height": "pose.image.height",
    "steps": "pose.image.steps",
    "guidance_scale": "pose.image.guidance_scale",
    "seed": "gen_ai.request.seed",
    "strength": "pose.image.strength",
    "image_count": "pose.image.count",
    "operation": "pose.image.operation",
    "model": "gen_ai.request.model",
    "provider": "gen_ai.provider.name",
}

METRICS = """
pose.generations | counter {generation} | pose.generation.status error.type | pose_generations_total
pose.generation.duration | histogram s | pose.generation.status | pose_generation_duration_seconds
pose.poses | counter {pose} | pose.outcome error.type | pose_poses_total
pose.render.duration | histogram s | pose.outcome gen_ai.request.model | pose_render_duration_seconds
pose.errors | counter {error} | error.type pose.error.reason pose.component | pose_errors_total
pose.credits.charged | counter {credit} | | pose_credits_charged_total
pose.credits.refunded | counter {credit} | | pose_credits_refunded_total
pose.generation.active | updowncounter {generation} | | pose_generation_active
pose.queue.depth | gauge {job} | pose.queue.state messaging.destination.name | pose_queue_depth
pose.queue.wait.duration | histogram s | messaging.destination.name | pose_queue_wait_duration_seconds
gen_ai.client.inference.duration | histogram s | gen_ai.operation.name gen_ai.provider.name gen_ai.request.model server.address error.type | gen_ai_client_inference_duration_seconds
pose.images | counter {image} | gen_ai.provider.name gen_ai.request.model | pose_images_total
pose.cost | counter {USD} | gen_ai.provider.name gen_ai.request.model | pose_cost_total
pose.diffusion.step.duration | histogram s | gen_ai.request.model | pose_diffusion_step_duration_seconds
pose.storage.duration | histogram s | pose.storage.system pose.storage.operation error.type | pose_storage_duration_seconds
pose.storage.object.size | histogram By | pose.storage.system pose.storage.operation | pose_storage_object_size_bytes
pose.controlnet.duration | histogram s | pose.controlnet.processor error.type | pose_controlnet_duration_seconds
pose.operation.duration | histogram s | pose.operation.name error.type | pose_operation_duration_seconds
posemon.telemetry.dropped | counter {item} | signal reason | posemon_telemetry_dropped_total
"""  # noqa: E501  # the contract's rows, one a line
ROWS = [[cell.strip() for cell in row.split("|")] for row in METRICS.strip().splitlines()]

ERROR_TYPES = [
    "FLUX_API_ERROR",
    "STORAGE_ERROR",
    "CREDIT_ERROR",
    "TIMEOUT_ERROR",
    "NETWORK_ERROR",
    "CONTROLNET_ERROR",
    "VALIDATION_ERROR",
    "UNKNOWN_ERROR",
]
REASONS = [
    "rate_limited",
    "auth",
    "not_found",
    "bad_request",
    "content_policy",
    "model_loading",
    "server_error",
    "timeout",
    "connection",
    "out_of_memory",
    "quota",
    "unknown",
]


def unique(values) -> bool:
    values = list(values)
    return len(set(values)) == len(values)


# Attributes


def test_every_promised_attribute_is_registered():
    assert [key for key in ATTRIBUTES if key not in a.BY_KEY] == []
    assert {short: a.KEY_OF.get(short) for short in SHORT_NAMES} == SHORT_NAMES
    assert a.PROMPTS["prompt"] == "pose.prompt.length"


def test_attributes_are_told_apart():
    assert unique(attribute.key for attribute in a.ATTRIBUTES)
    assert unique(attribute.short for attribute in a.ATTRIBUTES if attribute.short)
    assert not set(a.KEY_OF) & set(a.PROMPTS)
    assert not set(a.KEY_OF) & set(a.BY_KEY), "a short name is no attribute's key"


@pytest.mark.parametrize("attribute", a.ATTRIBUTES, ids=lambda attribute: attribute.key)
def test_an_attribute_is_well_formed(attribute):
    assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+", attribute.key)
    assert not attribute.short or (attribute.short.isidentifier() and attribute.short == attribute.short.lower())
    assert attribute.type in ("str", "int", "float", "bool", "str[]")
    assert attribute.meaning
    assert "\n" not in attribute.meaning
    assert not attribute.key.startswith(a.DATA_PREFIX)
    assert not (attribute.metric and attribute.free_text), "free text is never a label"
    assert not attribute.free_text or attribute.type == "str"


def test_what_a_metric_may_never_carry():
    never = ("user.id", "pose.generation.id", "pose.id", "pose.request.id", "messaging.message.id", "exception.message")
    for key in never:
        assert not a.BY_KEY[key].metric, key
    for key in (*a.PROMPTS.values(), a.STORAGE_KEY, a.PROMPT_HASH):
        assert not a.BY_KEY[key].metric, key


def test_every_constant_of_the_module_is_registered():
    constants = {
        value
        for name, value in vars(a).items()
        if name.isupper() and type(value) is str and "." in value and value != a.DATA_PREFIX
    }
    assert constants == set(a.BY_KEY)


# Metrics


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_promised_metric_is_registered_as_promised(row):
    name, instrument, attributes, prometheus = row
    metric = m.BY_NAME[name]
    assert f"{metric.instrument} {metric.unit}" == instrument
    assert set(metric.attributes) == set(attributes.split())
    assert metric.prometheus == prometheus


def in_prometheus(metric: m.Metric) -> str:
    """The collector's and a scraper's rule: dots to underscores, the unit as a word, `_total` for counters."""
    name = re.sub(r"[^a-zA-Z0-9_]", "_", metric.name)
    unit = {"s": "seconds", "By": "bytes", "1": ""}.get(metric.unit, "")
    if unit and not name.endswith(f"_{unit}"):
        name += f"_{unit}"
    return f"{name}_total" if metric.instrument == m.COUNTER else name


@pytest.mark.parametrize("metric", m.METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_well_formed(metric):
    assert metric.instrument in (m.COUNTER, m.UP_DOWN_COUNTER, m.HISTOGRAM, m.GAUGE)
    assert metric.prometheus == in_prometheus(metric)
    assert metric.meaning
    assert metric.unit in ("s", "By") or re.fullmatch(r"\{\w+\}", metric.unit)
    assert unique(metric.attributes)
    for key in metric.attributes:
        if key not in m.OWN_ATTRIBUTES:
            assert a.BY_KEY[key].metric, f"{key} is not bounded"
    assert set(metric.kinds) <= set(o.BY_KEY)
    assert metric.value in (m.ONE, m.DURATION, m.STEPS) or a.BY_KEY[metric.value].type in ("int", "float")
    assert set(metric.only) <= set(o.OUTCOMES)
    assert bool(metric.buckets) == (metric.instrument == m.HISTOGRAM)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert all(bound > 0 for bound in metric.buckets)
    assert metric.value not in (m.DURATION, m.STEPS) or metric.unit == "s"


def test_metrics_are_told_apart():
    assert unique(metric.name for metric in m.METRICS)
    assert unique(metric.prometheus for metric in m.METRICS)
    assert set(m.BY_NAME) == {metric.name for metric in m.METRICS}


def test_thresholds_are_edges():
    for metric in m.METRICS:
        if metric.instrument == m.HISTOGRAM and metric.unit == "s":
            assert {30.0, 60.0} <= set(metric.buckets), metric.name
    assert max(m.BY_NAME["pose.generation.duration"].buckets) == 3600.0


def test_metrics_by_kind():
    assert set(m.BY_KIND) == set(o.BY_KEY)
    for kind, metrics in m.BY_KIND.items():
        assert all(kind in metric.kinds for metric in metrics)
    for metric in m.METRICS:
        assert [kind for kind in m.BY_KIND if metric in m.BY_KIND[kind]] == [
            kind for kind in m.BY_KIND if kind in metric.kinds
        ]
    assert {metric.name for metric in m.BY_KIND["render"]} == {"pose.poses", "pose.render.duration"}


# Operations


def placeholders(kind: o.Kind) -> list[str]:
    return [name for part in re.findall(r"\{([^}]*)\}", kind.span_name) for name in part.split("|")]


@pytest.mark.parametrize("kind", o.KINDS, ids=lambda kind: kind.key)
def test_a_kind_is_well_formed(kind):
    assert kind.key.isidentifier()
    assert kind.span_kind in (o.INTERNAL, o.SERVER, o.CLIENT, o.PRODUCER, o.CONSUMER)
    assert kind.component in (*o.COMPONENTS, "")
    assert kind.meaning
    for name in placeholders(kind):
        assert name in a.BY_KEY
    filled = o.span_name(kind, dict.fromkeys(placeholders(kind), "x"))
    assert "{" not in filled
    assert filled or kind is o.SPAN, "only another library's span brings its own name"
    assert o.span_name(kind, {}) == o.span_name(kind, {"other": "x"})


def test_kinds_are_told_apart():
    assert unique(kind.key for kind in o.KINDS)
    assert [kind.key for kind in o.KINDS if kind.started] == [
        "generate_image", "generate_image_local", "process", "generation", "render", "measure",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "attributes", "name"),
    [
        (o.GENERATE_IMAGE, {a.GEN_AI_REQUEST_MODEL: "FLUX.1-dev"}, "generate_content FLUX.1-dev"),
        (o.GENERATE_IMAGE, {}, "generate_content"),
        (o.CONTROLNET, {a.CONTROLNET_PROCESSOR: "openpose"}, "controlnet openpose"),
        (o.STORAGE, {a.STORAGE_OPERATION: "put", a.STORAGE_BUCKET: "poses", a.STORAGE_SYSTEM: "s3"}, "put poses"),
        (o.STORAGE, {a.STORAGE_OPERATION: "put", a.STORAGE_SYSTEM: "file"}, "put file"),
        (o.STORAGE, {a.STORAGE_OPERATION: "put", a.STORAGE_BUCKET: "", a.STORAGE_SYSTEM: "file"}, "put file"),
        (o.STORAGE, {}, "storage"),
        (o.PROCESS, {a.MESSAGING_DESTINATION_NAME: "pose-generation"}, "process pose-generation"),
        (o.SEND, {a.MESSAGING_DESTINATION_NAME: "pose-generation"}, "send pose-generation"),
        (o.GENERATION, {}, "pose.generation"),
        (o.RENDER, {}, "pose.render"),
        (o.MEASURE, {a.OPERATION_NAME: "flux-api"}, "flux-api"),
    ],
)
def test_span_names(kind, attributes, name):
    assert o.span_name(kind, attributes) == name


def test_span_kinds_have_opentelemetrys_numbers():
    from opentelemetry.trace import SpanKind

    for kind in SpanKind:
        assert getattr(o, kind.name) == kind.value


def test_outcomes_statuses_and_events():
    assert o.OUTCOMES == ("ok", "error", "timeout", "cancelled", "interrupted")
    assert {"error", "timeout", "interrupted"} == o.FAILED_OUTCOMES
    assert set(o.TERMINAL_STATUSES) == {"completed", "partial", "failed"}
    assert set(o.TERMINAL_STATUSES) < set(o.STATUSES)
    assert o.EVENT_NAMES["generation_completed"] == "pose.generation.completed"
    assert set(o.EVENT_NAMES) == {
        "generation_started", "generation_completed", "generation_failed", "export_generated", "recovery_triggered",
    }  # fmt: skip


# Errors


def test_types_and_reasons_are_the_promised():
    assert [kind.value for kind in e.ErrorType] == ERROR_TYPES
    assert [reason.name for reason in e.REASONS] == REASONS
    assert set(e.VALID_REASONS) == set(e.ErrorType)
    for kind, reasons in e.VALID_REASONS.items():
        assert unique(reasons)
        assert set(reasons) <= set(REASONS), kind
    assert {reason for reasons in e.VALID_REASONS.values() for reason in reasons} == set(REASONS)


def test_an_error_type_is_a_string():
    assert isinstance(e.ErrorType.TIMEOUT_ERROR, str)
    assert (
        f"{e.ErrorType.TIMEOUT_ERROR}" == str(e.ErrorType.TIMEOUT_ERROR) == "TIMEOUT_ERROR" == e.ErrorType.TIMEOUT_ERROR
    )
    assert json.dumps(e.ErrorType.TIMEOUT_ERROR) == '"TIMEOUT_ERROR"'


def test_what_may_be_retried_and_what_is_refunded():
    def verdicts(kind, reason):
        return e.retryable(kind, reason), e.refundable(kind, reason)

    flux = e.ErrorType.FLUX_API_ERROR
    assert verdicts(flux, "rate_limited") == (True, True)
    assert verdicts(flux, "model_loading") == (True, True)
    assert verdicts(flux, "server_error") == (True, True)
    assert verdicts(flux, "auth") == (False, True), "our key is wrong: the customer gets the credits back"
    assert verdicts(flux, "content_policy") == (False, False)
    assert verdicts(flux, "unknown") == (flux.retryable, flux.refundable) == (True, True)
    assert verdicts(e.ErrorType.CREDIT_ERROR, "quota") == (False, False)
    assert verdicts(e.ErrorType.VALIDATION_ERROR, "bad_request") == (False, False)
    assert verdicts(e.ErrorType.TIMEOUT_ERROR, "timeout") == (True, True)
    for kind, reasons in e.VALID_REASONS.items():
        for reason in reasons:
            assert {type(verdict) for verdict in verdicts(kind, reason)} == {bool}


def test_semconv_imports_the_standard_library_alone():
    for path in sorted(Path(m.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                root = module.partition(".")[0]
                assert root in sys.stdlib_module_names or module.startswith("posemon_otel.semconv"), (path.name, module)
