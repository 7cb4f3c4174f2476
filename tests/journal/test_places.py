"""A writer whose folder fails goes on elsewhere and comes back; its readers see one journal."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from posemon_otel.journal import Journal, JournalError, Writer, adoptable, afterwards, appender, journals, tidy
from posemon_otel.journal.own import Memory, OwnFolder
from tests.journal.conftest import CONSUMERS, HEAD, TAG

MIB = 1024 * 1024
LARGE = "x" * 10_000


@pytest.fixture
def spare(tmp_path: Path) -> Path:
    return tmp_path / "spare"


@pytest.fixture
def standing_by(make: Callable[..., Writer], spare: Path) -> Callable[..., Writer]:
    """A writer with a spare folder and memory."""

    def build(**settings: object) -> Writer:
        return make(**{"spare_roots": [spare], "memory_bytes": MIB, "segment_bytes": 50_000, **settings})

    return build


class Broken:
    """A place that refuses to begin a segment, and whose segments take nothing more, until it is mended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: int = errno.ENOSPC) -> None:
        self.places: set[object] = set()
        begin, write = OwnFolder.begin, os.write

        def refuse(place: OwnFolder, *arguments: object) -> object:
            if place in self.places:
                raise OSError(error, os.strerror(error))
            return begin(place, *arguments)

        def refuse_writes(descriptor: int, data: bytes) -> int:
            for place in self.places:
                if isinstance(place, OwnFolder):
                    for number in place.numbers():
                        if os.fstat(descriptor).st_ino == (place.path / f"{number:08d}.seg").stat().st_ino:
                            raise OSError(error, os.strerror(error))
            return write(descriptor, data)

        monkeypatch.setattr(OwnFolder, "begin", refuse)
        monkeypatch.setattr(appender, "_write", refuse_writes)


def where(writer: Writer) -> str:
    now = writer.places.now
    return "memory" if isinstance(now, Memory) else now.root.name


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_the_way_leads_from_the_folder_over_the_spare_one_to_memory_and_back(standing_by, drain, monkeypatch, error):
    writer = standing_by()
    journal = Journal.of(writer)
    broken = Broken(monkeypatch, error)
    said = []

    def say(word: str) -> None:
        writer.append(TAG, word)
        said.append(word)

    say("at home")
    assert where(writer) == "worker"
    broken.places.add(writer.places.home)
    say("in the spare folder")
    assert where(writer) == "spare"
    broken.places.update(writer.places.all())
    say("in memory")
    assert where(writer) == "memory"
    assert [trouble.error.errno for trouble in writer.places.troubles] == [error, error]
    assert not writer.go_home()
    assert journal.alive
    broken.places.clear()
    assert writer.go_home()
    say("at home again")
    assert where(writer) == "worker"
    assert writer.places.troubles == []
    assert drain(journal) == said
    assert drain(journal, "records") == said
    assert writer.dropped == {"otlp": 0, "records": 0}


def test_marks_and_batches_under_way_outlast_the_move(standing_by, drain, monkeypatch):
    writer = standing_by()
    journal = Journal.of(writer)
    for number in range(5):
        writer.append(TAG, number)
    under_way = journal.read("otlp", max_entries=3)
    Broken(monkeypatch).places.add(writer.places.home)
    for number in range(5, 10):
        writer.append(TAG, number)
    journal.acknowledge("otlp", under_way.position, under_way.first)
    assert drain(journal) == list(range(3, 10))
    assert journal.passed(["otlp"])
    assert not journal.passed()


def test_what_stands_in_memory_is_brought_home_and_outlives_the_process(standing_by, root, spare, drain, monkeypatch):
    writer = standing_by(spare_roots=[])
    broken = Broken(monkeypatch)
    writer.append(TAG, "before")
    broken.places.add(writer.places.home)
    writer.append(TAG, "in memory")
    broken.places.clear()
    assert writer.go_home()
    assert not any(isinstance(place, Memory) for place in writer.places.parts)
    writer.close()
    assert drain(next(adoptable(root, consumers=["otlp"]))) == ["before", "in memory"]


def test_an_emptied_spare_folder_is_removed_on_the_way_home(standing_by, spare, drain, monkeypatch):
    writer = standing_by()
    broken = Broken(monkeypatch)
    broken.places.add(writer.places.home)
    writer.append(TAG, "one")
    broken.places.clear()
    assert writer.go_home()
    assert len(list(spare.iterdir())) == 1
    for consumer in CONSUMERS:
        drain(Journal.of(writer), consumer)
    assert writer.go_home()
    assert list(spare.iterdir()) == []


