"""Markdown tables of everything that has a name: attributes, spans, metrics, errors, events, indicators, alerts."""

from collections.abc import Callable, Iterable, Sequence

from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import errors as e
from posemon_otel.semconv import health as h
from posemon_otel.semconv import metrics as m
from posemon_otel.semconv import operations as o

_SPAN_KINDS = {
    o.INTERNAL: "INTERNAL",
    o.SERVER: "SERVER",
    o.CLIENT: "CLIENT",
    o.PRODUCER: "PRODUCER",
    o.CONSUMER: "CONSUMER",
}
_UNITS = {"percent": " %", "s": " s"}


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; bars and line breaks within cells do no harm.

    Args:
        headers: Names of the columns.
        rows: Cells, as many as there are headers.

    Raises:
        ValueError: A row has another number of cells.
    """
    lines = [_row(headers), _row(["---"] * len(headers))]
    for row in rows:
        if len(row) != len(headers):
            raise ValueError(f"expected {len(headers)} cells a row, got {len(row)}: {row}")
        lines.append(_row(row))
    return "\n".join(lines)


def code(*words: str) -> str:
    """Words as code, separated by commas; empty for none."""
    return ", ".join(f"`{word}`" for word in words if word)


def attributes() -> str:
    """Every attribute: its type, the keyword that users type, whether metrics may carry it."""
    return table(
        ("attribute", "type", "keyword", "on metrics", "meaning"),
        (
            (code(known.key), known.type, code(known.short), "yes" if known.metric else "", known.meaning)
            for known in sorted(a.ATTRIBUTES)
        ),
    )


def spans() -> str:
    """Every kind of operation that has a name of its own."""
    return table(
        ("span", "kind", "after a kill", "what it is"),
        (
            (
                code(kind.span_name),
                _SPAN_KINDS[kind.span_kind],
                f"`{o.INTERRUPTED}`" if kind.started else "",
                kind.meaning,
            )
            for kind in o.KINDS
            if kind.span_name
        ),
    )


def metrics() -> str:
    """Every metric."""
    return table(
        ("metric", "instrument, unit", "attributes", "in Prometheus", "meaning"),
        (
            (
                code(metric.name),
                f"{metric.instrument} `{metric.unit}`",
                code(*metric.attributes),
                code(metric.prometheus),
                metric.meaning,
            )
            for metric in m.METRICS
        ),
    )


def buckets() -> str:
    """Upper bounds of the histograms' buckets, a row for each set of bounds."""
    sets: dict[tuple[float, ...], list[str]] = {}
    for metric in m.METRICS:
        if metric.buckets:
            sets.setdefault(metric.buckets, []).append(metric.name)
    return table(
        ("histograms", "upper bounds of their buckets"),
        ((code(*names), ", ".join(map(_plain, bounds))) for bounds, names in sets.items()),
    )


def error_types() -> str:
    """Every error type with its reasons, by what follows from them."""
    rows = []
    for kind, reasons in e.VALID_REASONS.items():
        rows.append(
            (
                code(kind.value),
                code(*(reason for reason in reasons if e.retryable(kind, reason))),
                code(*(reason for reason in reasons if not e.retryable(kind, reason))),
                code(*(reason for reason in reasons if not e.refundable(kind, reason))),
            )
        )
    return table(("`error.type`", "reasons, a retry may help", "reasons, a retry is no use", "not refundable"), rows)


def error_reasons() -> str:
    """Every reason."""
    return table(("`pose.error.reason`", "meaning"), ((code(reason.name), reason.meaning) for reason in e.REASONS))


def events() -> str:
    """Types of ``record_event`` and their EventName."""
    return table(
        ("type of `record_event`", "EventName"),
        ((code(short), code(name)) for short, name in o.EVENT_NAMES.items()),
    )


def indicators() -> str:
    """The health indicators and their bounds."""
    rows = []
    for one in h.INDICATORS:
        higher = one.direction is h.Direction.HIGHER_IS_BETTER
        good, critical = _number(one.good, one.unit), _number(one.critical, one.unit)
        beyond, below = ("above", "below") if higher else ("below", "above")
        rows.append(
            (
                f"[{one.title}](#{one.runbook})",
                code(one.key),
                one.meaning,
                f"{beyond} {good}",
                f"{critical} to {good}" if higher else f"{good} to {critical}",
                f"{below} {critical}",
            )
        )
    return table(("indicator", "in JSON", "the number", "good", "warning", "critical"), rows)


def alerts() -> str:
    """The alerts and when they fire."""
    return table(
        ("alert", "number", "fires above", "window", "severity", "meaning"),
        (
            (
                f"[{alert.key}](#{alert.runbook})",
                code(alert.number),
                _number(alert.threshold, alert.unit),
                alert.window,
                alert.severity.value,
                alert.meaning,
            )
            for alert in h.ALERTS
        ),
    )


TABLES: dict[str, Callable[[], str]] = {
    "alerts": alerts,
    "attributes": attributes,
    "buckets": buckets,
    "error-reasons": error_reasons,
    "error-types": error_types,
    "events": events,
    "indicators": indicators,
    "metrics": metrics,
    "spans": spans,
}
"""What writes each block."""


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def _number(value: float, unit: str) -> str:
    return f"{_plain(value)}{_UNITS.get(unit, f' {unit}')}"


def _plain(value: float) -> str:
    """A number as people write it, never with an exponent."""
    return f"{int(value):,}" if value == int(value) else f"{value:g}"
