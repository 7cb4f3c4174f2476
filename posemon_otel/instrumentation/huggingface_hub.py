"""huggingface_hub: `InferenceClient` and `AsyncInferenceClient` making images.

A call is one operation, whatever provider it is routed to and however many requests that takes. The model is the one
that was asked for, in the call or on the client; where neither names one the library picks it, and we do not guess.
"""

from __future__ import annotations

from typing import Any

from posemon_otel.instrumentation._library import Arguments, Attributes, Library, PatchPoint
from posemon_otel.semconv.operations import GENERATE_IMAGE

_WORDS = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "width": "width",
    "height": "height",
    "num_inference_steps": "steps",
    "guidance_scale": "guidance_scale",
    "strength": "strength",
    "seed": "seed",
}
"""The library's names and ours; what a provider alone knows travels in `extra_body`, mostly under the same names."""

_PROVIDERS = {"auto": "huggingface", "hf-inference": "huggingface", "fal-ai": "fal", "black-forest-labs": "bfl"}
"""The library's names of providers and ours, where they differ."""


def _text_to_image(instance: Any, arguments: Arguments) -> Attributes:
    return {"operation": "text_to_image", **_request(instance, arguments)}


def _image_to_image(instance: Any, arguments: Arguments) -> Attributes:
    target = arguments.get("target_size")
    size = target if isinstance(target, dict) else {name: getattr(target, name, None) for name in ("width", "height")}
    return {"operation": "image_to_image", **size, **_request(instance, arguments)}


def _request(instance: Any, arguments: Arguments) -> dict[str, Any]:
    extra = arguments.get("extra_body")
    given = {**(extra if isinstance(extra, dict) else {}), **arguments}
    provider = getattr(instance, "provider", None) or "auto"
    return {
        "provider": _PROVIDERS.get(provider, provider),
        "model": arguments.get("model") or getattr(instance, "model", None),
        **{word: given[name] for name, word in _WORDS.items() if given.get(name) is not None},
    }


def _response(instance: Any, arguments: Arguments, image: Any) -> Attributes:  # noqa: ARG001 - a `Response`
    kind = getattr(image, "format", None)
    return {
        "image_count": 1,
        "width": getattr(image, "width", None),
        "height": getattr(image, "height", None),
        "image_format": kind.lower() if isinstance(kind, str) else None,
    }


_SYNC = "huggingface_hub.inference._client:InferenceClient."
_ASYNC = "huggingface_hub.inference._generated._async_client:AsyncInferenceClient."

LIBRARY = Library(
    name="huggingface_hub",
    distribution="huggingface-hub",
    tested=">=0.36,<3",
    points=(
        PatchPoint(_SYNC + "text_to_image", GENERATE_IMAGE, _text_to_image, _response),
        PatchPoint(_SYNC + "image_to_image", GENERATE_IMAGE, _image_to_image, _response),
        PatchPoint(_ASYNC + "text_to_image", GENERATE_IMAGE, _text_to_image, _response),
        PatchPoint(_ASYNC + "image_to_image", GENERATE_IMAGE, _image_to_image, _response),
    ),
)
