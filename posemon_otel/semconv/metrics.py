"""Metrics as data: each names where its value comes from in a finished operation, so that one loop makes them all."""

from typing import NamedTuple

from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o

COUNTER, UP_DOWN_COUNTER, HISTOGRAM, GAUGE = "counter", "updowncounter", "histogram", "gauge"

DURATION = "duration"
"""Value source: seconds between start and end, by the monotonic clock."""

STEPS = "step_seconds"
"""Value source: the fact that lists how long each diffusion step took, a point a step."""

ONE = "one"
"""Value source: 1 a finished operation."""

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0)
LONG_SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)
STEP_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BYTES = (1e3, 1e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6, 5e6, 1e7, 5e7, 1e8)


class Metric(NamedTuple):
    """One metric.

    Attributes:
        name: Name of the instrument.
        instrument: ``counter``, ``updowncounter``, ``histogram`` or ``gauge``.
        unit: UCUM.
        attributes: What a point carries, taken from the operation's own attributes.
        prometheus: Name after the collector's or a scraper's translation.
        meaning: One line.
        kinds: Keys of the operations that it is made from; empty where something else observes it.
        value: ``duration``, ``one``, ``step_seconds``, or the attribute that holds the value.
        only: Outcomes for which a point is made; empty for all.
        buckets: Upper bounds of a histogram, in the unit.
    """

    name: str
    instrument: str
    unit: str
    attributes: tuple[str, ...]
    prometheus: str
    meaning: str
    kinds: tuple[str, ...] = ()
    value: str = ONE
    only: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_IMAGE = (o.GENERATE_IMAGE.key, o.GENERATE_IMAGE_LOCAL.key)
_GENERATION = (o.GENERATION.key,)
_RENDER = (o.RENDER.key,)
_PROVIDER = (a.GEN_AI_PROVIDER_NAME, a.GEN_AI_REQUEST_MODEL)

GENERATIONS = Metric(
    "pose.generations",
    COUNTER,
    "{generation}",
    (a.GENERATION_STATUS, a.ERROR_TYPE),
    "pose_generations_total",
    "generations that ended",
    _GENERATION,
)
ERRORS = Metric(
    "pose.errors",
    COUNTER,
    "{error}",
    (a.ERROR_TYPE, a.ERROR_REASON, a.COMPONENT),
    "pose_errors_total",
    "failures, each counted where it arose",
)
GENERATION_ACTIVE = Metric(
    "pose.generation.active",
    UP_DOWN_COUNTER,
    "{generation}",
    (),
    "pose_generation_active",
    "generations that are running now",
)
QUEUE_DEPTH = Metric(
    "pose.queue.depth",
    GAUGE,
    "{job}",
    (a.QUEUE_STATE, a.MESSAGING_DESTINATION_NAME),
    "pose_queue_depth",
    "jobs in a state",
)
POSES = Metric(
    "pose.poses", COUNTER, "{pose}", (a.OUTCOME, a.ERROR_TYPE), "pose_poses_total", "poses that ended", _RENDER
)
EVENTS = Metric("pose.events", COUNTER, "{event}", (a.EVENT_TYPE,), "pose_events_total", "calls of record_event")
DROPPED = Metric(
    "posemon.telemetry.dropped",
    COUNTER,
    "{item}",
    ("signal", "reason"),
    "posemon_telemetry_dropped_total",
    "telemetry that was given up",
)
JOURNAL_SIZE = Metric(
    "posemon.journal.size", GAUGE, "By", (), "posemon_journal_size_bytes", "bytes of this process's journal on disk"
)
JOURNAL_LAG = Metric(
    "posemon.journal.lag",
    GAUGE,
    "By",
    ("signal",),
    "posemon_journal_lag_bytes",
    "bytes of the journal that wait for their receiver",
)
JOURNAL_AGE = Metric(
    "posemon.journal.age",
    GAUGE,
    "s",
    ("signal",),
    "posemon_journal_age_seconds",
    "how long the oldest of them has waited",
)
OWN_ATTRIBUTES = frozenset(("signal", "reason"))
"""Attributes of the metrics about delivery itself; they stand on no span."""

SERIES_LIMIT = 2000
"""Attribute sets that one metric keeps apart, as in OpenTelemetry's SDK; what is beyond goes to one overflow series."""

