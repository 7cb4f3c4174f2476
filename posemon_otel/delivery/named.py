"""The sampler and the id generator that settings name, OpenTelemetry's own or an installed package's."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Final

from opentelemetry.sdk.trace import sampling
from opentelemetry.sdk.trace.id_generator import IdGenerator

from posemon_otel import settings
from posemon_otel.settings import Setting, Settings

_FIXED: Final[dict[str, sampling.Sampler]] = {
    "always_on": sampling.ALWAYS_ON,
    "always_off": sampling.ALWAYS_OFF,
    "parentbased_always_on": sampling.DEFAULT_ON,
    "parentbased_always_off": sampling.DEFAULT_OFF,
}
_BY_RATIO: Final[dict[str, Callable[[float], sampling.Sampler]]] = {
    "traceidratio": sampling.TraceIdRatioBased,
    "parentbased_traceidratio": sampling.ParentBasedTraceIdRatio,
}


def sampler(chosen: Settings) -> sampling.Sampler:
    """The sampler of ``OTEL_TRACES_SAMPLER``; OpenTelemetry's default one where that is unset or of no use.

    Args:
        chosen: The settings; problems found here are added to its ``problems``.
    """
    given = chosen[settings.TRACES_SAMPLER]
    name = given.lower()
    if name in _BY_RATIO:
        return _BY_RATIO[name](_ratio(chosen))
    if not name or name in _FIXED:
        return _FIXED.get(name, sampling.DEFAULT_ON)
    argument = chosen[settings.TRACES_SAMPLER_ARG]
    using = "parentbased_always_on"
    found: sampling.Sampler | None = _load(
        sampling.Sampler, "opentelemetry_traces_sampler", given, settings.TRACES_SAMPLER, chosen, using, argument
    )
    return found or sampling.DEFAULT_ON


def id_generator(chosen: Settings) -> IdGenerator | None:
    """The id generator of ``OTEL_PYTHON_ID_GENERATOR``; ``None`` where that is unset or of no use.

    Args:
        chosen: The settings; problems found here are added to its ``problems``.
    """
    name = chosen[settings.ID_GENERATOR]
    if not name:
        return None
    found: IdGenerator | None = _load(
        IdGenerator, "opentelemetry_id_generator", name, settings.ID_GENERATOR, chosen, "random"
    )
    return found


def _ratio(chosen: Settings) -> float:
    given = chosen[settings.TRACES_SAMPLER_ARG]
    try:
        ratio = float(given or 1.0)
        if 0.0 <= ratio <= 1.0:
            return ratio
    except ValueError:
        pass
    variable = settings.TRACES_SAMPLER_ARG.variables[0]
    chosen.problems.append(f"{variable}: expected a ratio from 0 to 1, got {given!r}; using 1.0")
    return 1.0


def _load(
    kind: Any, group: str, name: str, setting: Setting[str], chosen: Settings, instead: str, *arguments: str
) -> Any:
    """What an entry point makes; ``None``, and a line, where it does not."""
    try:
        found = next(iter(entry_points(group=group, name=name)), None)
        made = None if found is None else found.load()(*arguments)
        if isinstance(made, kind):
            return made
        why = "is not installed" if found is None else f"makes a {type(made).__name__}, no {kind.__name__}"
    except Exception as exc:
        why = f"raised {type(exc).__name__}"
    chosen.problems.append(f"{setting.variables[0]}: {name!r} {why}; using {instead}")
    return None
