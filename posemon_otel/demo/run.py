"""`posemon demo`: a whole pose generator on this machine, with an incident, watched."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from posemon_otel import settings
from posemon_otel.demo import folder as folders
from posemon_otel.demo.folder import FolderError, RunFolder
from posemon_otel.demo.screen import Screen, fail, open_screen
from posemon_otel.settings import Settings

GENERATIONS = 20
"""How many are played where nobody says: enough for every kind of failure."""

_NEEDED = (
    "rich",
    "bullmq",
    "huggingface_hub",
    "PIL",
    "sqlalchemy",
    "alembic",
    "starlette",
    "uvicorn",
    "bcrypt",
    "redis",
)

INTERRUPTED = 130
"""Exit code of a demo that was broken off before its summary, as shells have it."""


class Options(NamedTuple):
    """How the demo is to be played.

    Attributes:
        generations: How many before the summary.
        ends: Whether it ends after the summary; without a terminal it always does.
        view: Whether a generation's trace is printed.
        folder: Where the run's folder is to be; None for the usual place.
    """

    generations: int = GENERATIONS
    ends: bool = False
    view: bool = False
    folder: Path | None = None


def main(options: Options) -> int:
    """Play the demo.

    Returns:
        0 when all went as designed, 1 when not (a line on stderr says what), 130 when it was broken off before its
        summary.
    """
    _require()
    chosen = Settings()
    if chosen[settings.DISABLED]:
        return fail(f"{settings.DISABLED.variables[0]} switches off what the demo is there to show; unset it")
    try:
        run = folders.make(options.folder, chosen)
    except FolderError as error:
        return fail(str(error))
    with open_screen() as screen:
        screen.say("posemon demo: a whole pose generator on this machine's loopback")
        screen.say(f"run folder   {run.path}")
        for problem in chosen.problems:
            screen.say(f"note         {problem}")
        try:
            return _play(options, run, chosen, screen)
        except (KeyboardInterrupt, asyncio.CancelledError):  # Ctrl-C, SIGTERM
            screen.close()
            screen.say("broken off")
            return INTERRUPTED


def _require() -> None:
    """Raise an `ImportError` that says what to install, before anything is begun."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(f"posemon demo needs {', '.join(missing)}: pip install 'posemon-otel[demo]'")


def _play(options: Options, run: RunFolder, chosen: Settings, screen: Screen) -> int:
    screen.working("starting")
    from posemon_otel.demo import parts
    from posemon_otel.demo.scenario import Script, scenario

    parts.end_on_sigterm()
    planned = scenario(options.generations)
    try:
        with contextlib.ExitStack() as stack:
            redis = parts.start_redis(stack, run, chosen)
            if redis.note:
                screen.say(f"note         {redis.note}")
            flux = parts.start_flux(stack, Script(planned.orders))
            worker = parts.start_worker(stack, run, chosen, flux.url, redis)
            _configure(stack, run, chosen)
            screen.working("writing 30 days of sample history")
            engine = parts.open_database(stack, run, chosen)
            sampled = _write_sample(engine)
            screen.say(f"history      {sampled.generations} sample generations of the last 30 days, marked as such")
            admin = parts.start_admin(stack, engine, redis, _journal_part(run))
            from posemon_otel.demo.acts import Stage, play

            stage = Stage(run, chosen, screen, flux, worker, engine, redis, admin)
            stays = sys.stdout.isatty() and not options.ends
            return asyncio.run(play(stage, planned, stays=stays, view=options.view))
    except parts.DemoError as error:
        screen.close()
        return fail(str(error))


def _configure(stack: contextlib.ExitStack, run: RunFolder, chosen: Settings) -> None:
    from posemon_otel.bootstrap import configure
    from posemon_otel.demo import parts
    from posemon_otel.demo.producer import SERVICE

    told = folders.telemetry_settings(run, SERVICE, chosen)
    told |= {
        settings.DATABASE_URL: parts.database_url(run, chosen),
        settings.LOG_FORMAT: "none",
        # The stand-in draws with Pillow in this process, and that is not this service's storage.
        settings.DISABLED_INSTRUMENTATIONS: "pillow,huggingface_hub",
    }
    arguments: dict[str, Any] = {setting.name: value for setting, value in told.items()}
    handle = configure(SERVICE, **arguments)
    stack.callback(handle.shutdown, 2.0)
    if handle.pipeline is None:
        raise parts.DemoError("telemetry cannot be set up, as was said above")


def _write_sample(engine: Any) -> Any:
    from posemon_otel.demo.poses import POSES
    from posemon_otel.records.sample import LibraryPose, write_sample

    return write_sample(engine, library=[LibraryPose(pose.id, pose.name, pose.category) for pose in POSES.values()])


def _journal_part(run: RunFolder) -> Callable[[], Any]:
    """Says how the journals are, for the admin app's health."""

    def part() -> Any:
        from posemon_otel.admin import Part
        from posemon_otel.delivery.backlog import backlogs

        waiting = sum(one.bytes for backlog in backlogs(run.journal) for one in backlog.waiting)
        return Part("available", f"{waiting} bytes wait to be delivered")

    return part
