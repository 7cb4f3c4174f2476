"""A disk that holds up a `write` holds one call: a pipe that is full stands in for it, and blocks as truly."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from posemon_otel.journal import Journal, Writer
from posemon_otel.journal import writer as writer_module
from posemon_otel.journal.aside import Aside
from posemon_otel.journal.segment import frame
from tests.journal.conftest import TAG


class Stalled:
    """A writer one of whose threads is inside a `write` that does not return before `release`."""

    def __init__(self, writer: Writer) -> None:
        self._writer, self._number = writer, writer._fd
        self._disk = os.dup(self._number)
        self._reading, full = os.pipe()
        os.set_blocking(full, False)
        try:
            while True:
                os.write(full, bytes(4096))
        except BlockingIOError:
            os.set_blocking(full, True)
        os.dup2(full, self._number, inheritable=False)
        os.close(full)
        self._thread = threading.Thread(target=lambda: writer.append(TAG, "held up"))
        self._thread.start()
        deadline = time.monotonic() + 10
        while writer._busy is None and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.05)  # from there to the system call
        os.dup2(self._disk, self._number, inheritable=False)

    def release(self) -> None:
        """The disk moves again."""
        if self._reading >= 0:
            while self._thread.is_alive():
                os.read(self._reading, 1 << 20)
                self._thread.join(0.05)
            os.close(self._reading)
            os.close(self._disk)
            self._reading = -1


@pytest.fixture
def stall(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Writer], Stalled]]:
    monkeypatch.setattr(writer_module, "PATIENCE", 0.1)
    made: list[Stalled] = []

    def build(writer: Writer) -> Stalled:
        made.append(Stalled(writer))
        return made[-1]

    yield build
    for one in made:
        one.release()


def test_a_stalled_write_holds_one_call_and_the_others_entries_follow(make, drain, stall):
    writer = make()
    writer.append(TAG, "before")
    stalled = stall(writer)
    began = time.monotonic()
    for number in range(1_000):
        writer.append(TAG, number)
    assert 0.1 <= time.monotonic() - began < 5.0  # the first waits a moment, the others for nothing
    assert writer.waiting
    journal = Journal.open(writer.folder)
    assert drain(journal) == ["before"]
    stalled.release()
    assert not writer.waiting
    writer.append(TAG, "after")
    assert drain(journal) == [*range(1_000), "after"]
    assert writer.stalled == {}


def test_housekeeping_and_the_end_do_not_wait_for_a_stalled_disk(make, stall):
    writer = make()
    stalled = stall(writer)
    writer.append(TAG, "aside")
    began = time.monotonic()
    assert writer.mend() is False
    writer.close()
    assert time.monotonic() - began < 5.0
    assert not writer.closed  # nobody may take it for dead: the entries are still to come
    stalled.release()
    writer.close()
    assert writer.closed


def test_whoever_comes_next_writes_what_was_set_aside(make, drain, stall):
    writer = make()
    stalled = stall(writer)
    writer.append(TAG, "aside")
    writer._stalled = False  # as if the held-up call had returned a moment before it was set aside
    stalled.release()
    writer._stalled = True
    assert writer.mend() is False
    assert drain(Journal.open(writer.folder)) == ["aside"]


def test_what_is_too_much_goes_oldest_first_and_is_counted(make, drain, stall):
    writer = make(memory_bytes=10_000)
    stalled = stall(writer)
    for number in range(30):
        writer.append(TAG, [number, "x" * 1_000])
    stalled.release()
    left = [number for number, _ in drain(Journal.open(writer.folder))]
    assert left == list(range(30 - len(left), 30))
    assert 5 < len(left) < 10
    assert writer.stalled == {("otlp", TAG): 30 - len(left), ("records", TAG): 30 - len(left)}


def test_a_forked_child_has_nothing_of_what_its_parent_set_aside(make, stall):
    writer = make()
    stalled = stall(writer)
    writer.append(TAG, "aside")
    child = os.fork()
    if child == 0:
        os._exit(0 if writer.closed and not writer.waiting else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert writer.waiting
    stalled.release()


def test_what_cannot_be_written_yet_stays_first_in_line():
    aside = Aside(100)
    entries = [frame(TAG, bytes([number])) for number in range(3)]
    for entry in entries:
        aside.add(entry)
    first = aside.take()
    assert first == entries[0]
    aside.give_back(first)
    assert [aside.take() for _ in range(4)] == [*entries, None]
