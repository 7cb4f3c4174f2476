"""What the sample history is made of."""

from typing import NamedTuple

from posemon_otel.semconv import errors
from posemon_otel.semconv.errors import ErrorType


class LibraryPose(NamedTuple):
    """A pose that users can pick.

    Attributes:
        id: Its id.
        name: Its name.
        category: Its category's name, which serves as the category's id too.
    """

    id: str
    name: str
    category: str


LIBRARY: tuple[LibraryPose, ...] = tuple(
    LibraryPose(f"{category}-{name}".replace(" ", "-"), name, category)
    for category, names in {
        "standing": ("arms crossed", "contrapposto", "hands on hips", "leaning"),
        "sitting": ("cross-legged", "on a chair", "on a step"),
        "action": ("high kick", "jump", "run", "throw"),
        "dance": ("arabesque", "spin"),
        "everyday": ("reading", "waving", "writing"),
    }.items()
    for name in names
)


class Model(NamedTuple):
    """A model, its share of the generations and its usual seconds for a pose."""

    name: str
    provider: str
    weight: float
    seconds: float


MODELS = (
    Model("black-forest-labs/FLUX.1-dev", "hf-inference", 0.68, 13.0),
    Model("black-forest-labs/FLUX.1-schnell", "hf-inference", 0.22, 4.5),
    Model("black-forest-labs/FLUX.1-Kontext-dev", "fal-ai", 0.10, 21.0),
)


class Cause(NamedTuple):
    """Why a pose fails, and how often compared with the others."""

    type: ErrorType
    reason: str
    message: str
    weight: float


CAUSES = (
    Cause(ErrorType.FLUX_API_ERROR, errors.RATE_LIMITED, "FLUX answered 429 Too Many Requests", 22),
    Cause(ErrorType.FLUX_API_ERROR, errors.MODEL_LOADING, "FLUX answered 503: the model is loading", 14),
    Cause(ErrorType.FLUX_API_ERROR, errors.SERVER_ERROR, "FLUX answered 500", 10),
    Cause(ErrorType.FLUX_API_ERROR, errors.CONTENT_POLICY, "FLUX refused the prompt: content policy", 6),
    Cause(ErrorType.TIMEOUT_ERROR, errors.TIMEOUT, "no answer within 120 s", 16),
    Cause(ErrorType.NETWORK_ERROR, errors.CONNECTION, "connection reset by peer", 9),
    Cause(ErrorType.STORAGE_ERROR, errors.QUOTA, "no space left on the volume", 4),
    Cause(ErrorType.STORAGE_ERROR, errors.SERVER_ERROR, "the bucket answered 500", 6),
    Cause(ErrorType.CONTROLNET_ERROR, errors.BAD_REQUEST, "the pose map has no keypoints", 5),
    Cause(ErrorType.VALIDATION_ERROR, errors.BAD_REQUEST, "width must be a multiple of 16", 4),
    Cause(ErrorType.CREDIT_ERROR, errors.QUOTA, "not enough credits", 3),
    Cause(ErrorType.UNKNOWN_ERROR, errors.UNKNOWN, "the worker failed", 2),
)

USUAL_FAILURES = 0.009  # of poses, one by one
WHOLE_FAILURES = 0.014  # of generations, all their poses for one cause
OUTAGES: tuple[tuple[float, float, float, int], ...] = (
    # days ago, hours long, share of poses that fail, index of the cause
    (23.4, 1.5, 0.6, 6),
    (12.3, 3.0, 0.75, 1),
    (5.6, 2.0, 0.4, 4),
)
