"""BullMQ: jobs put into a queue and jobs processed, in one trace.

The trace's context travels in the job's options under `tm`, a JSON string of the W3C carrier, as Node's bullmq-otel
writes and reads it; `omc: true` says that none is to travel. Baggage is left out. A worker's own traffic with Redis,
most of it polling, makes no spans; what the application does in its processor and its event listeners does.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from posemon_otel import settings
from posemon_otel.faults import fault
from posemon_otel.instrumentation._calls import Hook
from posemon_otel.instrumentation._library import Library, PatchPoint
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv.operations import PROCESS, SEND

Function = Callable[..., Any]

_HAND_BACKS = frozenset(("DelayedError", "WaitingChildrenError"))
_METADATA, _OMIT_CONTEXT = "tm", "omc"
_w3c = TraceContextTextMapPropagator()
_outside: ContextVar[Context | None] = ContextVar("posemon-outside-of-worker", default=None)
"""Within a worker's own tasks: the context in which it was started, where nothing is suppressed."""


def _run(original: Function, hook: Hook) -> Function:
    """`Worker.run`: all that the worker does for itself is silent."""

    async def run(*args: Any, **kwargs: Any) -> Any:
        if not hook.on:
            return await original(*args, **kwargs)
        from opentelemetry.instrumentation.utils import suppress_instrumentation

        before = _outside.get()
        _outside.set(otel_context.get_current())
        try:
            with suppress_instrumentation():
                return await original(*args, **kwargs)
        finally:
            _outside.set(before)

    return run


@contextmanager
def _as_outside() -> Generator[None]:
    outside = _outside.get()
    token = None if outside is None else otel_context.attach(outside)
    try:
        yield
    finally:
        if token is not None:
            otel_context.detach(token)


def _emit(original: Function, hook: Hook) -> Function:  # noqa: ARG001 - a `Wrap`
    """`Worker.emit`: listeners are the application's."""

    def emit(*args: Any, **kwargs: Any) -> Any:
        with _as_outside():
            return original(*args, **kwargs)

    return emit


def _init(original: Function, hook: Hook) -> Function:
    """`Worker.__init__`: the processor is watched from here, for `Worker.processJob` swallows what it raises."""

    def init(*args: Any, **kwargs: Any) -> Any:
        if hook.on and args:
            worker = args[0]
            args, kwargs = _change(
                args, kwargs, 2, "processor", lambda given: given and _processor(given, worker, hook)
            )
        return original(*args, **kwargs)

    return init


def _processor(processor: Function, worker: Any, hook: Hook) -> Function:
    @functools.wraps(processor)  # the worker looks at its signature
    async def process(*args: Any, **kwargs: Any) -> Any:
        call = _received(args[0], worker, hook) if args else None
        if call is None:
            with _as_outside():
                return await processor(*args, **kwargs)
        with call:
            try:
                return await processor(*args, **kwargs)
            except Exception as error:
                if _handed_back(error):
                    call.finish()
                raise

    return process


def _handed_back(error: Exception) -> bool:
    """Whether a processor ended its turn in order and will see the job again. By name: older versions have none."""
    return not _HAND_BACKS.isdisjoint(cls.__name__ for cls in type(error).__mro__)


def _received(job: Any, worker: Any, hook: Hook) -> Any:
    """The operation of a job that is to be processed; None where it is nobody's business. Never raises."""
    try:
        made = job.attemptsMade
        attributes = {
            **_messaging("process", worker.name, job.id),
            "worker_id": worker.opts.get("name") or worker.id,
            "attempt": made + 1,
            "queue_wait": _wait(job),
        }
        producer = _w3c.extract(_carrier(job.opts), Context())
        sent_by = trace.get_current_span(producer).get_span_context()
        is_child = settings.current()[settings.QUEUE_CONTEXT] == "parent"
        return hook.begin(
            attributes,
            links=[trace.Link(sent_by)] if sent_by.is_valid else [],
            context=producer if is_child else Context(),
            attempt=made + 1,
            last_attempt=made + 1 >= (job.opts.get("attempts") or 1),
        )
    except Exception as exc:
        fault("reading a BullMQ job", exc)
        return None


