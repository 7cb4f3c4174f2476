"""The Hugging Face inference protocol as the FLUX stand-in speaks it: what is asked, and what is answered.

Bytes in, values out; sockets and threads are `flux`'s. Three addresses lead to a model, as they do at Hugging Face:
`/models/<id>` (the serverless API), `/hf-inference/models/<id>` (the router) and `/` (a dedicated endpoint). Before it
calls a model by name, `huggingface_hub` asks the Hub at `/api/models/<id>` and `/api/tasks`.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image

from posemon_otel.demo.drawing import draw_pose
from posemon_otel.demo.flux_http import JSON, Answer
from posemon_otel.demo.poses import Pose, find_pose

DEFAULT_MODEL: Final = "black-forest-labs/FLUX.1-dev"
MODELS: Final[Mapping[str, str]] = {
    DEFAULT_MODEL: "text-to-image",
    "black-forest-labs/FLUX.1-schnell": "text-to-image",
    "black-forest-labs/FLUX.1-Kontext-dev": "image-to-image",
}
"""The models that the stand-in has, and the Hub's task of each."""

PROVIDER: Final = "hf-inference"
_DEFAULT_SIDE: Final = 1024
_SIDES: Final = range(16, 2049)
_MAX_SOURCE_SIDE: Final = 4096


class RefusedError(Exception):
    """The request cannot be served; `answer` says why in the form that the service uses."""

    def __init__(self, status: int, error: str | list[str], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error)
        self.answer = Answer.of_json(status, {"error": error}, headers)


class ImageRequest(NamedTuple):
    """What one call of `text_to_image` or `image_to_image` asks for.

    Attributes:
        model: the model's id.
        prompt: as sent; may be empty for image to image.
        pose: the pose that the parameter `pose` or the prompt names.
        width: pixels.
        height: pixels.
        seed: the request's, else one made from its prompt.
        source: the picture to start from (image to image).
        parameters: all parameters as sent.
    """

    model: str
    prompt: str
    pose: Pose
    width: int
    height: int
    seed: int
    source: Image.Image | None
    parameters: Mapping[str, Any]

    def draw(self) -> bytes:
        """The PNG."""
        return draw_pose(self.pose, self.width, self.height, seed=self.seed, over=self.source)


def model_of(target: str) -> str:
    """The model that a POST to this target is for.

    Raises:
        RefusedError: 404, there is no such address or model.
    """
    path = unquote(urlsplit(target).path).rstrip("/").removeprefix(f"/{PROVIDER}")
    if not path:
        return DEFAULT_MODEL
    model = path.removeprefix("/models/")
    if model not in MODELS:
        raise RefusedError(404, f"Model {model} does not exist")
    return model


def hub_answer(target: str) -> Any:
    """What the Hub says to a GET of this target, ready for JSON.

    Raises:
        RefusedError: 404, the Hub has nothing there.
    """
    parts = urlsplit(target)
    path = unquote(parts.path).rstrip("/")
    if path == "/api/tasks":
        return {
            task: {"widgetModels": [model for model, of in MODELS.items() if of == task]} for task in MODELS.values()
        }
    model = path.removeprefix("/api/models/")
    if model not in MODELS:
        raise RefusedError(404, "Repository not found", {"x-error-code": "RepoNotFound"})
    task = MODELS[model]
    info: dict[str, Any] = {"_id": f"{zlib.crc32(model.encode()):024x}", "id": model}
    if "inferenceProviderMapping" in parse_qs(parts.query).get("expand", ()):
        return info | {
            "inferenceProviderMapping": {PROVIDER: {"status": "live", "providerId": model, "task": task}},
        }
    return info | {"modelId": model, "private": False, "tags": ["diffusers", task], "pipeline_tag": task}


def image_request(model: str, content_type: str, body: bytes) -> ImageRequest:
    """Read the body of a call: JSON with `inputs` and `parameters`, or the bare bytes of a picture.

    Raises:
        RefusedError: 400, with the texts in the form that the service uses.
    """
    inputs: str | bytes
    parameters: dict[str, Any]
    if content_type.partition(";")[0].strip().lower() == JSON:
        inputs, parameters = _json_call(body)
    else:
        inputs, parameters = body, {}
    source = None
    if isinstance(inputs, bytes) or MODELS[model] == "image-to-image" or "prompt" in parameters:
        source = _picture(inputs)
        prompt = str(parameters.get("prompt") or "")
    else:
        prompt = inputs
    width, height = _size(parameters, source)
    seed = parameters.get("seed")
    if seed is not None and type(seed) is not int:
        raise RefusedError(400, ["Error in `parameters.seed`: value is not a valid integer"])
    return ImageRequest(
        model=model,
        prompt=prompt,
        pose=find_pose(_text(parameters.get("pose")), prompt),
        width=width,
        height=height,
        seed=zlib.crc32(prompt.encode("utf-8", "replace")) if seed is None else seed,
        source=source,
        parameters=parameters,
    )


def _json_call(body: bytes) -> tuple[str, dict[str, Any]]:
    try:
        call = json.loads(body)
    except ValueError:
        raise RefusedError(400, "The body is not valid JSON") from None
    if not isinstance(call, dict) or not isinstance(call.get("inputs"), str):
        raise RefusedError(400, ["Error in `inputs`: field required, a string"])
    parameters = call.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise RefusedError(400, ["Error in `parameters`: value is not a valid object"])
    return call["inputs"], parameters


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _size(parameters: Mapping[str, Any], source: Image.Image | None) -> tuple[int, int]:
    """Width and height: the parameters', else `target_size`'s, else the source's, else FLUX's own default."""
    target = parameters.get("target_size")
    asked = {**(target if isinstance(target, dict) else {}), **parameters}
    fallback = source.size if source is not None else (_DEFAULT_SIDE, _DEFAULT_SIDE)
    width, height = (asked.get(name, side) for name, side in zip(("width", "height"), fallback, strict=True))
    errors = [
        f"Error in `parameters.{name}`: ensure this value is an integer from {_SIDES[0]} to {_SIDES[-1]}"
        for name, side in (("width", width), ("height", height))
        if type(side) is not int or side not in _SIDES
    ]
    if errors:
        raise RefusedError(400, errors)
    return width, height


def _picture(inputs: str | bytes) -> Image.Image:
    try:
        data = inputs if isinstance(inputs, bytes) else base64.b64decode(inputs.rpartition(",")[2], validate=True)
        picture = Image.open(io.BytesIO(data))  # reads the head alone: no pixels are unpacked before the check
        if max(picture.size) > _MAX_SOURCE_SIDE:
            raise RefusedError(400, f"The image is larger than {_MAX_SOURCE_SIDE} pixels")
        picture.load()
    except (OSError, ValueError, binascii.Error, Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise RefusedError(400, "Cannot identify the image in `inputs`") from None
    return picture
