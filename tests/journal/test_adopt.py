from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from posemon_otel.journal import Journal, JournalError, Writer, adopt, adoptable, journals, network_filesystem, tidy
from tests.journal.conftest import TAG

WRITE = """
    import os, sys
    from pathlib import Path
    from posemon_otel.journal import Journal, Writer, adoptable
    root = Path(sys.argv[1])
    def writer(**settings):
        return Writer(root, head={"resource": {}}, consumers=["otlp", "records"], **settings)
    def say(*words):
        print(*words, flush=True)
"""


def start(root: Path, code: str) -> subprocess.Popen[str]:
    script = textwrap.dedent(WRITE) + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", script, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def run(root: Path, code: str) -> str:
    process = start(root, code)
    output, _ = process.communicate(timeout=60)
    return output


def test_a_process_killed_right_after_an_append_keeps_all_of_it(root, drain):
    killed = run(
        root,
        """
        import signal
        from itertools import count
        w = writer(segment_bytes=5_000)
        for number in range(1_000):
            w.append(2, number)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    assert killed == ""
    (journal,) = adoptable(root, consumers=["otlp"])
    assert drain(journal) == list(range(1_000))
    journal.release_ship()


def test_what_a_process_said_it_wrote_is_there_whenever_it_is_killed(root, drain):
    process = start(
        root,
        """
        w = writer(segment_bytes=5_000)
        for number in range(10_000_000):
            w.append(2, number)
            say(number)
        """,
    )
    assert process.stdout is not None
    for _ in range(200):
        process.stdout.readline()
    process.kill()
    said = [int(line) for line in process.stdout.read().splitlines() if line][:-1]
    process.wait(30)
    process.communicate()
    (journal,) = adoptable(root, consumers=["otlp"])
    found = drain(journal)
    journal.release_ship()
    assert found == list(range(len(found)))
    assert len(found) > max(said, default=199)


def test_the_living_are_not_adopted_and_the_dead_only_once(root, make, drain):
    process = start(
        root,
        """
        w = writer()
        w.append(2, "theirs")
        say("ready")
        sys.stdin.readline()
        os._exit(1)
        """,
    )
    assert process.stdout is not None
    process.stdout.readline()
    make().append(TAG, "ours")
    assert list(adoptable(root, consumers=["otlp"])) == []
    assert [journal.alive for journal in journals(root)] == [True, True]
    process.communicate("\n", timeout=30)

    first, second = adoptable(root, consumers=["otlp"]), adoptable(root, consumers=["otlp"])
    journal = next(first)
    assert list(second) == []
    assert drain(journal) == ["theirs"]
    journal.release_ship()
    assert list(adoptable(root, consumers=["otlp"])) == []


def test_of_two_processes_exactly_one_adopts(root):
    run(root, "for _ in range(20): writer().append(2, 'entry')")
    code = """
        sys.stdin.readline()
        held = list(adoptable(root, consumers=["otlp"]))
        for journal in held:
            say(journal.id)
        say("done")
        sys.stdin.readline()
    """
    both = [start(root, code) for _ in range(2)]
    adopted: list[str] = []
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in both:
        assert process.stdout is not None
        while (line := process.stdout.readline().strip()) != "done":
            adopted.append(line)
    for process in both:
        process.communicate("\n", timeout=30)
    assert sorted(adopted) == sorted(journal.id for journal in journals(root))
    assert len(adopted) == 20


def test_adopters_take_the_consumers_they_have_and_leave_the_rest(make, root, drain):
    writer = make()
    writer.append(TAG, "entry")
    writer.close()
    assert list(adoptable(root, consumers=["metrics"])) == []
    for consumer in ("otlp", "records"):
        (journal,) = adoptable(root, consumers=[consumer, "metrics"])
        assert drain(journal, consumer) == ["entry"]
        journal.release_ship()
    assert list(adoptable(root, consumers=["otlp", "records"])) == []
    assert journal.passed()


def test_who_was_done_meanwhile_is_not_adopted(make, root, drain, monkeypatch):
    writer = make()
    writer.append(TAG, "entry")
    writer.close()
    take = Journal.try_ship

    def late(journal: Journal) -> bool:
        other = Journal.open(journal.folder)
        drain(other)
        return take(journal)

    monkeypatch.setattr(Journal, "try_ship", late)
    assert list(adoptable(root, consumers=["otlp"])) == []
    assert not Journal.open(writer.folder).shipped_by_somebody


def test_a_process_that_wrote_nothing_leaves_nothing_to_adopt(make, root):
    make().close()
    assert list(adoptable(root, consumers=["otlp"])) == []


def test_a_torn_end_is_adopted_once_and_then_passed(make, root, drain):
    writer = make(consumers=["otlp"])
    writer.append(TAG, "entry")
    writer.close()
    with (writer.folder / "00000001.seg").open("ab") as file:
        file.write(b"\x20\x00\x00\x00half")
    (journal,) = adoptable(root, consumers=["otlp"])
    assert drain(journal) == ["entry"]
    journal.release_ship()
    assert list(adoptable(root, consumers=["otlp"])) == []


def test_no_root_no_journals(root):
    assert list(adoptable(root, consumers=["otlp"])) == []
    assert tidy(root) == {}


def test_what_is_no_journal_is_left_alone(make, root):
    make().close()
    (root / "notes").mkdir()
    (root / "notes.txt").touch()
    (root / "link").symlink_to(root / "notes")
    assert len(list(journals(root))) == 1
    tidy(root, keep_bytes=0)
    assert sorted(path.name for path in root.iterdir()) == ["link", "notes", "notes.txt"]


def test_a_network_file_system_is_refused(make, root, monkeypatch, tmp_path):
    writer = make()
    writer.append(TAG, "entry")
    writer.close()
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr(adopt, "_MOUNTS", mounts)
    local = "21 1 0:19 / / rw,relatime shared:1 - ext4 /dev/sda rw\n"
    mounts.write_text(local)
    assert network_filesystem(root) is None
    mounts.write_text(local + f"22 21 0:20 / {tmp_path} rw - nfs4 server:/export rw\n")
    assert network_filesystem(root) == "nfs4"
    assert list(adoptable(root, consumers=["otlp"])) == []
    assert tidy(root, cap_bytes=0) == {}
    spaced = tmp_path / "a b"
    spaced.mkdir()
    mounts.write_text(local + f"22 21 0:20 / {tmp_path}/a\\040b rw - cifs //server/share rw\n")
    assert (network_filesystem(spaced), network_filesystem(tmp_path)) == ("cifs", None)
    mounts.unlink()
    assert network_filesystem(root) is None


def _dead(make, drain, *, passed: bool, entries: int = 10) -> Writer:
    writer = make(segment_bytes=200)
    for index in range(entries):
        writer.append(TAG, f"{index}" * 50)
    writer.close()
    if passed:
        for consumer in ("otlp", "records"):
            drain(Journal.open(writer.folder), consumer)
    return writer


def test_passed_folders_go_oldest_first_beyond_what_is_kept(make, root, drain):
    dead = [_dead(make, drain, passed=True) for _ in range(5)]
    waiting = _dead(make, drain, passed=False)
    living = make()
    size = sum(segment.size for segment in Journal.open(dead[0].folder).segments())
    assert tidy(root, keep_bytes=3 * size) == {}
    assert [writer.folder.exists() for writer in dead] == [False, False, True, True, True]
    tidy(root, keep_folders=1)
    assert [writer.folder.exists() for writer in dead] == [False, False, False, False, True]
    tidy(root, keep_bytes=0)
    assert sorted(path.name for path in root.iterdir()) == [waiting.id, living.id]


def test_a_folder_that_somebody_ships_stays(make, root, drain):
    writer = _dead(make, drain, passed=True)
    journal = Journal.open(writer.folder)
    assert journal.try_ship()
    tidy(root, keep_bytes=0)
    assert writer.folder.exists()
    journal.release_ship()
    late = Journal.open(writer.folder)
    tidy(root, keep_bytes=0)
    assert not writer.folder.exists()
    assert not late.try_ship()


def test_beyond_the_cap_the_oldest_of_the_dead_go_and_are_counted(make, root, drain):
    old, new = _dead(make, drain, passed=False), _dead(make, drain, passed=False)
    size = sum(segment.size for segment in Journal.open(new.folder).segments())
    lost = tidy(root, cap_bytes=size + size // 2)
    left = drain(Journal.open(old.folder))
    assert 0 < len(left) < 10
    assert left == [f"{index}" * 50 for index in range(10 - len(left), 10)]
    assert lost == {("otlp", TAG): 10 - len(left), ("records", TAG): 10 - len(left)}
    assert Journal.open(old.folder).dropped == {"otlp": 10 - len(left), "records": 10 - len(left)}
    assert len(drain(Journal.open(new.folder))) == 10
    assert tidy(root, cap_bytes=0) == {("records", TAG): 10 + len(left)}
    assert tidy(root, cap_bytes=0) == {}
    assert list(root.iterdir()) == []


def test_half_made_folders_go_after_an_hour(make, root):
    make().close()
    half = root / ".0123"
    half.mkdir()
    (half / "alive").touch()
    tidy(root)
    assert half.exists()
    old = time.time() - 7200
    os.utime(half, (old, old))
    tidy(root)
    assert not half.exists()


def test_a_forked_child_neither_holds_nor_writes_what_is_the_parents(make, root, drain):
    writer = make()
    writer.append(TAG, "parent")
    journal = Journal.open(writer.folder)
    assert journal.try_ship()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        try:
            writer.append(TAG, "child")
        except JournalError:
            os.read(reading, 1)  # outlive what the parent does meanwhile
            os._exit(0 if writer.closed and not journal.shipping else 1)
        os._exit(2)
    os.close(reading)
    try:
        assert Journal.open(writer.folder).alive
        assert Journal.open(writer.folder).shipped_by_somebody
        journal.release_ship()
        writer.append(TAG, "still the parent")
        writer.close()
        assert not Journal.open(writer.folder).alive
        assert not Journal.open(writer.folder).shipped_by_somebody
    finally:
        os.close(writing)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert drain(Journal.open(writer.folder)) == ["parent", "still the parent"]


def test_a_parents_death_is_seen_while_its_forked_child_lives_on(root, drain):
    process = start(
        root,
        """
        w = writer()
        w.append(2, "parent")
        j = Journal.open(w.folder)
        j.try_ship()
        if os.fork() == 0:
            child = writer()
            child.append(2, "child")
            say("ready", child.id)
            sys.stdin.readline()
            os._exit(0)
        import signal
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    assert process.stdout is not None
    child = process.stdout.readline().split()[1]
    process.wait(30)
    (journal,) = adoptable(root, consumers=["otlp"])
    assert drain(journal) == ["parent"]
    journal.release_ship()
    assert [journal.alive for journal in journals(root) if journal.id == child] == [True]
    process.communicate("\n", timeout=30)


def test_a_child_forked_while_threads_append_can_write(root):
    output = run(
        root,
        """
        import threading
        w = writer(segment_bytes=2_000)
        stop = threading.Event()
        def work():
            while not stop.is_set():
                w.append(2, "x" * 50)
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(10):
            child = os.fork()
            if child == 0:
                w.close()
                writer().append(2, "child")
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        stop.set()
        for thread in threads:
            thread.join()
        say("done")
        """,
    )
    assert output == "done\n"
    assert len(list(adoptable(root, consumers=["otlp"]))) == 11


def test_a_limit_on_the_size_of_files_costs_no_entry(root, drain):
    output = run(
        root,
        """
        import resource
        w = writer()
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
        for number in range(100):
            w.append(2, (number, "x" * 50))
        try:
            w.append(2, "y" * 2_000)
        except OSError as error:
            say("refused")
        w.append(2, (100, "x" * 50))
        """,
    )
    assert output == "refused\n"
    (journal,) = adoptable(root, consumers=["otlp"])
    assert [number for number, _ in drain(journal)] == list(range(101))
    journal.release_ship()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_when_a_segment_is_full_and_the_next_is_not_nothing_is_lost(make, drain):
    writer = make()
    writer.append(TAG, "first")
    number, full = writer._fd, os.open("/dev/full", os.O_WRONLY)
    try:
        os.dup2(full, number, inheritable=False)
        writer.append(TAG, "second")
    finally:
        os.close(full)
        os.close(number)  # no longer the writer's, which leaves it alone
    assert writer._fd != number
    assert drain(Journal.open(writer.folder)) == ["first", "second"]
