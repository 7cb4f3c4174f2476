"""Calls that no instrumentation covers, and the attributes that those calls share with the instrumented ones."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import operations as o

if TYPE_CHECKING:
    from posemon_otel.entries import Attributes
    from posemon_otel.operation import Operation


def flux_call(
    model: str | None = None, *, provider: str, operation: str = "text_to_image", **request: Any
) -> "Operation":
    """Wraps a FLUX call, such as raw HTTP: ``with posemon.flux_call("flux-dev", provider="bfl") as call:``.

    Args:
        model: Model asked for.
        provider: Who renders; ``gen_ai.provider.name``.
        operation: What is asked for; ``pose.image.operation``.
        **request: Anything of the vocabulary: ``width``, ``height``, ``steps``, ``seed``, ``prompt`` ...

    Returns:
        The operation, as a context manager; ``call.set(...)`` is for what the answer says.
    """
    from posemon_otel import operation as operations
    from posemon_otel import redaction

    words = {"model": model, "provider": provider, "operation": operation, **request}
    prompts: list[str] = []
    return operations.Operation(
        o.GENERATE_IMAGE, image_attributes(redaction.translate(words, prompts)), prompts=prompts
    )


def image_attributes(attributes: Mapping[str, Any]) -> "Attributes":
    """Adds what every image call carries."""
    return {a.GEN_AI_OPERATION_NAME: "generate_content", a.GEN_AI_OUTPUT_TYPE: "image", **attributes}


def storage_write(system: str, key: str, *, bytes: int | None = None) -> "Operation":  # noqa: A002 - the public keyword
    """Wraps a write to storage: ``with posemon.storage_write("file", "out/1.png", bytes=2048):``.

    Args:
        system: Where to: ``file``, ``s3`` ...
        key: Name of the object; only its keyed hash leaves the process unless ``POSEMON_STORAGE_KEYS`` is set.
        bytes: Size of the object.
    """
    from posemon_otel import operation, redaction

    return operation.Operation(
        o.STORAGE, storage_attributes(system, "put", key) | redaction.translate({"bytes": bytes})
    )


def storage_attributes(system: str, verb: str, key: str | None = None) -> "Attributes":
    """What a storage operation carries: system, operation, and of the key what the settings allow."""
    from posemon_otel import redaction, settings

    attributes: Attributes = {
        a.STORAGE_SYSTEM: redaction.clean_value(system, free_text=False),
        a.STORAGE_OPERATION: verb,
    }
    if key is not None and not isinstance(key, str):  # whatever it is: a path, say
        key = str(redaction.clean_value(key, free_text=False))
    if key:
        if settings.current()[settings.STORAGE_KEYS]:
            attributes[a.STORAGE_KEY] = redaction.clean_value(key, free_text=False)
        hashed = redaction.keyed_hash(key)
        if hashed is not None:
            attributes[a.STORAGE_KEY_HASH] = hashed
    return attributes
