"""The folder of one run of the demo: everything that it writes lies there."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from posemon_otel import settings
from posemon_otel.settings import Setting, Settings
from posemon_otel.state import state_folder

RUNS = "demo-runs"
"""Name of the folder of all runs, beside the journals in the state folder."""

_SHIP_SECONDS = 0.2
_METRICS_MS = 500
_TRIES = 1000
KEPT_RUNS = 10
"""Of the runs in the state folder the newest stay; each takes about ten megabytes."""

_NAME = re.compile(r"(\d{4}-\d\d-\d\d)-(\d+)", re.ASCII)


class FolderError(Exception):
    """The folder of a run cannot be made; the message says what to do."""


class RunFolder(NamedTuple):
    """Where the parts of a run keep what is theirs.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def database_url(self) -> str:
        """Address of the SQLite database."""
        return f"sqlite:///{self.path / 'posemon.db'}"

    @property
    def images(self) -> Path:
        """Pictures and thumbnails."""
        return self.path / "images"

    @property
    def valkey(self) -> Path:
        """Valkey's configuration and log."""
        return self.path / "valkey"

    @property
    def journal(self) -> Path:
        """Journals, a folder a service."""
        return self.path / "journal"

    @property
    def worker_log(self) -> Path:
        """What the worker prints."""
        return self.path / "worker.log"

    def telemetry(self, service: str) -> Path:
        """OTLP-JSON files of a service."""
        return self.path / "telemetry" / service


def make(wanted: Path | None, chosen: Settings) -> RunFolder:
    """Make the folder of a run.

    Args:
        wanted: The folder; by default `<state folder>/posemon/demo-runs/<date>-<number>`.
        chosen: Settings that say where the state folder is.

    Raises:
        FolderError: It cannot be made, or is not empty.
    """
    try:
        if wanted is not None:
            path = wanted.expanduser().resolve()
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise FolderError(f"--dir: expected a new or an empty folder, {path} holds something; name another")
            return RunFolder(path)
        return RunFolder(_next(state_folder(chosen) / RUNS))
    except OSError as error:
        raise FolderError(
            f"cannot make {error.filename}: {error.strerror}; name a folder that you may write with --dir"
        ) from None


def _next(runs: Path) -> Path:
    runs.mkdir(mode=0o700, parents=True, exist_ok=True)
    today = datetime.now(UTC).astimezone().strftime("%Y-%m-%d")
    for number in range(1, _TRIES):
        path = runs / f"{today}-{number}"
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            continue
        _tidy(runs)
        return path
    raise FolderError(f"{runs} is full of today's runs; remove some, or name a folder with --dir")


def _tidy(runs: Path) -> None:
    found = {path: _NAME.fullmatch(path.name) for path in runs.iterdir()}
    dated = sorted((name[1], int(name[2]), path) for path, name in found.items() if name is not None)
    for *_, path in dated[:-KEPT_RUNS]:
        shutil.rmtree(path, ignore_errors=True)


def has_endpoint(chosen: Settings) -> bool:
    """Whether somebody has said where telemetry is to go."""
    return any(
        chosen[setting]
        for setting in (
            settings.OTLP_ENDPOINT,
            settings.OTLP_TRACES_ENDPOINT,
            settings.OTLP_METRICS_ENDPOINT,
            settings.OTLP_LOGS_ENDPOINT,
        )
    )


def telemetry_settings(folder: RunFolder, service: str, chosen: Settings) -> dict[Setting[Any], str]:
    """Settings of one service of the demo: its telemetry goes to the endpoint that is set, else into files.

    Args:
        folder: The run's.
        service: The service's name.
        chosen: The user's settings.
    """
    made: dict[Setting[Any], str] = {
        settings.JOURNAL: "on",
        settings.DISABLED_INSTRUMENTATIONS: "",
        settings.JOURNAL_DIR: str(folder.journal),
        settings.SHIP_INTERVAL: str(_SHIP_SECONDS),
        settings.METRIC_INTERVAL: str(_METRICS_MS),
    }
    if not has_endpoint(chosen):
        for exporter in (settings.TRACES_EXPORTER, settings.METRICS_EXPORTER, settings.LOGS_EXPORTER):
            made[exporter] = "otlp_json_file"
        made[settings.OTLP_FILE_DIR] = str(folder.telemetry(service))
    return made


def environment(changes: Mapping[Setting[Any], str], **more: str) -> dict[str, str]:
    """The environment of a child process with some settings changed."""
    named = {setting.variables[0]: value for setting, value in changes.items()}
    return {**os.environ, **named, **more}
