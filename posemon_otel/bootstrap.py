"""``configure`` and its opposite: settings become providers, journal, delivery and instrumentation.

The OpenTelemetry SDK is imported inside the functions: importing this module costs nothing.
"""

import atexit
import threading
import weakref
from typing import TYPE_CHECKING, Any

from posemon_otel import operation, redaction, settings
from posemon_otel.faults import fault, logger
from posemon_otel.settings import Settings
from posemon_otel.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posemon_otel.delivery.pipeline import Pipeline

_lock = threading.RLock()
_handle: "Handle | None" = None
_OF_METRICS = ("readers", "views")


class Handle:
    """What ``configure`` returns.

    Attributes:
        settings: The settings in force.
        pipeline: The delivery; ``None`` where everything is switched off.
        mode: ``journal``, ``direct`` or ``disabled``.
    """

    def __init__(self, chosen: Settings, pipeline: "Pipeline | None", mode: str) -> None:
        self.settings = chosen
        self.pipeline = pipeline
        self.mode = mode

    def force_flush(self, timeout: float = 10.0) -> bool:
        """Delivers everything finished before the call.

        Args:
            timeout: Seconds that the call may take.

        Returns:
            Whether the receivers have acknowledged it all.
        """
        try:
            return True if self.pipeline is None else self.pipeline.force_flush(timeout)
        except Exception as exc:
            fault("flushing", exc)
            return False

    def shutdown(self, timeout: float | None = None) -> bool:
        """Delivers what it can, then switches everything off. The rest stays in the journal: the next start sends it.

        Args:
            timeout: Seconds; ``POSEMON_EXIT_BUDGET`` where left out.

        Returns:
            Whether everything was delivered.
        """
        return _shut_down(self, timeout)


def configure(
    service_name: str | None = None,
    *,
    metric_readers: "Sequence[Any]" = (),
    views: "Sequence[Any]" = (),
    **arguments: Any,
) -> Handle:
    """What ``posemon_otel.configure`` does; it says what the arguments are."""
    chosen = Settings({"service_name": service_name, **arguments})
    with _lock:
        if _handle is not None:
            return _handle
        return configure_with(chosen, readers=metric_readers, views=views)


def configure_with(chosen: Settings, **parts: Any) -> Handle:
    """``configure`` with resolved settings.

    Args:
        chosen: The settings.
        **parts: What stands in for parts of the pipeline, as ``delivery.pipeline.Pipeline`` takes them.
    """
    global _handle
    with _lock:
        settings.use(chosen)
        _handle = _set_up(chosen, parts)
        for problem in chosen.problems:
            logger.warning("%s", problem)
        # Exporters' connections are closed by finalizers, all in one exit function, which is registered with the first
        # finalizer. Exit functions run last in, first out: ours has to be registered after it.
        weakref.finalize(_handle, int)
        atexit.register(_at_exit)
        return _handle


def force_flush(timeout: float = 10.0) -> bool:
    """Delivers everything finished before the call; see ``Handle.force_flush``. True before ``configure``."""
    return True if _handle is None else _handle.force_flush(timeout)


def shutdown(timeout: float | None = None) -> bool:
    """Ends what ``configure`` began; see ``Handle.shutdown``. True before ``configure``."""
    return True if _handle is None else _handle.shutdown(timeout)


def handle() -> Handle | None:
    """The handle of ``configure``; ``None`` before it."""
    return _handle


def _set_up(chosen: Settings, parts: dict[str, Any]) -> Handle:
    if chosen[settings.DISABLED]:
        return Handle(chosen, None, "disabled")
    try:
        pipeline, mode = _make_pipeline(chosen, parts)
    except Exception as exc:
        fault("setting up telemetry", exc)
        return Handle(chosen, None, "disabled")
    operation.use(pipeline.sink)
    pipeline.shipper.start()  # what an earlier process left goes out, whether or not this one writes anything
    _attach_logging()
    _instrument_all(chosen)
    return Handle(chosen, pipeline, mode)


