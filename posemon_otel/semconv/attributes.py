"""The one vocabulary: short names that users type, attributes that go over the wire.

A keyword of ``generation``, ``flux_call``, a logger, ``gen.set`` or ``record_event`` that stands here becomes its
attribute; every other is kept as ``pose.data.<name>``. Definitions of ``gen_ai.*``, ``messaging.*``, ``error.*``,
``exception.*``, ``server.*``, ``user.*`` and ``aws.*`` are OpenTelemetry's semantic conventions.
"""

from typing import NamedTuple


class Attribute(NamedTuple):
    """One attribute.

    Attributes:
        key: Name on the wire.
        type: ``str``, ``int``, ``float``, ``bool`` or ``str[]``.
        meaning: One line, with the unit where there is one.
        short: Keyword that users may type for it, or empty.
        metric: Whether a metric may carry it. Only bounded values may.
        free_text: Whether the value is free text, which is scrubbed; registered values that are not are passed as they are.
    """

    key: str
    type: str
    meaning: str
    short: str = ""
    metric: bool = False
    free_text: bool = False


# Keys that code refers to by name.
GEN_AI_OPERATION_NAME = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL = "gen_ai.request.model"
GEN_AI_RESPONSE_MODEL = "gen_ai.response.model"
GEN_AI_OUTPUT_TYPE = "gen_ai.output.type"
GEN_AI_REQUEST_SEED = "gen_ai.request.seed"
GEN_AI_REQUEST_CHOICE_COUNT = "gen_ai.request.choice.count"
GEN_AI_INPUT_TOKENS = "gen_ai.usage.input_tokens"
GEN_AI_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
GEN_AI_INPUT_MESSAGES = "gen_ai.input.messages"
MESSAGING_SYSTEM = "messaging.system"
MESSAGING_DESTINATION_NAME = "messaging.destination.name"
MESSAGING_OPERATION_NAME = "messaging.operation.name"
MESSAGING_OPERATION_TYPE = "messaging.operation.type"
MESSAGING_MESSAGE_ID = "messaging.message.id"
MESSAGING_CLIENT_ID = "messaging.client.id"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
USER_ID = "user.id"
ERROR_TYPE = "error.type"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"
GENERATION_ID = "pose.generation.id"
GENERATION_STATUS = "pose.generation.status"
POSE_ID = "pose.id"
POSE_NAME = "pose.name"
POSE_VARIATION = "pose.variation"
COMPONENT = "pose.component"
OUTCOME = "pose.outcome"
IMAGE_WIDTH = "pose.image.width"
IMAGE_HEIGHT = "pose.image.height"
IMAGE_COUNT = "pose.image.count"
IMAGE_FORMAT = "pose.image.format"
IMAGE_SIZE = "pose.image.size"
IMAGE_STEPS = "pose.image.steps"
IMAGE_GUIDANCE_SCALE = "pose.image.guidance_scale"
IMAGE_STRENGTH = "pose.image.strength"
IMAGE_OPERATION = "pose.image.operation"
CONTROLNET_TYPE = "pose.controlnet.type"
CONTROLNET_PROCESSOR = "pose.controlnet.processor"
CONTROLNET_SCALE = "pose.controlnet.scale"
REQUEST_ID = "pose.request.id"
QUEUE_WAIT = "pose.queue.wait"
QUEUE_ATTEMPT = "pose.queue.attempt"
QUEUE_STATE = "pose.queue.state"
STORAGE_SYSTEM = "pose.storage.system"
STORAGE_OPERATION = "pose.storage.operation"
STORAGE_BUCKET = "pose.storage.bucket"
STORAGE_KEY_HASH = "pose.storage.key.hash"
STORAGE_KEY = "pose.storage.key"
STORAGE_OBJECT_SIZE = "pose.storage.object.size"
OPERATION_NAME = "pose.operation.name"
OPERATION_ID = "pose.operation.id"
PROMPT_LENGTH = "pose.prompt.length"
PROMPT_HASH = "pose.prompt.hash"
NEGATIVE_PROMPT_LENGTH = "pose.negative_prompt.length"
COST_USD = "pose.cost.usd"
ERROR_REASON = "pose.error.reason"
EXPECTED_POSES = "pose.generation.expected_poses"
POSES_COMPLETED = "pose.generation.poses_completed"
POSES_FAILED = "pose.generation.poses_failed"
CREDITS_CHARGED = "pose.credits.charged"
CREDITS_REFUNDED = "pose.credits.refunded"
REFUND_REASON = "pose.refund.reason"
POSE_COUNT = "pose.count"
EVENT_TYPE = "pose.event.type"
EVENT_ID = "pose.event.id"
DATA_PREFIX = "pose.data."

ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute(GEN_AI_OPERATION_NAME, "str", "always `generate_content`", metric=True),
    Attribute(GEN_AI_PROVIDER_NAME, "str", "who renders: `huggingface`, `fal`, `bfl`, `local` ...", "provider", metric=True),
    Attribute(GEN_AI_REQUEST_MODEL, "str", "model asked for; never a URL, of a local path the last component", "model", metric=True),
    Attribute(GEN_AI_RESPONSE_MODEL, "str", "model that answered", "response_model"),
    Attribute(GEN_AI_OUTPUT_TYPE, "str", "always `image`"),
    Attribute(GEN_AI_REQUEST_SEED, "int", "seed asked for", "seed"),
    Attribute(GEN_AI_REQUEST_CHOICE_COUNT, "int", "images asked for", "choice_count"),
    Attribute(GEN_AI_INPUT_TOKENS, "int", "tokens read, where the provider counts them", "input_tokens"),
    Attribute(GEN_AI_OUTPUT_TOKENS, "int", "tokens written, where the provider counts them", "output_tokens"),
    Attribute(GEN_AI_INPUT_MESSAGES, "str", "the prompt as JSON; only where message content is captured", free_text=True),
    Attribute(MESSAGING_SYSTEM, "str", "always `bullmq`"),
    Attribute(MESSAGING_DESTINATION_NAME, "str", "queue", "queue", metric=True),
    Attribute(MESSAGING_OPERATION_NAME, "str", "`process`, `send`"),
    Attribute(MESSAGING_OPERATION_TYPE, "str", "`process`, `send`"),
    Attribute(MESSAGING_MESSAGE_ID, "str", "job id", "job_id"),
    Attribute(MESSAGING_CLIENT_ID, "str", "worker's name", "worker_id"),
    Attribute(SERVER_ADDRESS, "str", "host that was called", "server_address", metric=True),
    Attribute(SERVER_PORT, "int", "port that was called", "server_port"),
    Attribute(USER_ID, "str", "the application's user id", "user_id"),
    Attribute(ERROR_TYPE, "str", "one of the eight error types", "error_type", metric=True),
    Attribute(EXCEPTION_TYPE, "str", "class of the exception"),
    Attribute(EXCEPTION_MESSAGE, "str", "its text, scrubbed", free_text=True),
    Attribute(EXCEPTION_STACKTRACE, "str", "its traceback, scrubbed", free_text=True),
    Attribute(GENERATION_ID, "str", "one request for 1..N poses", "generation_id"),
    Attribute(GENERATION_STATUS, "str", "`completed`, `partial`, `failed`", "status", metric=True),
    Attribute(POSE_ID, "str", "pose of the library", "pose_id"),
    Attribute(POSE_NAME, "str", "its name", "pose_name"),
    Attribute(POSE_VARIATION, "str", "variation of the pose within the generation", "variation"),
    Attribute(COMPONENT, "str", "`worker`, `storage`, `flux`, `controlnet`, `queue` ...", "component", metric=True),
    Attribute(OUTCOME, "str", "`ok`, `error`, `timeout`, `cancelled`, `interrupted`", metric=True),
    Attribute(IMAGE_WIDTH, "int", "pixels", "width"),
    Attribute(IMAGE_HEIGHT, "int", "pixels", "height"),
    Attribute(IMAGE_COUNT, "int", "images that came back", "image_count"),
    Attribute(IMAGE_FORMAT, "str", "`png`, `jpeg`, `webp` ...", "image_format"),
    Attribute(IMAGE_SIZE, "int", "bytes of the image", "image_size"),
    Attribute(IMAGE_STEPS, "int", "diffusion steps", "steps"),
    Attribute(IMAGE_GUIDANCE_SCALE, "float", "guidance", "guidance_scale"),
    Attribute(IMAGE_STRENGTH, "float", "image to image strength, 0 to 1", "strength"),
    Attribute(IMAGE_OPERATION, "str", "`text_to_image`, `image_to_image` ...", "operation"),
    Attribute(CONTROLNET_TYPE, "str", "`openpose`, `depth`, `canny` ...", "controlnet_type"),
    Attribute(CONTROLNET_PROCESSOR, "str", "what made or resized the pose map", "processor", metric=True),
    Attribute(CONTROLNET_SCALE, "float", "conditioning scale", "controlnet_scale"),
    Attribute(REQUEST_ID, "str", "the provider's id of the request", "request_id"),
    Attribute(QUEUE_WAIT, "float", "seconds from enqueued (or due) to started", "queue_wait"),
    Attribute(QUEUE_ATTEMPT, "int", "1 for the first try", "attempt"),
    Attribute(QUEUE_STATE, "str", "BullMQ's states", "queue_state", metric=True),
    Attribute(STORAGE_SYSTEM, "str", "`file`, `s3`, `gcs`, `supabase` ...", "storage_system", metric=True),
    Attribute(STORAGE_OPERATION, "str", "`put`, `get`, `delete` ...", "storage_operation", metric=True),
    Attribute(STORAGE_BUCKET, "str", "bucket", "bucket"),
    Attribute(STORAGE_KEY_HASH, "str", "keyed hash of the object's key"),
    Attribute(STORAGE_KEY, "str", "the object's key; only where a setting asks"),
    Attribute(STORAGE_OBJECT_SIZE, "int", "bytes of the object", "bytes"),
    Attribute(OPERATION_NAME, "str", "name given to the performance tracker", "operation_name", metric=True),
    Attribute(OPERATION_ID, "str", "id that stood in a tracker's name"),
    Attribute(PROMPT_LENGTH, "int", "characters of the prompt"),
    Attribute(PROMPT_HASH, "str", "keyed hash of the prompt, where a key is set"),
    Attribute(NEGATIVE_PROMPT_LENGTH, "int", "characters of the negative prompt"),
    Attribute(COST_USD, "float", "US dollars of the call", "cost_usd"),
    Attribute(ERROR_REASON, "str", "the finer cause", "error_reason", metric=True),
    Attribute(EXPECTED_POSES, "int", "poses asked for", "expected_poses"),
    Attribute(POSES_COMPLETED, "int", "poses rendered", "poses_completed"),
    Attribute(POSES_FAILED, "int", "poses that failed", "poses_failed"),
    Attribute(CREDITS_CHARGED, "int", "credits charged", "credits_charged"),
    Attribute(CREDITS_REFUNDED, "int", "credits given back", "credits_refunded"),
    Attribute(REFUND_REASON, "str", "why credits were given back", "refund_reason", free_text=True),
    Attribute(POSE_COUNT, "int", "poses, as a number", "pose_count"),
    Attribute(EVENT_TYPE, "str", "type given to `record_event`", metric=True),
    Attribute(EVENT_ID, "str", "tells duplicates of one event"),
)  # fmt: skip

BY_KEY: dict[str, Attribute] = {attribute.key: attribute for attribute in ATTRIBUTES}
KEY_OF: dict[str, str] = {attribute.short: attribute.key for attribute in ATTRIBUTES if attribute.short}
"""Short name to attribute."""

PROMPTS: dict[str, str] = {"prompt": PROMPT_LENGTH, "negative_prompt": NEGATIVE_PROMPT_LENGTH}
"""Short names whose value is a prompt: only its length leaves the call."""

METADATA_KEYS: frozenset[str] = frozenset(attribute.key for attribute in ATTRIBUTES if not attribute.free_text)
"""Registered keys whose values need no scrubbing."""