METRICS: tuple[Metric, ...] = (
    GENERATIONS,
    Metric(
        "pose.generation.duration",
        HISTOGRAM,
        "s",
        (a.GENERATION_STATUS,),
        "pose_generation_duration_seconds",
        "how long a generation took",
        _GENERATION,
        DURATION,
        buckets=LONG_SECONDS,
    ),
    POSES,
    Metric(
        "pose.render.duration",
        HISTOGRAM,
        "s",
        (a.OUTCOME, a.GEN_AI_REQUEST_MODEL),
        "pose_render_duration_seconds",
        "how long a pose took",
        _RENDER,
        DURATION,
        buckets=LONG_SECONDS,
    ),
    ERRORS,
    Metric(
        "pose.credits.charged",
        COUNTER,
        "{credit}",
        (),
        "pose_credits_charged_total",
        "credits charged",
        _GENERATION,
        a.CREDITS_CHARGED,
    ),
    Metric(
        "pose.credits.refunded",
        COUNTER,
        "{credit}",
        (),
        "pose_credits_refunded_total",
        "credits given back",
        _GENERATION,
        a.CREDITS_REFUNDED,
    ),
    GENERATION_ACTIVE,
    QUEUE_DEPTH,
    Metric(
        "pose.queue.wait.duration",
        HISTOGRAM,
        "s",
        (a.MESSAGING_DESTINATION_NAME,),
        "pose_queue_wait_duration_seconds",
        "from enqueued (or due) to started",
        (o.PROCESS.key,),
        a.QUEUE_WAIT,
        buckets=LONG_SECONDS,
    ),
    Metric(
        "gen_ai.client.inference.duration",
        HISTOGRAM,
        "s",
        (a.GEN_AI_OPERATION_NAME, *_PROVIDER, a.SERVER_ADDRESS, a.ERROR_TYPE),
        "gen_ai_client_inference_duration_seconds",
        "how long a FLUX call took",
        _IMAGE,
        DURATION,
        buckets=LONG_SECONDS,
    ),
    Metric(
        "pose.images",
        COUNTER,
        "{image}",
        _PROVIDER,
        "pose_images_total",
        "images that came back",
        _IMAGE,
        a.IMAGE_COUNT,
        only=(o.OK,),
    ),
    Metric("pose.cost", COUNTER, "{USD}", _PROVIDER, "pose_cost_total", "US dollars", _IMAGE, a.COST_USD),
    Metric(
        "pose.diffusion.step.duration",
        HISTOGRAM,
        "s",
        (a.GEN_AI_REQUEST_MODEL,),
        "pose_diffusion_step_duration_seconds",
        "how long one diffusion step took",
        _IMAGE,
        STEPS,
        buckets=STEP_SECONDS,
    ),
    Metric(
        "pose.storage.duration",
        HISTOGRAM,
        "s",
        (a.STORAGE_SYSTEM, a.STORAGE_OPERATION, a.ERROR_TYPE),
        "pose_storage_duration_seconds",
        "how long a storage call took",
        (o.STORAGE.key,),
        DURATION,
        buckets=SECONDS,
    ),
    Metric(
        "pose.storage.object.size",
        HISTOGRAM,
        "By",
        (a.STORAGE_SYSTEM, a.STORAGE_OPERATION),
        "pose_storage_object_size_bytes",
        "bytes of an object",
        (o.STORAGE.key,),
        a.STORAGE_OBJECT_SIZE,
        only=(o.OK,),
        buckets=BYTES,
    ),
    Metric(
        "pose.controlnet.duration",
        HISTOGRAM,
        "s",
        (a.CONTROLNET_PROCESSOR, a.ERROR_TYPE),
        "pose_controlnet_duration_seconds",
        "how long a pose map took",
        (o.CONTROLNET.key,),
        DURATION,
        buckets=SECONDS,
    ),
    Metric(
        "pose.operation.duration",
        HISTOGRAM,
        "s",
        (a.OPERATION_NAME, a.ERROR_TYPE),
        "pose_operation_duration_seconds",
        "how long a measured block took",
        (o.MEASURE.key,),
        DURATION,
        buckets=SECONDS,
    ),
    EVENTS,
    DROPPED,
    JOURNAL_SIZE,
    JOURNAL_LAG,
    JOURNAL_AGE,
)
OBSERVED = frozenset((GENERATION_ACTIVE, QUEUE_DEPTH, DROPPED, JOURNAL_SIZE, JOURNAL_LAG, JOURNAL_AGE))
"""Made by callbacks of observable instruments, not from operations; the queue's depth by the admin app."""

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}
BY_KIND: dict[str, tuple[Metric, ...]] = {
    kind.key: tuple(m for m in METRICS if kind.key in m.kinds) for kind in o.KINDS
}