def _make_pipeline(chosen: Settings, parts: dict[str, Any]) -> "tuple[Pipeline, str]":
    from opentelemetry import metrics, trace

    from posemon_otel.delivery import TracerProvider, logs_provider, stock
    from posemon_otel.delivery.pipeline import Pipeline

    resource = _resource(chosen)
    if chosen[settings.CONFIG_FILE] and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        stock.set_from_file(chosen)
    present = trace.get_tracer_provider()
    unset = isinstance(present, trace.ProxyTracerProvider)
    off = chosen[settings.JOURNAL] == "off"
    # Ours is there where an earlier handle was shut down, for OpenTelemetry sets a global provider once and for all.
    again = isinstance(present, TracerProvider)
    direct = off or not (unset or again)
    if off and unset:
        stock_parts = {name: parts.pop(name) for name in _OF_METRICS if name in parts}
        parts |= {"stock": stock.set_providers(chosen, resource, **stock_parts)}
    elif direct and any(parts.get(name) for name in _OF_METRICS):
        chosen.problems.append(
            "metric_readers, views: ignored, since the application has a meter provider of its own; give them to that"
        )
    pipeline = Pipeline(
        chosen,
        resource,
        direct=direct,
        provider=present if isinstance(present, TracerProvider) and again else None,
        view=_view(chosen),
        **parts,
    )
    if not direct and unset and pipeline.tracer_provider is not None and pipeline.meter_provider is not None:
        trace.set_tracer_provider(pipeline.tracer_provider)
        metrics.set_meter_provider(pipeline.meter_provider)
        logs_provider.install(resource)
    return pipeline, "direct" if direct else "journal"


def _resource(chosen: Settings) -> Any:
    from opentelemetry.sdk.resources import Resource

    described = {"telemetry.distro.name": "posemon_otel", "telemetry.distro.version": __version__}
    if chosen[settings.SERVICE_NAME]:
        described["service.name"] = chosen[settings.SERVICE_NAME]
    resource = Resource.create(described)
    if "service.instance.id" not in resource.attributes:
        import uuid

        resource = resource.merge(Resource({"service.instance.id": str(uuid.uuid4())}))
    return Resource(redaction.clean_attributes(resource.attributes), resource.schema_url)


def _view(chosen: Settings) -> Any:
    if chosen[settings.VIEW] != "tree":
        return None
    from posemon_otel.delivery.tree import print_tree

    return print_tree


def _attach_logging() -> None:
    from posemon_otel import std_logging

    std_logging.attach()


def _instrument_all(chosen: Settings) -> None:
    from posemon_otel import instrumentation, thread_pools

    try:
        disabled: tuple[str, ...] = chosen[settings.DISABLED_INSTRUMENTATIONS]
        instrumentation.instrument_installed(disabled)
        thread_pools.attach(disabled)
    except Exception as exc:
        fault("instrumenting the installed libraries", exc)


def _shut_down(ending: Handle, timeout: float | None) -> bool:
    global _handle
    with _lock:
        if _handle is not ending:
            return True
        _handle = None
        atexit.unregister(_at_exit)
    if ending.pipeline is None:
        return True
    from posemon_otel import instrumentation, std_logging, thread_pools

    delivered = _end(ending.pipeline, timeout)
    try:
        instrumentation.uninstrument()
        std_logging.detach()
        thread_pools.detach()
    except Exception as exc:
        fault("switching off", exc)
    return delivered


def _end(pipeline: "Pipeline", timeout: float | None) -> bool:
    try:
        return pipeline.shutdown(timeout)
    except Exception as exc:
        fault("ending the delivery", exc)
        return False


def _at_exit() -> None:
    ending = _handle
    if ending is not None and ending.pipeline is not None:
        _end(ending.pipeline, None)