def test_a_spare_folder_is_adopted_like_any_other(standing_by, root, spare, drain, monkeypatch):
    writer = standing_by()
    Broken(monkeypatch).places.add(writer.places.home)
    writer.append(TAG, "one")
    journal = Journal.of(writer)
    assert journal.try_ship()
    assert list(adoptable(spare, consumers=["otlp"])) == []
    writer.append(TAG, "two")
    journal.acknowledge("otlp", journal.read("otlp", max_entries=1).position)
    journal.release_ship()
    writer.close()
    assert drain(next(adoptable(spare, consumers=["otlp"]))) == ["two"]
    # what is open was carried on: nobody shall take it for interrupted because its end is not here
    assert [afterwards.is_completed(journal) for journal in journals(root)] == [True]
    assert [afterwards.is_completed(journal) for journal in journals(spare)] == [False]


def test_memory_is_bounded_the_oldest_goes_and_is_counted(root, drain):
    root.parent.mkdir(parents=True)
    root.write_text("in the way")
    writer = Writer(root, head=HEAD, consumers=CONSUMERS, memory_bytes=MIB)
    journal = Journal.of(writer)
    first = journal.read("records", max_entries=1)
    for number in range(500):
        writer.append(TAG, [number, LARGE])
        assert sum(segment.size for segment in journal.segments()) <= MIB
    left = [number for number, _ in drain(journal)]
    assert left == list(range(500 - len(left), 500))
    assert 50 < len(left) < 105
    assert writer.dropped == {"otlp": 500 - len(left), "records": 500 - len(left)} == journal.dropped
    assert first.entries == []
    with pytest.raises(JournalError, match="no room"):
        writer.append(TAG, "x" * MIB)
    writer.append(TAG, "goes on")
    assert drain(journal) == ["goes on"]
    writer.close()
    assert not journal.alive
    assert journal.segments() == []


def test_what_was_passed_leaves_memory_at_once(root, drain):
    root.parent.mkdir(parents=True)
    root.write_text("in the way")
    writer = Writer(root, head=HEAD, consumers=CONSUMERS, memory_bytes=MIB)
    journal = Journal.of(writer)
    for _ in range(2_000):
        writer.append(TAG, LARGE)
        for consumer in CONSUMERS:
            assert len(drain(journal, consumer)) == 1
    assert writer.dropped == {"otlp": 0, "records": 0}
    assert len(journal.segments()) == 1
    writer.close()


def test_a_full_disk_gives_up_what_is_only_kept_before_anything_else(standing_by, drain, monkeypatch):
    writer = standing_by(segment_bytes=2_000)
    journal = Journal.of(writer)
    for number in range(10):
        writer.append(TAG, [number, "x" * 1_500])
    for consumer in CONSUMERS:
        drain(journal, consumer)
    assert len(journal.segments()) == 10
    write, refused = os.write, []

    def full_once(descriptor: int, data: bytes) -> int:
        if not refused and len(journal.segments()) > 1:
            refused.append(data)
            raise OSError(errno.ENOSPC, "no space")
        return write(descriptor, data)

    begin = OwnFolder.begin

    def full(place: OwnFolder, number: int, content: bytes) -> object:
        if len(journal.segments()) > 1:
            raise OSError(errno.ENOSPC, "no space")
        return begin(place, number, content)

    monkeypatch.setattr(OwnFolder, "begin", full)
    monkeypatch.setattr(appender, "_write", full_once)
    writer.append(TAG, "goes on")
    assert where(writer) == "worker"
    assert drain(journal) == ["goes on"]
    assert writer.dropped == {"otlp": 0, "records": 0}


@pytest.mark.parametrize("what", ["the service's folder", "the writer's folder", "its files", "the segment"])
def test_what_is_removed_is_put_back_with_what_was_appended_meanwhile(standing_by, root, drain, what):
    writer = standing_by()
    journal = Journal.of(writer)
    assert journal.try_ship()
    writer.append(TAG, "delivered")
    assert drain(journal) == ["delivered"]
    writer.append(TAG, "before")
    if what == "the service's folder":
        shutil.rmtree(root)
    elif what == "the writer's folder":
        shutil.rmtree(writer.folder)
    elif what == "its files":
        for file in writer.folder.iterdir():
            file.unlink()
    else:
        (writer.folder / "00000001.seg").unlink()
    writer.append(TAG, "unseen")
    assert writer.mend()
    assert not writer.mend()
    writer.append(TAG, "after")
    assert Journal.open(writer.folder).alive
    assert journal.try_ship()
    assert drain(journal) == ["before", "unseen", "after"]
    assert writer.places.removed == {}
    journal.release_ship()
    writer.close()
    assert drain(next(adoptable(root, consumers=["records"])), "records") == ["delivered", "before", "unseen", "after"]