def _wait(job: Any) -> float | None:
    """Seconds from enqueued, or from due where the job was delayed, to begun; the two clocks may disagree."""
    if job.attemptsMade or getattr(job, "attemptsStarted", 0) > 1:
        return None  # since when a job waits for its next turn is written nowhere
    due = job.timestamp + (job.opts.get("delay") or 0)  # `job.delay` is reset when it is due
    began = job.processedOn or time.time() * 1000
    return float(max(0.0, began - due)) / 1000


def _carrier(opts: Any) -> dict[str, str]:
    """What travels with a job; anybody may have written it."""
    try:
        carrier = json.loads(opts.get(_METADATA) or "{}")
    except (TypeError, ValueError):
        return {}
    return {key: value for key, value in carrier.items() if isinstance(value, str)} if type(carrier) is dict else {}


def _add(original: Function, hook: Hook) -> Function:
    """`Queue.add`."""

    async def add(*args: Any, **kwargs: Any) -> Any:
        call = _sent(args[0], hook) if args else None
        if call is None:
            return await original(*args, **kwargs)
        with call:
            args, kwargs = _change(args, kwargs, 3, "opts", functools.partial(_with_context, args[0]), {})
            job = await original(*args, **kwargs)
            call.finish(None, {"job_id": getattr(job, "id", None)})
            return job

    return add


def _add_bulk(original: Function, hook: Hook) -> Function:
    """`Queue.addBulk`: one operation for all its jobs."""

    async def add_bulk(*args: Any, **kwargs: Any) -> Any:
        call = _sent(args[0], hook) if args else None
        if call is None:
            return await original(*args, **kwargs)
        with call:
            args, kwargs = _change(args, kwargs, 1, "jobs", functools.partial(_all_with_context, args[0]))
            return await original(*args, **kwargs)

    return add_bulk


def _sent(queue: Any, hook: Hook) -> Any:
    return hook.begin(_messaging("send", getattr(queue, "name", None)))


def _with_context(queue: Any, opts: Any) -> Any:
    """A copy of a job's options that carries the current context, or the options where they say otherwise."""
    said = {**queue.jobsOpts, **(opts or {})}
    if said.get(_OMIT_CONTEXT) or said.get(_METADATA):
        return opts
    carrier: dict[str, str] = {}
    _w3c.inject(carrier)
    return {**(opts or {}), _METADATA: json.dumps(carrier)} if carrier else opts


def _all_with_context(queue: Any, jobs: Any) -> Any:
    if not isinstance(jobs, (list, tuple)):
        return jobs
    return [{**job, "opts": _with_context(queue, job.get("opts"))} for job in jobs]


def _messaging(operation: str, queue: Any, job_id: Any = None) -> dict[str, Any]:
    return {
        a.MESSAGING_SYSTEM: "bullmq",
        a.MESSAGING_OPERATION_NAME: operation,
        a.MESSAGING_OPERATION_TYPE: operation,
        "queue": queue,
        "job_id": job_id,
    }


def _change(
    args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str, change: Function, *default: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with one of them changed, each passed on the way it came. Never raises.

    Args:
        args: Positional arguments.
        kwargs: Keywords.
        position: Where the argument stands, if it came by position.
        name: How it is called, if it did not.
        change: Makes the new value of the old.
        *default: What stands for an argument that was left out; without it, it stays out.
    """
    try:
        if name in kwargs:
            return args, {**kwargs, name: change(kwargs[name])}
        if len(args) > position:
            return (*args[:position], change(args[position]), *args[position + 1 :]), kwargs
        if default:
            return args, {**kwargs, name: change(default[0])}
    except Exception as exc:
        fault(f"changing the argument {name} of a BullMQ call", exc)
    return args, kwargs


LIBRARY = Library(
    name="bullmq",
    distribution="bullmq",
    tested=">=2.15,<4",
    points=(
        PatchPoint("bullmq.worker:Worker.__init__", PROCESS, wrap=_init),
        PatchPoint("bullmq.worker:Worker.run", PROCESS, wrap=_run),
        PatchPoint("bullmq.worker:Worker.emit", PROCESS, wrap=_emit),
        PatchPoint("bullmq.queue:Queue.add", SEND, wrap=_add),
        PatchPoint("bullmq.queue:Queue.addBulk", SEND, wrap=_add_bulk),
    ),
)
