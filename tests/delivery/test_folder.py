"""Folders that fail: nothing raises and nothing blocks; what fits is kept, the rest is counted, and it mends itself."""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import posemon_otel as posemon
from posemon_otel import bootstrap, faults, journal, settings
from posemon_otel.delivery import drops, own_journal
from posemon_otel.delivery import globals as otel_globals
from posemon_otel.delivery.own_journal import OwnJournal
from posemon_otel.state import journal_root, spare_root
from tests.receiver import Receiver

ENDS_SOON = {"ship_interval": 0.05, "log_format": "none", "disabled_instrumentations": ("*",)}


@pytest.fixture
def fresh(monkeypatch):
    monkeypatch.setattr(own_journal, "_RETURN_EVERY", 0.3)
    drops.reset()
    with otel_globals.set_aside():
        yield
        handle = bootstrap.handle()
        if handle is not None:
            handle.shutdown(2.0)
    drops.reset()


def remove(folder: Path) -> None:
    """Removes a folder, although others write into it meanwhile."""
    for _ in range(200):
        try:
            shutil.rmtree(folder)
        except OSError:
            continue
        return


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts small file systems."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        where = tmp_path / f"disk{len(mounted)}"
        where.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
        mounted.append(where)
        return where

    yield mount
    for where in mounted:
        subprocess.run(["umount", "-l", str(where)], check=False)


@pytest.fixture(autouse=True)
def _spare_folders() -> Iterator[None]:
    """Removes what the test's processes have left in memory."""
    before = set(Path("/dev/shm").glob("posemon-*"))
    yield
    for folder in set(Path("/dev/shm").glob("posemon-*")) - before:
        shutil.rmtree(folder, ignore_errors=True)


def eventually(true: Callable[[], bool], seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return false_with_state()


def false_with_state() -> bool:
    handle = bootstrap.handle()
    if handle is not None and handle.pipeline is not None:
        print(handle.pipeline.journal_state(), drops.counts())
    return False


def configured(folder: Path, receiver: Receiver | None, **more: object) -> bootstrap.Handle:
    where = {"otlp_endpoint": receiver.url} if receiver is not None else {}
    return posemon.configure("worker", journal_dir=str(folder), metrics_exporter="none", **where, **ENDS_SOON, **more)


def state(handle: bootstrap.Handle) -> own_journal.State:
    assert handle.pipeline is not None
    return handle.pipeline.journal_state()


def work(name: str, size: int = 0) -> None:
    with posemon.generation(name, note="x" * size if size else None):
        pass


def ids(receiver: Receiver) -> list[str]:
    found = []
    for _, _, span in receiver.spans():
        found += [pair.value.string_value for pair in span.attributes if pair.key == "pose.generation.id"]
    return found


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "journal" in record.getMessage()]


def test_a_full_disk_loses_nothing_and_is_taken_again_when_there_is_room(disk, fresh, caplog):
    folder = disk("size=512k")
    ballast = folder / "ballast"
    with Receiver() as receiver:
        handle = configured(folder, receiver, segment_bytes=4096)
        work("before")
        assert state(handle).kind == "configured"
        try:
            ballast.write_bytes(bytes(10**6))
        except OSError:
            pass
        wanted = ["before"] + [f"full {number}" for number in range(50)]
        for name in wanted[1:]:
            work(name, 1000)
        assert handle.force_flush(20.0)
        assert sorted(set(ids(receiver))) == sorted(wanted)
        assert state(handle)[1:] == ("memory-disk", "No space left on device")
        assert eventually(lambda: len(lines(caplog)) == 1)
        ballast.unlink()
        assert eventually(lambda: state(handle).kind == "configured")
        assert eventually(lambda: len(lines(caplog)) == 2)
        work("after")
        assert handle.force_flush(20.0)
        assert "after" in ids(receiver)
        assert drops.counts() == {}
    went, back = lines(caplog)
    assert "No space left" in went
    assert "POSEMON_JOURNAL_DIR" in went
    assert "again" in back
    assert str(folder) in back


