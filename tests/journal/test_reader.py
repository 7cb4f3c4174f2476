from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from posemon_otel.journal import START, Journal, JournalError, Mark, Position, positions
from posemon_otel.journal.segment import Head, encode_head, frame, read_head, scan
from tests.journal.conftest import CONSUMERS, HEAD, TAG


def _records(batch):
    return [msgspec.msgpack.decode(payload) for _, payload in batch.entries]


def test_a_journal_says_what_its_writer_said(make):
    writer = make()
    journal = Journal.open(writer.folder)
    assert (journal.id, journal.head, journal.consumers, journal.alive) == (writer.id, HEAD, CONSUMERS, True)
    writer.close()
    assert not journal.alive


def test_each_consumer_reads_at_its_own_pace(make, drain):
    writer = make()
    for index in range(10):
        writer.append(TAG, index)
    journal = Journal.open(writer.folder)
    assert drain(journal, "otlp", max_entries=3) == list(range(10))
    batch = journal.read("records", max_entries=4)
    assert _records(batch) == [0, 1, 2, 3]
    assert _records(journal.read("records", max_entries=4)) == [0, 1, 2, 3]
    journal.acknowledge("records", batch.position)
    assert _records(journal.read("records")) == [4, 5, 6, 7, 8, 9]


def test_marks_outlive_the_reader(make, drain):
    writer = make(segment_bytes=200)
    for index in range(20):
        writer.append(TAG, f"{index}" * 20)
    first = Journal.open(writer.folder)
    first.acknowledge("otlp", first.read("otlp", max_entries=7).position)
    again = Journal.open(writer.folder)
    assert drain(again) == [f"{index}" * 20 for index in range(7, 20)]
    assert drain(Journal.open(writer.folder)) == []


def test_a_mark_that_cannot_be_read_only_means_reading_twice(make, drain):
    writer = make()
    writer.append(TAG, "entry")
    assert drain(Journal.open(writer.folder)) == ["entry"]
    for broken in (b"", b"{", b"[]", b'{"low": [1, 2], "ranges": []}', b'{"low": "abc", "ranges": []}'):
        (writer.folder / "position-otlp.json").write_bytes(broken)
        assert drain(Journal.open(writer.folder)) == ["entry"]


def test_batches_are_bounded_in_bytes_and_an_entry_is_always_whole(make):
    writer = make()
    sizes = [10, 5_000, 10, 10, 200_000, 10]
    for size in sizes:
        writer.append(TAG, bytes(size))
    journal = Journal.open(writer.folder)
    for room in (1, 8, 100, 6_000, 10_000_000):
        found, start = [], None
        while (batch := journal.read("otlp", max_bytes=room, start=start)).entries:
            taken = sum(len(payload) + 9 for _, payload in batch.entries)
            assert taken <= room or len(batch.entries) == 1
            found += [len(record) for record in _records(batch)]
            start = batch.position
        assert found == sizes


def test_reading_on_while_a_batch_is_under_way_and_acknowledging_out_of_order(make, drain):
    writer = make(segment_bytes=150)
    for index in range(30):
        writer.append(TAG, f"{index:02d}" * 10)
    journal = Journal.open(writer.folder)
    batches, start = [], None
    while (batch := journal.read("otlp", max_entries=4, start=start)).entries:
        batches.append(batch)
        start = batch.position
    assert [record for batch in batches for record in _records(batch)] == [f"{index:02d}" * 10 for index in range(30)]

    for batch in batches[1::2]:
        journal.acknowledge("otlp", batch.position, batch.first)
    assert journal.mark("otlp").low == START
    again = Journal.open(writer.folder)  # the ranges are saved, too
    expected = [record for batch in batches[0::2] for record in _records(batch)]
    assert drain(again) == expected
    assert again.mark("otlp").ranges == []
    assert again.lag("otlp") == (0, 0, None)


def test_what_comes_while_reading_is_read_next(make, drain):
    writer = make(segment_bytes=500)
    journal = Journal.open(writer.folder)
    assert journal.read("otlp").entries == []
    seen = []
    for index in range(100):
        writer.append(TAG, f"{index}" * 9)
        if index % 3 == 0:
            seen += drain(journal)
    assert seen + drain(journal) == [f"{index}" * 9 for index in range(100)]


