"""``configure`` and its kin as users call them: ``bootstrap`` does the work, and is imported at the first call."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posemon_otel.bootstrap import Handle


def configure(
    service_name: str | None = None,
    *,
    metric_readers: "Sequence[Any]" = (),
    views: "Sequence[Any]" = (),
    **settings: Any,
) -> "Handle":
    """Sets up telemetry for this process and instruments the client libraries that are installed.

    Calling it again returns the same handle. Where the application has set SDK providers of its own, or
    ``OTEL_CONFIG_FILE`` names some, those are used.

    Args:
        service_name: ``service.name``; wins over ``OTEL_SERVICE_NAME``.
        metric_readers: Readers of OpenTelemetry's SDK (Prometheus', in-memory, ...) that see the metrics too.
        views: Views of the SDK: what metrics look like, for every reader and exporter.
        **settings: Settings by name (``posemon_otel.settings``); they win over the environment.

    Returns:
        A handle with ``force_flush`` and ``shutdown``.

    Raises:
        TypeError: An argument is no setting. Wrong values do not raise: the default stands in, and one line says so.
    """
    from posemon_otel import bootstrap

    return bootstrap.configure(service_name, metric_readers=metric_readers, views=views, **settings)


def force_flush(timeout: float = 10.0) -> bool:
    """Delivers everything finished before the call.

    Args:
        timeout: Seconds that the call may take.

    Returns:
        Whether the receivers have acknowledged it all; True before ``configure``, when nothing waits.
    """
    from posemon_otel import bootstrap

    return bootstrap.force_flush(timeout)


def shutdown(timeout: float | None = None) -> bool:
    """Delivers what it can, then switches everything off; the rest stays in the journal and goes out at the next start.

    Args:
        timeout: Seconds; ``POSEMON_EXIT_BUDGET`` where left out.

    Returns:
        Whether everything was delivered; True before ``configure``.
    """
    from posemon_otel import bootstrap

    return bootstrap.shutdown(timeout)


def instrument(*libraries: str) -> None:
    """Instruments client libraries; all that are installed where none is named.

    Args:
        *libraries: ``huggingface_hub``, ``pillow``, ``bullmq`` ...

    Raises:
        ValueError: There is no such library.
        ModuleNotFoundError: A library named here is not installed.
    """
    from posemon_otel import instrumentation

    instrumentation.instrument(*libraries)


def uninstrument(*libraries: str) -> None:
    """Takes the instrumentation off again; that of all libraries where none is named.

    Args:
        *libraries: As for ``instrument``.

    Raises:
        ValueError: There is no such library.
    """
    from posemon_otel import instrumentation

    instrumentation.uninstrument(*libraries)