def test_where_every_folder_is_full_memory_keeps_the_newest_and_counts_the_rest(disk, fresh, monkeypatch, caplog):
    folder, spare = disk("size=256k"), disk("size=256k")
    monkeypatch.setattr(own_journal, "spare_root", lambda root: spare / root.name)
    monkeypatch.setattr(own_journal, "MEMORY_BYTES", 256 * 1024)
    with Receiver(answer=lambda _path: 503) as receiver:
        handle = configured(folder, receiver, segment_bytes=4096)
        slowest = 0.0
        for number in range(1000):
            began = time.perf_counter()
            work(f"g{number}", 1000)
            slowest = max(slowest, time.perf_counter() - began)
        assert slowest < 1.0
        assert state(handle).kind == "memory"
        receiver.answer = lambda _path: 200
        assert handle.force_flush(30.0)
        found = ids(receiver)
        kept = [f"g{number}" for number in range(1000) if f"g{number}" in set(found)]
        assert 100 < len(kept) < 900
        assert kept[-80:] == [f"g{number}" for number in range(920, 1000)]
        assert eventually(lambda: drops.counts().get(("traces", "journal_full"), 0) >= 1000 - len(kept))
        # what was under way when its segment went is counted, too, and arrives all the same
        assert drops.counts()["traces", "journal_full"] <= 1000 - len(kept) + 512
        # what was delivered makes room, and the journal comes home by itself
        assert eventually(lambda: state(handle).kind == "configured")
    assert [line for line in lines(caplog) if "does not outlive the process" in line]


def test_a_disk_that_becomes_read_only_and_writable_again(disk, fresh):
    folder = disk("size=4m")
    with Receiver() as receiver:
        handle = configured(folder, receiver, segment_bytes=4096)
        work("before")
        assert handle.force_flush(20.0)
        # files that are open for writing keep a file system from being remounted: what is mounted above is not theirs
        subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
            for number in range(40):
                work(f"ro {number}", 1000)
            assert handle.force_flush(20.0)
            assert state(handle)[1:] == ("memory-disk", "Read-only file system")
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        assert eventually(lambda: state(handle).kind == "configured")
        work("after")
        assert handle.force_flush(20.0)
        assert set(ids(receiver)) == {"before", "after", *(f"ro {number}" for number in range(40))}
        assert drops.counts() == {}


def test_a_folder_that_is_removed_is_made_anew_and_costs_nothing_of_the_newest(tmp_path, fresh, caplog):
    with Receiver(answer=lambda _path: 503) as receiver:
        handle = configured(tmp_path / "state", receiver)
        work("before")
        remove(tmp_path / "state")
        work("unseen")
        assert eventually((tmp_path / "state" / "worker").is_dir)
        work("after")
        receiver.answer = lambda _path: 200
        assert handle.force_flush(20.0)
        assert sorted(set(ids(receiver))) == ["after", "before", "unseen"]
        assert state(handle) == (tmp_path / "state" / "worker", "configured", "")
        assert drops.counts() == {}
    assert [line for line in lines(caplog) if "was removed" in line] == lines(caplog)
    assert len(lines(caplog)) == 1


def test_segments_that_are_removed_are_counted(tmp_path, fresh):
    with Receiver(answer=lambda _path: 503) as receiver:
        handle = configured(tmp_path / "state", receiver, segment_bytes=4096)
        for number in range(20):
            work(f"g{number}", 1000)
        remove(tmp_path / "state")
        assert eventually(lambda: ("traces", "journal_removed") in drops.counts())
        receiver.answer = lambda _path: 200
        assert handle.force_flush(20.0)
        arrived = len(set(ids(receiver)))
        assert 0 < arrived < 20
        assert eventually(lambda: drops.counts()["traces", "journal_removed"] >= 20 - arrived)


def test_descriptors_closed_by_somebody_else_cost_no_entry(tmp_path, fresh):
    with Receiver(answer=lambda _path: 503) as receiver:
        handle = configured(tmp_path, receiver)
        work("before")
        os.closerange(256, 4096)
        work("after")
        receiver.answer = lambda _path: 200
        assert eventually(lambda: sorted(set(ids(receiver))) == ["after", "before"])
        assert handle.force_flush(20.0)
        assert drops.counts() == {}


