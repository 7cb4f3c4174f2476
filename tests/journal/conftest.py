from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from posemon_otel.journal import Journal, Writer

CONSUMERS = ("otlp", "records")
HEAD = {"resource": {"service.name": "worker"}}
TAG = 2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "posemon" / "worker"


@pytest.fixture
def make(root: Path) -> Iterator[Callable[..., Writer]]:
    writers: list[Writer] = []

    def build(**settings: Any) -> Writer:
        writer = Writer(root, **{"head": HEAD, "consumers": CONSUMERS, **settings})
        writers.append(writer)
        return writer

    yield build
    for writer in writers:
        writer.close()


@pytest.fixture
def drain() -> Callable[..., list[Any]]:
    """Read and acknowledge everything that `consumer` has before it; the records, decoded."""
    from msgspec import msgpack

    def run(journal: Journal, consumer: str = "otlp", **limits: int) -> list[Any]:
        records: list[Any] = []
        while (batch := journal.read(consumer, **limits)).entries:
            records += [msgpack.decode(payload) for _, payload in batch.entries]
            journal.acknowledge(consumer, batch.position, batch.first)
        return records

    return run
