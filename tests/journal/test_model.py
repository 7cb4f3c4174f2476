"""What was acknowledged as written is read back, in order, by every consumer: whatever happens in between."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from msgspec import msgpack

from posemon_otel.journal import Batch, Journal, Writer, adoptable, tidy
from posemon_otel.journal.segment import encode_head, frame

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

    @rule(written=consumes(writers), data=st.data())
    def die_in_the_middle_of_a_rotation(self, written: Written, data: Any) -> None:
        if written.writer.closed:
            return
        number = written.journal.segments()[-1].number + 1
        whole = encode_head(written.writer.head)
        draft = whole[: data.draw(st.integers(0, len(whole)))]
        (written.writer.folder / f"{number:08d}.new").write_bytes(draft)
        for consumer in data.draw(st.sets(st.sampled_from(CONSUMERS))):
            (written.writer.folder / f".position-{consumer}.json").write_bytes(b'{"low": [1,')
        written.writer.close()

    @rule(written=writers, consumer=st.sampled_from(CONSUMERS), torn=st.booleans())
    def lose_a_position(self, written: Written, consumer: str, torn: bool) -> None:
        if written.present:
            position = written.writer.folder / f"position-{consumer}.json"
            if torn:
                position.write_bytes(b'{"low": [')
            else:
                position.unlink(missing_ok=True)
            written.reopen()

    @rule(consumer=st.sampled_from(CONSUMERS))
    def adopt(self, consumer: str) -> None:
        self.take_over(adoptable(self.root, consumers=[consumer], keep_bytes=0), consumer)

    @rule(order=st.lists(st.booleans(), max_size=12), together=st.booleans())
    def two_adopt_at_once(self, order: list[bool], together: bool) -> None:
        consumers = CONSUMERS[0], CONSUMERS[0 if together else 1]
        both = [adoptable(self.root, consumers=[consumer], keep_bytes=0) for consumer in consumers]
        held: list[list[Journal]] = [[], []]
        for which in order:
            held[which] += [journal for journal in [next(both[which], None)] if journal is not None]
        assert not {journal.id for journal in held[0]} & {journal.id for journal in held[1]}
        for journals, rest, consumer in zip(held, both, consumers, strict=True):
            self.take_over([*journals, *rest], consumer)

    def take_over(self, journals: Iterable[Journal], consumer: str) -> None:
        by_id = {written.writer.id: written for written in self.all}
        for journal in journals:
            written = by_id[journal.id]
            assert written.writer.closed
            assert journal.shipping
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


class CappedModel(RuleBasedStateMachine):
    """What the cap costs is the oldest, and is counted, entry by entry, for who had it still before him."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        carried = [(PRELUDE, "carried")]
        self.writer = Writer(
            self.folder / "worker",
            head={},
            consumers=CONSUMERS,
            segment_bytes=300,
            cap_bytes=1_500,
            keep_bytes=0,
            prelude=lambda: carried,
        )
        self.journal = Journal.open(self.writer.folder, keep_bytes=0)
        self.acknowledged: dict[str, set[int]] = {consumer: set() for consumer in CONSUMERS}
        self.count = 0

    def teardown(self) -> None:
        for consumer in CONSUMERS:
            self.deliver(consumer, 10_000)
            missing = set(range(1, self.count + 1)) - self.acknowledged[consumer]
            assert self.writer.places.capped.get((consumer, ENTRY), 0) == len(missing)
        self.writer.close()
        shutil.rmtree(self.folder)

    @rule(size=st.integers(0, 150), times=st.integers(1, 10))
    def append(self, size: int, times: int) -> None:
        for _ in range(times):
            self.count += 1
            self.writer.append(ENTRY, (self.count, "x" * size))

    @rule(consumer=st.sampled_from(CONSUMERS), entries=st.integers(1, 9))
    def deliver(self, consumer: str, entries: int) -> None:
        while entries > 0 and (batch := self.journal.read(consumer, max_entries=entries)).entries:
            entries -= len(batch.entries)
            numbers = _numbers(batch)
            assert not self.acknowledged[consumer].intersection(numbers)
            self.acknowledged[consumer].update(numbers)
            self.journal.acknowledge(consumer, batch.position, batch.first)

    @rule(size=st.integers(400, 3_000))
    def change_the_cap(self, size: int) -> None:
        self.writer.cap_bytes = size

    @rule()
    def rotate(self) -> None:
        self.writer.rotate()

    @invariant()
    def what_is_left_is_the_newest(self) -> None:
        numbers = [msgpack.decode(payload)[0] for _, tag, payload in self.journal.entries() if tag == ENTRY]
        assert numbers == list(range(numbers[0], self.count + 1)) if numbers else True