SCRIPT = """
import os, sys, time
import posemon_otel as posemon
from posemon_otel import faults
faults.strict = True
handle = posemon.configure("worker", disabled_instrumentations=("*",), log_format="none", metrics_exporter="none")
def state():
    return handle.pipeline.journal_state()
def work(name):
    with posemon.generation(name):
        pass
"""


def child(receiver: Receiver, body: str, before: str = "", **environ: str) -> "subprocess.CompletedProcess[str]":
    code = textwrap.dedent(before) + SCRIPT + textwrap.dedent(body)
    env = {"PATH": "", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "POSEMON_SHIP_INTERVAL": "0.05", **environ}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, text=True, timeout=60, check=False
    )


ANOTHER_USER = """
import os, tempfile
import posemon_otel
# as root, so that everything is imported that another user may have no right to read
with tempfile.TemporaryDirectory() as folder:
    first = posemon_otel.configure(
        "worker", journal_dir=folder, disabled_instrumentations=("*",), log_format="none", metrics_exporter="none"
    )
    with posemon_otel.generation("warm"):
        pass
    first.force_flush(20)
    first.shutdown(5)
os.setuid(54321)
os.environ.pop("HOME", None)
"""


def one_line(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line]
    return line


def test_no_home_and_no_setting():
    if os.geteuid() != 0:
        pytest.skip("only root can become a user without a home")
    with Receiver() as receiver:
        done = child(
            receiver,
            'work("one")\nprint(state().kind)',
            before=ANOTHER_USER,
        )
        assert "POSEMON_JOURNAL_DIR" in one_line(done)
        assert done.stdout == "memory-disk\n"
        assert ids(receiver) == ["warm", "one"]