@pytest.mark.parametrize("living", [True, False])
def test_a_tail_cut_at_any_byte(make, drain, living):
    writer = make()
    for index in range(3):
        writer.append(TAG, f"entry {index}")
    path = writer.folder / "00000001.seg"
    whole = path.read_bytes()
    start = len(whole) - len(frame(TAG, msgspec.msgpack.encode("entry 2")))
    if not living:
        writer.close()
    for cut in range(start, len(whole)):
        (writer.folder / "position-otlp.json").unlink(missing_ok=True)
        path.write_bytes(whole[:cut])
        journal = Journal.open(writer.folder)
        batch = journal.read("otlp")
        assert _records(batch) == ["entry 0", "entry 1"]
        assert batch.position.offset == (start if living else cut)
        assert batch.damaged == (0 if living else cut - start)
        journal.acknowledge("otlp", batch.position)
        assert journal.passed(["otlp"]) is (cut == start or not living)
        if living:
            path.write_bytes(whole)  # the rest of the write arrives
            assert drain(journal) == ["entry 2"]


def test_damage_ends_a_sealed_segment_and_the_next_one_is_read(make, drain):
    writer = make()
    for name in ("first", "second"):
        writer.append(TAG, name)
    path = writer.folder / "00000001.seg"
    content = bytearray(path.read_bytes())
    content[-1] ^= 0xFF
    path.write_bytes(content)
    journal = Journal.open(writer.folder)
    assert drain(journal) == ["first"]
    writer.rotate()
    writer.append(TAG, "third")
    batch = journal.read("otlp")
    assert (_records(batch), batch.damaged) == (["third"], len(frame(TAG, msgspec.msgpack.encode("second"))))


def test_zeros_left_by_a_power_cut_are_no_entries(make, drain):
    writer = make()
    writer.append(TAG, "first")
    with (writer.folder / "00000001.seg").open("ab") as file:
        file.write(bytes(4096))
    writer.close()
    assert drain(Journal.open(writer.folder)) == ["first"]


def test_a_reader_goes_on_behind_segments_that_went(make, drain):
    writer = make()
    writer.append(TAG, "lost")
    journal = Journal.open(writer.folder)
    assert _records(journal.read("otlp")) == ["lost"]
    writer.rotate()
    writer.append(TAG, "second")
    (writer.folder / "00000001.seg").unlink()
    assert drain(journal) == ["second"]


def test_lag_is_what_waits(make, drain):
    writer = make(segment_bytes=100)
    journal = Journal.open(writer.folder)
    assert journal.lag("otlp") == (0, 0, None)
    assert journal.passed()
    for index in range(6):
        writer.append(TAG, f"{index}" * 30)
    lag = journal.lag("otlp")
    assert (lag.segments, lag.oldest) == (len(journal.segments()), (TAG, msgspec.msgpack.encode("0" * 30)))
    assert lag.bytes > 6 * 30
    batch = journal.read("otlp", max_entries=5)
    journal.acknowledge("otlp", batch.position)
    lag = Journal.open(writer.folder).lag("otlp")
    assert lag.oldest == (TAG, msgspec.msgpack.encode("5" * 30))
    assert not journal.passed()
    drain(journal)
    assert journal.lag("otlp") == (0, 0, None)
    assert journal.passed(["otlp"])
    assert not journal.passed()


def test_the_bytes_that_wait_are_exact_within_a_segment(make):
    writer = make()
    for name in ("first", "second"):
        writer.append(TAG, name)
    journal = Journal.open(writer.folder)
    both = sum(len(frame(TAG, msgspec.msgpack.encode(name))) for name in ("first", "second"))
    assert journal.lag("otlp").bytes == both
    journal.acknowledge("otlp", journal.read("otlp", max_entries=1).position)
    assert journal.lag("otlp").bytes == len(frame(TAG, msgspec.msgpack.encode("second")))


