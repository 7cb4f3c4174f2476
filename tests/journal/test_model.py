"""What was acknowledged as written is read back, in order, by every consumer: whatever happens in between."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from msgspec import msgpack

from posemon_otel.journal import Batch, Journal, Writer, adoptable, tidy
from posemon_otel.journal.segment import frame

CONSUMERS = ("otlp", "records")
ENTRY, PRELUDE = 2, 9


class Written:
    """One writer's folder, what was written to it and what each consumer acknowledged."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.journal = Journal.open(writer.folder, keep_bytes=0)
        self.entries: list[int] = []
        self.acknowledged: dict[str, set[int]] = {consumer: set() for consumer in CONSUMERS}
        self.read: dict[str, list[Batch]] = {consumer: [] for consumer in CONSUMERS}

    @property
    def present(self) -> bool:
        """Whether there is anything left: what everybody has passed goes."""
        return any(self.writer.folder.glob("*.seg"))

    def reopen(self) -> None:
        self.journal.release_ship()
        if self.present:
            self.journal = Journal.open(self.writer.folder, keep_bytes=0)
        self.read = {consumer: [] for consumer in CONSUMERS}


def _numbers(batch: Batch) -> list[int]:
    return [msgpack.decode(payload)[0] for tag, payload in batch.entries if tag == ENTRY]


class JournalModel(RuleBasedStateMachine):
    writers = Bundle("writers")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.root = self.folder / "worker"
        self.all: list[Written] = []
        self.count = 0

    def teardown(self) -> None:
        for written in self.all:
            written.writer.close()
            for consumer in CONSUMERS:
                self.read_to_the_end(written, consumer)
        shutil.rmtree(self.folder)

    def read_to_the_end(self, written: Written, consumer: str) -> None:
        if written.present:
            written.reopen()
            while (batch := written.journal.read(consumer, max_entries=3, max_bytes=200)).entries:
                written.acknowledged[consumer].update(_numbers(batch))
                written.journal.acknowledge(consumer, batch.position, batch.first)
            assert written.journal.lag(consumer) == (0, 0, None)
        assert written.acknowledged[consumer] == set(written.entries)

    @rule(target=writers, size=st.integers(50, 600), prelude=st.integers(0, 3))
    def begin(self, size: int, prelude: int) -> Written:
        carried = [(PRELUDE, "carried")] * prelude
        writer = Writer(
            self.root, head={}, consumers=CONSUMERS, segment_bytes=size, keep_bytes=0, prelude=lambda: carried
        )
        written = Written(writer)
        self.all.append(written)
        return written

    @rule(written=writers, size=st.integers(0, 300), times=st.integers(1, 8))
    def append(self, written: Written, size: int, times: int) -> None:
        for _ in range(times):
            if not written.writer.closed:
                self.count += 1
                written.writer.append(ENTRY, (self.count, "x" * size))
                written.entries.append(self.count)

    @rule(written=writers)
    def rotate(self, written: Written) -> None:
        if not written.writer.closed:
            written.writer.rotate()

    @rule(written=writers, consumer=st.sampled_from(CONSUMERS), entries=st.integers(1, 9), room=st.integers(1, 500))
    def read_on(self, written: Written, consumer: str, entries: int, room: int) -> None:
        under_way = written.read[consumer]
        if written.present:
            start = under_way[-1].position if under_way else None
            batch = written.journal.read(consumer, max_entries=entries, max_bytes=room, start=start)
            numbers = _numbers(batch)
            assert numbers == sorted(numbers)
            assert set(numbers) <= set(written.entries)
            if batch.entries:
                under_way.append(batch)

    @rule(written=writers, consumer=st.sampled_from(CONSUMERS), which=st.integers(0, 5))
    def acknowledge(self, written: Written, consumer: str, which: int) -> None:
        under_way = written.read[consumer]
        if under_way and written.present:
            batch = under_way[which % len(under_way)]
            written.acknowledged[consumer].update(_numbers(batch))
            written.journal.acknowledge(consumer, batch.position, batch.first)
            if under_way == [batch]:
                under_way.clear()

    @rule(written=writers)
    def restart_the_reader(self, written: Written) -> None:
        if written.present:
            written.reopen()

    @rule(written=consumes(writers), data=st.data())
    def die_in_the_middle_of_an_entry(self, written: Written, data: Any) -> None:
        if written.writer.closed:
            return
        whole = frame(ENTRY, msgpack.encode((0, "never acknowledged")))
        with max(written.writer.folder.glob("*.seg")).open("ab") as file:
            file.write(whole[: data.draw(st.integers(0, len(whole) - 1))])
        written.writer.close()

    @rule(consumer=st.sampled_from(CONSUMERS))
    def adopt(self, consumer: str) -> None:
        by_id = {written.writer.id: written for written in self.all}
        for journal in adoptable(self.root, consumers=[consumer], keep_bytes=0):
            written = by_id[journal.id]
            assert written.writer.closed
            while (batch := journal.read(consumer, max_entries=4)).entries:
                written.acknowledged[consumer].update(_numbers(batch))
                journal.acknowledge(consumer, batch.position)
            journal.release_ship()
            written.reopen()

    @rule()
    def tidy(self) -> None:
        assert tidy(self.root, keep_bytes=0) == {}

    @invariant()
    def who_lives_is_known(self) -> None:
        for written in self.all:
            if written.present:
                assert Journal.open(written.writer.folder).alive is not written.writer.closed


JournalModel.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],  # explaining traces every line, which takes minutes
)
TestJournal = JournalModel.TestCase