def test_another_users_folder_and_another_users_spare_one(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    root = tmp_path / "worker"
    spare = spare_root(root)
    for folder in (root, spare):
        folder.mkdir()
        os.chown(folder, 12345, 12345)
    with Receiver() as receiver:
        done = child(receiver, 'work("one")\nprint(state().kind)', POSEMON_JOURNAL_DIR=str(tmp_path))
        line = one_line(done)
        assert "another user" in line
        assert "does not outlive the process" in line
        assert done.stdout == "memory\n"
        assert ids(receiver) == ["one"]
    assert list(root.iterdir()) == list(spare.iterdir()) == []


def test_a_folder_that_this_user_may_not_write(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    with Receiver() as receiver:
        done = child(
            receiver,
            'work("one")\nprint(state().kind)',
            before=ANOTHER_USER,
            POSEMON_JOURNAL_DIR=str(tmp_path / "state"),
        )
        assert "Permission denied" in one_line(done)
        assert done.stdout == "memory-disk\n"
        assert ids(receiver) == ["warm", "one"]


def test_a_limit_on_the_size_of_files(tmp_path):
    body = """
        import resource
        work("before")
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        for number in range(100):
            with posemon.generation(f"g{number}", note="x" * 500):
                pass
        print(handle.force_flush(20), state().kind)
    """
    with Receiver() as receiver:
        done = child(receiver, body, POSEMON_JOURNAL_DIR=str(tmp_path))
        assert done.returncode == 0, done.stderr
        assert done.stdout == "True configured\n"
        assert set(ids(receiver)) == {"before", *(f"g{number}" for number in range(100))}


def test_what_a_killed_process_left_in_the_spare_folder_goes_out_at_the_next_start(tmp_path):
    root = tmp_path / "state" / "worker"
    (tmp_path / "state").write_text("in the way")
    kill = 'work("one")\nprint(state().kind, flush=True)\nos.kill(os.getpid(), 9)'
    with Receiver(answer=lambda _path: 503) as receiver:
        done = child(receiver, kill, POSEMON_JOURNAL_DIR=str(tmp_path / "state"))
        assert done.stdout == "memory-disk\n"
        assert len(list(spare_root(root).iterdir())) == 1
        (tmp_path / "state").unlink()
        receiver.answer = lambda _path: 200
        wait = """
            deadline = time.monotonic() + 20
            while handle.pipeline.shipper.adopt() and time.monotonic() < deadline:
                time.sleep(0.1)
        """
        done = child(receiver, wait, POSEMON_JOURNAL_DIR=str(tmp_path / "state"))
        assert done.returncode == 0, done.stderr
        assert ids(receiver) == ["one"]


def test_what_memory_holds_at_exit_is_brought_home_or_said_to_be_lost(tmp_path):
    root = tmp_path / "state" / "worker"
    (tmp_path / "state").write_text("in the way")
    spare_root(root).write_text("in the way")
    try:
        with Receiver(answer=lambda _path: 503) as receiver:
            where = {"POSEMON_JOURNAL_DIR": str(tmp_path / "state"), "POSEMON_EXIT_BUDGET": "0.5"}
            done = child(receiver, 'work("lost")\nprint(state().kind)', **where)
            assert done.stdout == "memory\n"
            assert "goes with the process" in done.stderr
            done = child(receiver, f'work("kept")\nos.unlink({str(tmp_path / "state")!r})', **where)
            assert "goes with the process" not in done.stderr
        (found,) = journal.journals(root)
        assert not found.passed()
    finally:
        spare_root(root).unlink()


class Chosen:
    """An own journal with settings of small numbers."""

    def __init__(self, folder: Path, **arguments: object) -> None:
        self.answered = False
        chosen = settings.Settings({"journal_dir": str(folder), "service_name": "worker", **arguments})
        self.root = journal_root(chosen, "worker")
        from opentelemetry.sdk.resources import Resource

        self.own = OwnJournal(
            chosen,
            lambda: Resource({"service.name": "worker"}),
            consumers=lambda: ["traces"],
            opened=lambda: None,
            answered=lambda: self.answered,
        )

    def cap(self) -> int:
        self.own._asked = float("-inf")
        self.own.keep_house()
        return self.own.open(tuple).cap_bytes


MIB = 1024 * 1024


def test_the_cap_is_low_while_an_endpoint_that_nobody_named_has_never_answered(tmp_path):
    small = {"journal_cap": 8 * MIB, "journal_cap_unanswered": 2 * MIB, "segment_bytes": 256 * 1024}
    never = Chosen(tmp_path, **small)
    writer = never.own.open(tuple)
    for number in range(40):
        writer.append(2, [number, "x" * 100_000])
    assert sum(segment.size for segment in never.own.journal().segments()) < 2.5 * MIB
    assert writer.dropped["traces"] >= 15
    assert never.cap() == 2 * MIB
    never.answered = True
    assert never.cap() == 8 * MIB
    never.own.close(seal=True)
    later = Chosen(tmp_path, **small)  # a backend that is away now has answered before
    assert later.cap() == 8 * MIB
    later.own.close(seal=True)


@pytest.mark.parametrize(
    "named",
    [
        {"otlp_endpoint": "http://127.0.0.1:4318"},
        {"otlp_logs_endpoint": "http://127.0.0.1:4318/v1/logs"},
        {"traces_exporter": "none", "metrics_exporter": "none", "logs_exporter": "console"},
    ],
)
def test_the_cap_is_the_full_one_where_somebody_has_said_where_telemetry_goes(tmp_path, named):
    chosen = Chosen(tmp_path, journal_cap=8 * MIB, journal_cap_unanswered=2 * MIB, **named)
    assert chosen.cap() == 8 * MIB
    chosen.own.close(seal=True)


def test_sizes_stand_once():
    assert settings.JOURNAL_CAP.default == journal.CAP_BYTES
    assert settings.JOURNAL_KEEP.default == journal.KEEP_BYTES
    assert settings.SEGMENT_BYTES.default == journal.SEGMENT_BYTES
    assert settings.JOURNAL_CAP_UNANSWERED.default == journal.SPARE_BYTES


assert faults.strict
