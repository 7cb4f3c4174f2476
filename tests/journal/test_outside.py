"""Who ships: the process that wrote the journal, or one that ships for the whole service from outside."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap

from posemon_otel.journal import Journal
from posemon_otel.journal.outside import Outside, serves
from tests.journal.conftest import CONSUMERS, TAG


def test_a_writer_gives_the_right_up_and_gets_it_back(make, root, drain):
    writer = make()
    own, other = Journal.open(writer.folder), Journal.open(writer.folder)
    assert own.try_ship()
    assert not other.try_ship(outside=True)
    word = Outside(root, [*CONSUMERS, "further"])
    assert word.take()
    assert own.shipping  # until it asks the next time
    assert not own.try_ship()
    assert other.try_ship(outside=True)
    other.release_ship()
    word.release()
    assert not serves(root, CONSUMERS)
    assert own.try_ship()


def test_a_writer_that_owes_to_others_too_ships_by_itself(make, root):
    own = Journal.open(make().folder)
    word = Outside(root, CONSUMERS[:1])
    assert word.take()
    assert own.try_ship()
    word.release()


def test_one_at_a_time_ships_from_outside(make, root):
    make()
    first, second = Outside(root, CONSUMERS), Outside(root, CONSUMERS)
    assert first.take()
    assert first.take()
    assert not second.take()
    first.release()
    assert second.take()
    second.release()


def test_the_word_is_gone_with_the_process_that_gave_it(make, root):
    own = Journal.open(make().folder)
    code = f"""
        import sys
        from pathlib import Path
        from posemon_otel.journal.outside import Outside
        word = Outside(Path({str(root)!r}), {CONSUMERS!r})
        assert word.take()
        print("taken", flush=True)
        sys.stdin.read()
    """
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "taken\n"
        assert not own.try_ship()
    finally:
        other.kill()
        other.communicate(timeout=20)
    assert own.try_ship()


def test_a_word_that_cannot_be_read_counts_as_none(make, root):
    own = Journal.open(make().folder)
    word = Outside(root, CONSUMERS)
    assert word.take()
    for broken in ("", "{", "7", '[["x"]]'):
        (root / ".shipper").write_text(broken)
        assert own.try_ship()
    word.release()


def test_the_word_is_given_anew_where_the_folder_was_taken_away(make, root):
    make()
    word = Outside(root, CONSUMERS)
    assert word.take()
    shutil.rmtree(root)
    root.mkdir(mode=0o700)
    assert not serves(root, CONSUMERS)
    assert word.take()
    assert serves(root, CONSUMERS)
    word.release()


def test_marks_that_another_process_moves_are_seen(make, drain):
    writer = make()
    writer.append(TAG, 1)
    own, other = Journal.open(writer.folder), Journal.open(writer.folder)
    assert own.mark("otlp").low.entry == 0
    assert drain(other) == [1]
    assert own.mark("otlp").low == other.mark("otlp").low
    assert not own.read("otlp").entries
