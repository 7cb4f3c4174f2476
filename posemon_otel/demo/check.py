"""Whether a run went as designed: the same counts everywhere, and every injected failure under its right name."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from posemon_otel.delivery.backlog import backlogs
from posemon_otel.demo import counts
from posemon_otel.demo.counts import Api, Errors, Exported, Statuses
from posemon_otel.demo.faults import Failure
from posemon_otel.demo.folder import RunFolder
from posemon_otel.demo.producer import Application
from posemon_otel.demo.scenario import EXPECTED, Order, expected_errors, expected_statuses
from posemon_otel.demo.worker import SERVICE as WORKER_SERVICE

_WAIT_SECONDS = 15.0
_DELIVERY_SECONDS = 4.0  # longer is no use: what does not answer by then is away
_PAUSE_SECONDS = 0.2


class Counted(NamedTuple):
    """Everything that was counted.

    Attributes:
        designed: How the generations must end.
        application: How they ended, as the queue says.
        admin: As the admin app says.
        metrics: As the exported metrics say; None where telemetry went to an endpoint.
        spans: As the exported spans say; likewise.
        logs: Failures in the exported logs; likewise.
        injected: Failures that the FLUX stand-in answered with, under the names that they must have.
        designed_types: Generations under each error type, as designed.
        types: The same, as the admin app says.
        undelivered: Bytes of traces and logs that wait in the journals.
    """

    designed: Statuses
    application: Statuses
    admin: Statuses
    metrics: Exported | None
    spans: Exported | None
    logs: Errors | None
    injected: Errors
    designed_types: Counter[str]
    types: Counter[str]
    undelivered: int

    @property
    def differences(self) -> list[str]:
        """A line for each count that is not what it must be; empty when all went as designed."""
        must = self.designed
        found: list[tuple[str, object, object]] = [
            ("generations by the queue", self.application, must),
            ("generations by GET /metrics", self.admin, must),
            ("failures by GET /metrics/errors", self.types, self.designed_types),
        ]
        for name, exported in (("metrics", self.metrics), ("spans", self.spans)):
            if exported is not None:
                found.append((f"generations in exported {name}", exported.statuses, must))
                found.append((f"failures in exported {name}", exported.errors, self.injected))
        if self.logs is not None:
            found.append(("failures in exported logs", self.logs, self.injected))
        return [f"{what}: {_shown(is_)} instead of {_shown(should)}" for what, is_, should in found if is_ != should]


def injected(answers: Mapping[str, int]) -> Errors:
    """The stand-in's failures under the names that they must have.

    Args:
        answers: What the stand-in answered how often (``FluxServer.counts``).
    """
    made: Errors = Counter()
    for answer, count in answers.items():
        if answer in set(Failure) and Failure(answer) in EXPECTED:
            kind, reason = EXPECTED[Failure(answer)]
            made[kind.value, reason] += count
    return made


async def count(
    orders: tuple[Order, ...],
    application: Application,
    api: Api,
    since: datetime,
    failures: Errors,
    run: RunFolder,
    *,
    files: bool,
) -> Counted:
    """Count, again and again until all is as designed or that has taken too long: delivery is a matter of moments.

    Args:
        orders: What was played.
        application: The application.
        api: The admin app.
        since: When the run began.
        failures: What the stand-in answered, named.
        run: The run's folder.
        files: Whether telemetry goes into files in it.
    """
    began = time.monotonic()
    while True:
        counted = await asyncio.to_thread(_count, orders, application, api, since, failures, run, files)
        patience = _WAIT_SECONDS if counted.differences else _DELIVERY_SECONDS if counted.undelivered else 0.0
        if time.monotonic() - began >= patience:
            return counted
        await asyncio.sleep(_PAUSE_SECONDS)


def _count(
    orders: tuple[Order, ...],
    application: Application,
    api: Api,
    since: datetime,
    failures: Errors,
    run: RunFolder,
    files: bool,
) -> Counted:
    folder = run.telemetry(WORKER_SERVICE) if files else None
    return Counted(
        designed=expected_statuses(orders),
        application=counts.from_application(application.ended.values()),
        admin=api.statuses(since),
        metrics=None if folder is None else counts.from_metrics(folder),
        spans=None if folder is None else counts.from_spans(folder),
        logs=None if folder is None else counts.from_logs(folder),
        injected=failures,
        designed_types=expected_errors(orders),
        types=api.errors(since),
        undelivered=_undelivered(run),
    )


def _undelivered(run: RunFolder) -> int:
    # Metrics do not count: there is always a newer state than the last one sent.
    return sum(
        one.bytes for backlog in backlogs(run.journal) for one in backlog.waiting if one.consumer in ("traces", "logs")
    )


def _shown(counted: object) -> str:
    assert isinstance(counted, Counter)
    named = {"/".join(key) if isinstance(key, tuple) else key: value for key, value in counted.items()}
    return ", ".join(f"{value} {key}" for key, value in sorted(named.items())) or "none"
