"""The demo's acts: usual traffic, an incident, the recovery; then the count, and traffic until somebody ends it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from redis.exceptions import RedisError

import posemon_otel as posemon
from posemon_otel import settings
from posemon_otel.demo import check, report
from posemon_otel.demo.counts import Api
from posemon_otel.demo.faults import Failure
from posemon_otel.demo.flux import FluxServer
from posemon_otel.demo.folder import RunFolder, has_endpoint
from posemon_otel.demo.parts import Admin, DemoError, Redis, WorkerProcess
from posemon_otel.demo.producer import Application
from posemon_otel.demo.scenario import Order, Scenario, trickle
from posemon_otel.demo.screen import Screen, fail
from posemon_otel.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

_LOOK_SECONDS = 0.5
_ASK_SECONDS = 0.3
_ANSWER_SECONDS = 5.0
_STUCK_SECONDS = 60.0
_TRICKLE_SECONDS = 1.5
_TRICKLE_FAILURES = {Failure.MODEL_LOADING: 0.03, Failure.RATE_LIMITED: 0.02, Failure.DROP: 0.01}


class Stage(NamedTuple):
    """The parts that run."""

    run: RunFolder
    chosen: Settings
    screen: Screen
    flux: FluxServer
    worker: WorkerProcess
    engine: Engine
    redis: Redis
    admin: Admin


class _Ending:
    """Ends the task on Ctrl-C and SIGTERM, asking until it does: a client library may swallow one cancellation.

    Attributes:
        over: Set when the task is at its end: what cleans up is not to be broken off.
    """

    def __init__(self) -> None:
        self.over = False
        task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self._task = task
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._ask)

    def _ask(self) -> None:
        if not self.over:
            self._task.cancel()
            self._loop.call_later(_ASK_SECONDS, self._ask)


async def play(stage: Stage, planned: Scenario, *, stays: bool, view: bool) -> int:
    """Play all acts.

    Args:
        stage: The parts.
        planned: What is played.
        stays: Whether traffic goes on after the summary, until the task is cancelled.
        view: Whether one generation's trace is shown.

    Returns:
        The exit code.

    Raises:
        DemoError: A part does not work.
    """
    ending = _Ending()
    application = Application(stage.engine, stage.redis.url, stage.redis.queue)
    try:
        since = datetime.now(UTC)
        await _acts(stage, application, planned)
        stage.screen.working("counting in every place")
        counted = await _count(stage, application, planned, since)
        stage.screen.close()
        if view:
            report.tree(stage, planned.orders)
        report.summary(stage, counted, application.ended.values(), stays=stays)
        code = report.verdict(stage, counted)
        if stays:
            # Cancelled by Ctrl-C or SIGTERM, which is how it is meant to end.
            with contextlib.suppress(asyncio.CancelledError):
                await _trickle(stage, application, len(planned.orders))
            ending.over = True
        elif not code and not await asyncio.to_thread(stage.worker.stop):
            code = fail(f"the worker did not end in order; its output is in {stage.run.worker_log}")
        return code
    finally:
        ending.over = True
        with contextlib.suppress(RedisError, TimeoutError):  # it may be gone
            async with asyncio.timeout(_ANSWER_SECONDS):
                await application.close(remove_queue=stage.redis.foreign)


async def _acts(stage: Stage, application: Application, planned: Scenario) -> None:
    total = len(planned.orders)
    stage.screen.begin(total)
    await _act(stage, application, planned.calm, "usual traffic, failures here and there")
    if planned.incident:
        stage.flux.plan.begin_outage()
        await _act(stage, application, planned.incident, "incident: FLUX answers 503")
        stage.flux.plan.end_outage()
        posemon.record_event("recovery_triggered", component="flux", failed=len(planned.incident))
        await _act(stage, application, planned.recovery, "recovery: FLUX is back")


async def _act(stage: Stage, application: Application, orders: tuple[Order, ...], doing: str) -> None:
    for order in orders:
        await _order(stage, application, order)
        stage.screen.progress(len(application.ended), doing)
    since = time.monotonic()
    while application.waiting:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):  # wait_for of Python 3.11 may swallow a cancellation
                await application.changed()
            since = time.monotonic()
        except TimeoutError:
            stage.worker.check()
            await asyncio.to_thread(stage.redis.check)
            if time.monotonic() - since > _STUCK_SECONDS:
                raise DemoError(
                    f"no generation has ended for {_STUCK_SECONDS:.0f} s; see {stage.run.worker_log}"
                ) from None
        stage.screen.progress(len(application.ended), doing)


async def _order(stage: Stage, application: Application, order: Order) -> None:
    """Ask for a generation. BullMQ would wait for a lost Redis without end."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await application.order(order)
    except (TimeoutError, RedisError):
        await asyncio.to_thread(stage.redis.check)
        raise DemoError(f"the queue's server at {stage.redis.url} takes no jobs") from None


async def _count(stage: Stage, application: Application, planned: Scenario, since: datetime) -> check.Counted:
    admin = stage.admin
    try:
        api = await asyncio.to_thread(Api, admin.base, stage.chosen[settings.ADMIN_PREFIX], admin.email, admin.password)
        return await check.count(
            planned.orders,
            application,
            api,
            since,
            check.injected(stage.flux.counts.answers),
            stage.run,
            files=not has_endpoint(stage.chosen),
        )
    except OSError as error:
        raise DemoError(f"the admin app at {admin.base} does not answer: {error}") from None


async def _trickle(stage: Stage, application: Application, already: int) -> None:
    stage.flux.plan.set_rates(_TRICKLE_FAILURES)
    for number, order in enumerate(trickle(already)):
        stage.worker.check()
        await _order(stage, application, order)
        stage.screen.working(f"{number + 1} more generations so far; Ctrl-C ends the demo")
        await asyncio.sleep(_TRICKLE_SECONDS)
