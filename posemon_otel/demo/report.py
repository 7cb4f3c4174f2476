"""What the demo says at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from posemon_otel import settings
from posemon_otel.demo.folder import has_endpoint
from posemon_otel.demo.screen import fail
from posemon_otel.semconv import operations as o

if TYPE_CHECKING:
    from posemon_otel.demo.acts import Stage
    from posemon_otel.demo.check import Counted
    from posemon_otel.demo.producer import Ended
    from posemon_otel.demo.scenario import Order

QUICKSTART = (
    "import posemon_otel as posemon",
    'posemon.configure("pose-worker")',
    "with posemon.generation(job_id, expected_poses=4) as gen: ...",
)
"""The lines that instrument one's own worker."""


def summary(stage: Stage, counted: Counted, ended: Iterable[Ended], *, stays: bool) -> None:
    """Print the summary.

    Args:
        stage: The parts.
        counted: What was counted.
        ended: How each generation ended.
        stays: Whether the admin app goes on.
    """
    say = stage.screen.say
    orders = list(ended)
    seconds = sorted(order.seconds for order in orders)
    retried = sum(order.attempts > 1 for order in orders)
    say()
    say(
        f"generations  {len(orders)}: {_listed(counted.application, o.TERMINAL_STATUSES)}; {retried} took several tries"
    )
    say(f"time         p50 {_percentile(seconds, 0.5):.2f} s, p95 {_percentile(seconds, 0.95):.2f} s a generation")
    say(f"errors       {_listed(counted.types, [kind for kind, _ in counted.types.most_common()]) or 'none'}")
    say(f"counted      {_agreement(counted)}")
    for line in _destinations(stage):
        say(f"telemetry    {line}")
    say(f"pictures     {stage.run.images}")
    say(f"worker's log {stage.run.worker_log}")
    say()
    gone = "" if stays else "   (until the demo ended; in a terminal it stays until Ctrl-C)"
    say(f"dashboard    {stage.admin.sign_in_link(_prefix(stage))}{gone}")
    say(f"API          {stage.admin.base}{_prefix(stage)}")
    say(f"sign-in      {stage.admin.email} {stage.admin.password}   (examples/curl.sh shows the calls)")
    say()
    say("your own worker, in three lines:")
    for line in QUICKSTART:
        say(f"    {line}")
    say()


def tree(stage: Stage, orders: Iterable[Order]) -> None:
    """Print one generation's trace as a tree: one that lost a pose, where there is one."""
    from posemon_otel.delivery.backlog import generation_spans
    from posemon_otel.delivery.tree import draw

    chosen = max(orders, key=lambda order: (order.status == o.PARTIAL, order.status == o.COMPLETED))
    stage.screen.say()
    stage.screen.say(draw(generation_spans(stage.run.journal, chosen.id), colour=stage.screen.colour))


def verdict(stage: Stage, counted: Counted) -> int:
    """Say what did not go as designed, in one line on stderr.

    Returns:
        The exit code.
    """
    if counted.differences:
        first, *others = counted.differences
        return fail(f"not as designed: {first}" + (f"; and {len(others)} more counts" if others else ""))
    if counted.undelivered:
        return fail(
            f"{counted.undelivered} bytes of telemetry are not delivered; they stay in {stage.run.journal}"
            f" (is something listening at {', '.join(_endpoints(stage))}?)"
        )
    return 0


def _agreement(counted: Counted) -> str:
    places = ["this summary", "GET /metrics"]
    places += ["exported metrics"] if counted.metrics is not None else []
    places += ["exported spans"] if counted.spans is not None else []
    if counted.differences:
        return f"not alike in {', '.join(places)}"
    return f"alike in {len(places)} places: {', '.join(places)}"


def _destinations(stage: Stage) -> list[str]:
    if has_endpoint(stage.chosen):
        return [f"sent to {endpoint}" for endpoint in _endpoints(stage)]
    files = sorted((stage.run.path / "telemetry").glob("*/*.jsonl"))
    return [f"{file}  {_size(file)}" for file in files]


def _endpoints(stage: Stage) -> list[str]:
    named = (
        settings.OTLP_ENDPOINT,
        settings.OTLP_TRACES_ENDPOINT,
        settings.OTLP_METRICS_ENDPOINT,
        settings.OTLP_LOGS_ENDPOINT,
    )
    return [stage.chosen[setting] for setting in named if stage.chosen[setting]]


def _prefix(stage: Stage) -> str:
    return stage.chosen[settings.ADMIN_PREFIX]


def _listed(counted: Counter[str], order: Iterable[str]) -> str:
    return ", ".join(f"{counted[name]} {name}" for name in order if counted[name])


def _percentile(ordered: list[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    return ordered[max(0, -int(-len(ordered) * share // 1) - 1)] if ordered else 0.0


def _size(file: Path) -> str:
    size = file.stat().st_size
    return f"{size / 1024:.0f} kB" if size >= 1024 else f"{size} bytes"