def test_what_went_with_the_folder_is_counted_for_who_had_it_before_him(standing_by, drain):
    writer = standing_by(segment_bytes=2_000)
    journal = Journal.of(writer)
    for number in range(10):
        writer.append(TAG, [number, "x" * 1_500])
    drain(journal)
    shutil.rmtree(writer.folder)
    writer.append(TAG, "new")
    assert writer.mend()
    assert writer.places.removed == {("records", TAG): 9}
    assert [record[0] for record in drain(journal, "records")[:1]] == [9]
    assert drain(journal) == ["new"]


def test_a_folder_that_cannot_be_put_back_is_replaced(standing_by, root, drain):
    writer = standing_by()
    journal = Journal.of(writer)
    writer.append(TAG, "before")
    shutil.rmtree(root)
    root.write_text("in the way")
    writer.append(TAG, "unseen")
    assert writer.mend()
    assert where(writer) == "spare"
    writer.append(TAG, "after")
    assert drain(journal) == ["before", "unseen", "after"]
    assert not writer.go_home()
    root.unlink()
    assert writer.go_home()
    writer.append(TAG, "home")
    assert drain(journal) == ["home"]


def test_without_anything_that_stands_in_the_removed_is_told_and_tried_again(make, root, drain):
    writer = make()
    writer.append(TAG, "before")
    shutil.rmtree(root)
    root.write_text("in the way")
    with pytest.raises(OSError):
        writer.mend()
    root.unlink()
    assert writer.mend()
    assert drain(Journal.of(writer)) == ["before"]


def test_no_place_at_all_is_an_error(root, spare):
    root.parent.mkdir(parents=True)
    for file in (root, spare):
        file.write_text("in the way")
    with pytest.raises(JournalError, match="no folder"):
        Writer(root, head=HEAD, consumers=CONSUMERS, spare_roots=[spare])
    assert root.read_text() == spare.read_text() == "in the way"


def test_a_forked_child_gives_back_the_memory_and_leaves_the_parents_alone(root, drain):
    root.parent.mkdir(parents=True)
    root.write_text("in the way")
    writer = Writer(root, head=HEAD, consumers=CONSUMERS, memory_bytes=MIB)
    writer.append(TAG, "parent")
    journal = Journal.of(writer)
    assert journal.try_ship()
    child = os.fork()
    if child == 0:
        try:
            writer.append(TAG, "child")
        except JournalError:
            os._exit(0 if writer.closed and not journal.alive and not journal.segments() else 1)
        os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    writer.append(TAG, "still the parent")
    assert drain(journal) == ["parent", "still the parent"]
    writer.close()


def test_dead_folders_of_a_root_that_may_not_be_read_are_nobodys(tmp_path):
    (tmp_path / "file").touch()
    assert list(journals(tmp_path / "file")) == []
    assert tidy(tmp_path / "file") == {}


def test_a_reader_skips_nothing_of_a_writer_that_moves_while_it_looks(standing_by, drain, monkeypatch):
    writer, broken = standing_by(segment_bytes=500), Broken(monkeypatch)
    journal, home = Journal.of(writer), writer.places.home
    assert journal.try_ship()
    broken.places.add(home)
    writer.append(TAG, [0])
    broken.places.clear()
    assert writer.go_home()
    assert len(writer.places.parts) == 2
    assert drain(journal) == [[0]]
    numbers, moved = OwnFolder.numbers, []

    def move_in_between(place: OwnFolder) -> list[int]:
        found = numbers(place)
        if place is home and not moved:
            moved.append(True)
            for number in range(1, 40):  # several segments at home, then some elsewhere
                if number == 20:
                    broken.places.add(home)
                writer.append(TAG, [number, "x" * 100])
        return found

    with monkeypatch.context() as patched:
        patched.setattr(OwnFolder, "numbers", move_in_between)
        assert [record[0] for record in drain(journal)] == list(range(1, 40))
    journal.release_ship()


def test_going_to_and_fro_leaves_no_descriptor_open(standing_by, drain, monkeypatch):
    writer, broken = standing_by(), Broken(monkeypatch)
    journal = Journal.of(writer)
    assert journal.try_ship()
    counts = set()
    for number in range(10):
        for places in ([writer.places.home], writer.places.all(), []):
            broken.places.clear()
            broken.places.update(places)
            writer.append(TAG, number)
        assert writer.go_home()
        writer.append(TAG, number)
        assert len(drain(journal)) == len(drain(journal, "records")) == 4
        assert writer.go_home()
        counts.add(len(list(Path("/proc/self/fd").iterdir())))
    assert len(counts) == 1
    journal.release_ship()
