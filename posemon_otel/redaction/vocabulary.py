"""The one vocabulary: keywords as users type them become attributes that may leave the call."""

from collections.abc import Mapping

from posemon_otel import settings
from posemon_otel.redaction import prompts as known
from posemon_otel.redaction.text import cut, keyed_hash
from posemon_otel.redaction.values import LEAST_INT, MOST_INT, Value, by_key, clean, clean_key
from posemon_otel.semconv import attributes as a

_PLAIN_KEY_OF: dict[str, str] = {
    name: key
    for name, key in (*a.KEY_OF.items(), *zip(a.BY_KEY, a.BY_KEY, strict=True))
    if key in a.METADATA_KEYS and key != a.GEN_AI_REQUEST_MODEL
}
"""Short names, and keys themselves, whose values need no look at their content."""


def translate(keywords: Mapping[str, object], prompts: known.Receiver | None = None) -> dict[str, Value]:
    """Keywords as users type them, as attributes that may leave.

    A registered short name becomes its attribute, a registered attribute stays, any other name is kept as
    ``pose.data.<name>``. A prompt becomes its length, a keyed hash where a key is set, and itself only where the
    setting asks for content. A model given as a URL becomes ``server.address``, one given as a path its last component.
    ``None`` is left out.

    Args:
        keywords: What was said.
        prompts: Receives the prompts among it, for the operation that keeps them.
    """
    limit = settings.current()[settings.VALUE_LENGTH_LIMIT]
    attributes: dict[str, Value] = {}
    for name, value in keywords.items():
        key = _PLAIN_KEY_OF.get(name)
        if key is not None:  # what nearly every keyword is: an identifier or a number that can leave as it is
            kind = type(value)
            if kind is str:
                if value.isascii() and len(value) <= limit and "@" not in value and "://" not in value:  # type: ignore[attr-defined,arg-type,operator]
                    attributes[key] = value  # type: ignore[assignment]
                    continue
            elif kind is float or kind is bool or (kind is int and LEAST_INT <= value <= MOST_INT):  # type: ignore[operator]
                attributes[key] = value  # type: ignore[assignment]
                continue
        if value is None:
            continue
        if prompts is None:
            _translate(attributes, name, value, limit)
            continue
        token = known.collect(prompts)
        try:
            _translate(attributes, name, value, limit)
        finally:
            known.stop(token)
    return attributes


def _translate(attributes: dict[str, Value], name: str, value: object, limit: int) -> None:
    if name in a.PROMPTS:
        _prompt(attributes, name, value, limit)
        return
    key = a.KEY_OF.get(name) or (name if name in a.BY_KEY else a.DATA_PREFIX + clean_key(name))
    if key == a.GEN_AI_REQUEST_MODEL:
        _model(attributes, value, limit)
        return
    cleaned = by_key(key, value, limit)
    if cleaned is not None:
        attributes[key] = cleaned


def _prompt(attributes: dict[str, Value], name: str, value: object, limit: int) -> None:
    """The length of one prompt or of a batch of them, and what the settings ask for beside it."""
    if type(value) is list or type(value) is tuple:
        prompts = [item for item in value if type(item) is str]
    else:
        prompts = [value if type(value) is str else str(clean(value, limit, free_text=False))]
    for prompt in prompts:
        known.remember(prompt)
    attributes[a.PROMPTS[name]] = sum(map(len, prompts))
    if name != "prompt":
        return
    digest = keyed_hash("\n".join(prompts))
    if digest is not None:
        attributes[a.PROMPT_HASH] = digest
    if settings.current()[settings.CAPTURE_CONTENT]:
        import json

        parts = [{"type": "text", "content": cut(prompt, limit, free_text=False)} for prompt in prompts]
        attributes[a.GEN_AI_INPUT_MESSAGES] = json.dumps([{"role": "user", "parts": parts}], ensure_ascii=False)


def _model(attributes: dict[str, Value], value: object, limit: int) -> None:
    model = clean(value, limit, free_text=False)
    if isinstance(model, str) and "://" in model:
        from urllib.parse import urlsplit

        try:
            parts = urlsplit(model)
            host, port = parts.hostname, parts.port
        except ValueError:  # no address that anybody could call
            return
        if host:
            attributes.setdefault(a.SERVER_ADDRESS, cut(host, limit, free_text=False))
            if port is not None:
                attributes.setdefault(a.SERVER_PORT, port)
        return
    if isinstance(model, str) and (model[:1] in ("/", "~", ".") or model[1:3] in (":\\", ":/")):
        model = model.replace("\\", "/").rstrip("/").rpartition("/")[2]
    if model not in (None, ""):
        attributes[a.GEN_AI_REQUEST_MODEL] = model