class MovingModel(RuleBasedStateMachine):
    """A writer that is driven out of its folder and comes back: its readers see one journal, and so do its heirs."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.roots = self.folder / "worker", self.folder / "spare"
        self.writer = Writer(
            self.roots[0],
            head={},
            consumers=CONSUMERS,
            segment_bytes=400,
            keep_bytes=0,
            spare_roots=self.roots[1:],
            memory_bytes=64_000,
        )
        self.journal = Journal.of(self.writer)
        self.acknowledged: dict[str, set[int]] = {consumer: set() for consumer in CONSUMERS}
        self.count = 0

    def teardown(self) -> None:
        self.mend()
        self.come_home()
        assert self.writer.places.now is self.writer.places.home
        self.writer.close()
        for consumer in CONSUMERS:
            for root in self.roots:
                for journal in adoptable(root, consumers=[consumer], keep_bytes=0):
                    self.deliver(consumer, 10_000, journal)
                    journal.release_ship()
            assert self.acknowledged[consumer] == set(range(1, self.count + 1))
        shutil.rmtree(self.folder)

    @rule(size=st.integers(0, 200), times=st.integers(1, 6))
    def append(self, size: int, times: int) -> None:
        for _ in range(times):
            self.count += 1
            self.writer.append(ENTRY, (self.count, "x" * size))

    @rule(spare_too=st.booleans(), error=st.sampled_from([errno.ENOSPC, errno.EROFS, errno.EIO]))
    def a_folder_fails(self, spare_too: bool, error: int) -> None:
        def refuse(_number: int, _content: bytes) -> Any:
            raise OSError(error, "refused")

        for place in self.writer.places.all()[: 1 + spare_too]:
            cast("Any", place).begin = refuse
        self.writer._seal()  # nothing more goes into the segment either

    @rule()
    def mend(self) -> None:
        for place in self.writer.places.all():
            vars(place).pop("begin", None)

    @rule()
    def come_home(self) -> None:
        self.writer.go_home()

    @rule(consumer=st.sampled_from(CONSUMERS), entries=st.integers(1, 9))
    def deliver_some(self, consumer: str, entries: int) -> None:
        self.deliver(consumer, entries, self.journal)

    def deliver(self, consumer: str, entries: int, journal: Journal) -> None:
        while entries > 0 and (batch := journal.read(consumer, max_entries=entries)).entries:
            entries -= len(batch.entries)
            numbers = _numbers(batch)
            assert not self.acknowledged[consumer].intersection(numbers)
            self.acknowledged[consumer].update(numbers)
            journal.acknowledge(consumer, batch.position, batch.first)

    @rule()
    def restart_the_reader(self) -> None:
        self.journal = Journal.of(self.writer)

    @rule()
    def somebody_removes_the_segment(self) -> None:
        newest = self.journal.segments()[-1].number
        for root in self.roots:
            (root / self.writer.id / f"{newest:08d}.seg").unlink(missing_ok=True)
        self.writer.mend()

    @invariant()
    def what_waits_is_there(self) -> None:
        for consumer in CONSUMERS:
            waiting = self.count - len(self.acknowledged[consumer])
            assert (self.journal.lag(consumer).oldest is not None) == bool(waiting)
            assert not (waiting and self.journal.passed([consumer]))


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],  # explaining traces every line, which takes minutes
    )


TestJournal = JournalModel.TestCase
TestJournal.settings = _settings(40)
TestCapped = CappedModel.TestCase
TestCapped.settings = _settings(15)
TestMoving = MovingModel.TestCase
TestMoving.settings = _settings(15)
