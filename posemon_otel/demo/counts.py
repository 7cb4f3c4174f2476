"""The same things counted in four places: the application, the admin app, the exported metrics, the exported spans."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from posemon_otel.demo.producer import Ended
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import metrics as m
from posemon_otel.semconv import operations as o

Statuses = Counter[str]
"""Generations by status."""

Errors = Counter[tuple[str, str]]
"""Failures by type and reason, each counted where it arose: a retried pose may fail several times."""

_HTTP_SECONDS = 10.0


class Exported(NamedTuple):
    """What one kind of exported telemetry says."""

    statuses: Statuses
    errors: Errors


def from_application(ended: Iterable[Ended]) -> Statuses:
    """What the queue said about each order."""
    return Counter(one.status for one in ended)


def from_spans(folder: Path) -> Exported:
    """What the exported spans say."""
    statuses: Statuses = Counter()
    errors: Errors = Counter()
    for span in _records(folder / "traces.jsonl", "resourceSpans", "scopeSpans", "spans"):
        said = _attributes(span)
        if span["name"] == o.GENERATION.span_name and a.GENERATION_STATUS in said:
            statuses[said[a.GENERATION_STATUS]] += 1
        elif span["name"] == o.RENDER.span_name and a.ERROR_TYPE in said:
            errors[said[a.ERROR_TYPE], said[a.ERROR_REASON]] += 1
    return Exported(statuses, errors)


def from_metrics(folder: Path) -> Exported:
    """What the newest exported value of each series says; they are cumulative."""
    newest: dict[tuple[str, frozenset[tuple[str, Any]]], int] = {}
    for metric in _records(folder / "metrics.jsonl", "resourceMetrics", "scopeMetrics", "metrics"):
        if metric["name"] in (m.GENERATIONS.name, m.ERRORS.name):
            for point in metric["sum"]["dataPoints"]:
                newest[metric["name"], frozenset(_attributes(point).items())] = int(point["asInt"])
    statuses: Statuses = Counter()
    errors: Errors = Counter()
    for (name, series), value in newest.items():
        said = dict(series)
        if not value:
            continue
        if name == m.GENERATIONS.name:
            statuses[said[a.GENERATION_STATUS]] += value
        else:
            errors[said[a.ERROR_TYPE], said[a.ERROR_REASON]] += value
    return Exported(statuses, errors)


def from_logs(folder: Path) -> Errors:
    """Failures in the exported log records of exceptions."""
    records = _records(folder / "logs.jsonl", "resourceLogs", "scopeLogs", "logRecords")
    said = (_attributes(record) for record in records if record.get("eventName") == o.EVENT_EXCEPTION)
    return Counter((one[a.ERROR_TYPE], one[a.ERROR_REASON]) for one in said)


class Api:
    """The admin app, asked over HTTP as anybody would.

    Args:
        base: Address of the app.
        prefix: Where its endpoints begin.
        email: Whom to sign in.
        password: Theirs.
    """

    def __init__(self, base: str, prefix: str, email: str, password: str) -> None:
        self.address = f"{base}{prefix}"
        signed_in = _ask(f"{base}/api/auth/login", body={"email": email, "password": password})
        self._token = signed_in["data"]["token"]

    def get(self, path: str, **query: str) -> Any:
        """Ask an endpoint.

        Raises:
            OSError: It does not answer, or with an error.
        """
        return _ask(f"{self.address}{path}?{urllib.parse.urlencode(query)}", token=self._token)

    def statuses(self, since: datetime) -> Statuses:
        """Generations asked for since a moment, by how they ended."""
        told = self.get("/metrics", startDate=_iso(since))
        counted = {status: told[f"{status}Generations"] for status in o.TERMINAL_STATUSES}
        return Counter({status: count for status, count in counted.items() if count})

    def errors(self, since: datetime) -> Counter[str]:
        """Generations asked for since a moment that failed or lost poses, by error type."""
        told = self.get("/metrics/errors", startDate=_iso(since))
        return Counter({error["errorType"]: error["count"] for error in told["errors"]})


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _ask(url: str, *, token: str = "", body: Mapping[str, str] | None = None) -> Any:
    request = urllib.request.Request(url)  # noqa: S310 - our own address
    if token:
        request.add_header("authorization", f"Bearer {token}")
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("content-type", "application/json")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy reaches this loopback
    with opener.open(request, timeout=_HTTP_SECONDS) as response:
        return json.load(response)


def _records(path: Path, *levels: str) -> Iterator[dict[str, Any]]:
    """The records of an OTLP-JSON file, level by level; a line that is being written is left for the next time."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found: list[dict[str, Any]] = [json.loads(line)]
        except ValueError:
            continue
        for level in levels:
            found = [record for above in found for record in above.get(level, ())]
        yield from found


def _attributes(record: Mapping[str, Any]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in record.get("attributes", ())}