def test_looking_at_everything_gives_the_places_where_it_stands(make):
    writer = make(segment_bytes=200, prelude=lambda: [(9, "scope")])
    for index in range(12):
        writer.append(TAG, f"{index}" * 10)
    journal = Journal.open(writer.folder)
    found = list(journal.entries())
    for position, tag, payload in found:
        data = (writer.folder / f"{position.segment:08d}.seg").read_bytes()[position.offset :]
        assert scan(data, 1).entries == [(tag, payload)]
        assert [(tag, payload)] == [(tag, payload) for _, tag, payload in [next(journal.entries(position))]]
    assert [position for position, _, _ in found] == sorted(position for position, _, _ in found)
    assert len([tag for _, tag, _ in found if tag == TAG]) == 12
    last = journal.segments()[-1].number
    assert next(journal.entries(Position(last, 0, 0)))[1] == 9


def test_positions_count_entries_within_their_segment(make):
    writer = make()
    for index in range(5):
        writer.append(TAG, index)
    journal = Journal.open(writer.folder)
    assert [position.entry for position, _, _ in journal.entries()] == [0, 1, 2, 3, 4]
    assert journal.read("otlp", max_entries=3).position.entry == 3


def test_what_all_have_passed_goes_beyond_what_is_kept(make, drain):
    writer = make(segment_bytes=100)
    for index in range(20):
        writer.append(TAG, f"{index:02d}" * 30)
    journal = Journal.open(writer.folder, keep_bytes=500)
    count = len(journal.segments())
    drain(journal, "otlp")
    assert len(journal.segments()) == count
    drain(journal, "records")
    left = journal.segments()
    assert sum(segment.size for segment in left[:-1]) <= 500
    assert left[-1].number == count
    assert len(left) > 2
    writer.append(TAG, "on")
    assert drain(journal, "otlp") == ["on"]


def test_a_folder_without_consumers_keeps_no_more_than_is_kept(make):
    writer = make(consumers=[], segment_bytes=100, keep_bytes=500)
    for index in range(50):
        writer.append(TAG, f"{index:02d}" * 30)
    assert sum(segment.size for segment in Journal.open(writer.folder).segments()[:-1]) <= 500
    assert writer.dropped == {}


def test_beyond_the_cap_the_oldest_goes_and_is_counted_for_who_lost_it(make, drain):
    writer = make(segment_bytes=400, cap_bytes=1_000, keep_bytes=0)
    for index in range(3):
        writer.append(TAG, f"{index:03d}" * 20)
    journal = Journal.open(writer.folder)
    journal.acknowledge("otlp", journal.read("otlp").position)
    for index in range(3, 100):
        writer.append(TAG, f"{index:03d}" * 20)
    sizes = [segment.size for segment in journal.segments()]
    assert sum(sizes[:-1]) <= 1_000
    left = drain(Journal.open(writer.folder), "records")
    assert left == [f"{index:03d}" * 20 for index in range(100 - len(left), 100)]
    assert writer.dropped == {"otlp": 100 - len(left) - 3, "records": 100 - len(left)}
    assert journal.dropped == writer.dropped
    assert drain(journal, "otlp") == left


def test_losing_the_count_on_a_full_disk_stops_nothing(make, monkeypatch):
    from posemon_otel.journal import retention

    def full(_path: Path, _content: bytes) -> None:
        raise OSError("no space")

    monkeypatch.setattr(retention, "replace", full)
    writer = make(segment_bytes=400, cap_bytes=1_000)
    for index in range(50):
        writer.append(TAG, f"{index:03d}" * 20)
    assert writer.dropped["otlp"] > 20
    assert Journal.open(writer.folder).dropped == {}


def test_a_mark_that_cannot_be_saved_moves_all_the_same(make, drain, monkeypatch):
    def full(_folder: Path, _consumer: str, _mark: Mark) -> None:
        raise OSError("no space")

    writer = make()
    writer.append(TAG, "entry")
    journal = Journal.open(writer.folder)
    batch = journal.read("otlp")
    with monkeypatch.context() as patched:
        patched.setattr(positions, "store", full)
        assert journal.acknowledge("otlp", batch.position) is False
    assert drain(journal) == []
    assert drain(Journal.open(writer.folder)) == ["entry"]


def test_an_unknown_format_is_refused(make):
    writer = make()
    path = writer.folder / "00000001.seg"
    head = msgspec.msgpack.encode({"format": 2, "head": {}, "consumers": [], "created": 0})
    path.write_bytes(frame(0, head))
    with pytest.raises(JournalError, match="format 2"):
        Journal.open(writer.folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        bytes(64),
        frame(0, b"\xc1"),
        frame(0, msgspec.msgpack.encode([1])),
        frame(0, msgspec.msgpack.encode({"format": 1})),
        frame(1, msgspec.msgpack.encode("no head")),
        encode_head(Head(HEAD, CONSUMERS, 0))[:-1],
    ],
    ids=["empty", "a byte", "zeros", "no MessagePack", "a list", "no fields", "another tag", "cut"],
)
def test_a_segment_without_a_head_is_passed_over(make, content):
    writer = make()
    writer.rotate()
    (writer.folder / "00000001.seg").write_bytes(content)
    assert Journal.open(writer.folder).head == HEAD
    (writer.folder / "00000002.seg").unlink()
    with pytest.raises(JournalError, match="no head"):
        Journal.open(writer.folder)


def test_a_folder_without_segments_is_no_journal(tmp_path):
    with pytest.raises(JournalError, match="no segment"):
        Journal.open(tmp_path)
    with pytest.raises(JournalError, match="no folder"):
        Journal.open(tmp_path / "missing")


def test_the_right_to_ship_is_one_readers(make):
    writer = make()
    first, second = Journal.open(writer.folder), Journal.open(writer.folder)
    assert not first.shipped_by_somebody
    assert first.try_ship()
    assert first.try_ship()
    assert (first.shipping, second.try_ship(), second.shipping) == (True, False, False)
    assert second.shipped_by_somebody
    first.release_ship()
    assert second.try_ship()


def test_who_takes_over_reads_the_marks_anew(make, drain):
    writer = make()
    writer.append(TAG, "entry")
    first, second = Journal.open(writer.folder), Journal.open(writer.folder)
    assert len(second.read("otlp").entries) == 1
    assert first.try_ship()
    assert drain(first) == ["entry"]
    first.release_ship()
    assert second.try_ship()
    assert second.read("otlp").entries == []
    second.release_ship()


def test_two_processes_move_different_consumers_without_undoing_each_other(make, drain):
    writer = make()
    for index in range(4):
        writer.append(TAG, index)
    first, second = Journal.open(writer.folder), Journal.open(writer.folder)
    for journal, consumer in ((first, "otlp"), (second, "records")) * 2:
        journal.acknowledge(consumer, journal.read(consumer, max_entries=2).position)
    assert Journal.open(writer.folder).passed()
    assert json.loads((writer.folder / "position-otlp.json").read_bytes())["low"][2] == 4


def test_another_users_journal_is_not_opened(make):
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    writer = make()
    os.chown(writer.folder, 12345, 12345)
    with pytest.raises(JournalError, match="another user"):
        Journal.open(writer.folder)


def test_marks_merge_what_is_acknowledged():
    def at(offset: int) -> Position:
        return Position(1, offset, offset)

    mark = Mark(at(10))
    mark.acknowledge(at(30), at(40))
    mark.acknowledge(at(50), at(60))
    mark.acknowledge(at(40), at(50))
    assert (mark.low, mark.ranges) == (at(10), [(at(30), at(60))])
    assert (mark.skip(at(29)), mark.skip(at(30)), mark.next_range(at(10))) == (at(29), at(60), at(30))
    mark.acknowledge(at(5), at(8))
    mark.acknowledge(at(20), at(20))
    assert (mark.low, mark.ranges) == (at(10), [(at(30), at(60))])
    mark.acknowledge(at(10), at(30))
    assert (mark.low, mark.ranges) == (at(60), [])


def test_a_head_tells_when_it_was_begun(make):
    import time

    before = time.time_ns()
    writer = make()
    assert before <= read_head(writer.folder / "00000001.seg").created <= time.time_ns()
