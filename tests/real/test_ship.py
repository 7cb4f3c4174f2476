"""`posemon ship` beside workers that die, stand by for each other, are busy, or owe to more than it has."""

import signal
import time

import pytest

from tests.receiver import Receiver, attributes
from tests.shipping import arrived, starting, until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def start(tmp_path):
    with starting(tmp_path) as run:
        yield run


def test_it_ends_what_a_killed_worker_had_open(start):
    with Receiver() as receiver:
        shipper = start("ship", receiver)
        worker = start("worker", receiver, OTEL_METRICS_EXPORTER="otlp")
        worker.ask("make ended")
        worker.ask("open one")
        assert worker.ask("flush") == "True"
        shipper.says("pose-worker: ships for 1 living")
        time.sleep(0.6)  # the start of an operation is noted after a quarter of a second
        worker.end(signal.SIGKILL)
        until(lambda: arrived(receiver) == {"ended", "one"})
        spans = {attributes(span.attributes)["pose.generation.id"]: span for _, _, span in receiver.spans()}
        assert attributes(spans["one"].attributes)["pose.outcome"] == "interrupted"
        until(lambda: receiver.total("pose.generations", pose__generation__status="failed") == 1)
        assert receiver.total("pose.generations", pose__generation__status="completed") == 1


def test_a_second_one_stands_by(start):
    with Receiver() as receiver:
        first = start("ship", receiver, "--service", "pose-worker")
        first.says("pose-worker: ships for")
        second = start("ship", receiver, "--service", "pose-worker")
        second.says("pose-worker: another process ships it from outside; this one takes over when that ends")
        assert first.end(signal.SIGKILL)[0] == -9
        second.says("pose-worker: ships for 0 living")
        assert second.end(signal.SIGINT)[:2] == (0, "")


def test_a_worker_that_owes_to_more_than_it_has_goes_on_by_itself(start, tmp_path):
    with Receiver() as receiver:
        worker = start("worker", receiver, POSEMON_DATABASE_URL=f"sqlite:///{tmp_path}/none/rows.db")
        worker.ask("make g1")
        shipper = start("ship", receiver)
        said = shipper.says("pose-worker: ships for 0 living and 0 ended processes;")
        assert said.endswith("those that owe records too, which is not set up here, ship by themselves")
        until(lambda: arrived(receiver) == {"g1"})
        assert "trace_exporter" in worker.ask("exporters")


def test_a_folder_that_is_not_ours_alone_is_one_line(start, tmp_path):
    (tmp_path / "pose-worker").mkdir(mode=0o700)
    (tmp_path / "pose-worker").chmod(0o777)
    with Receiver() as receiver:
        code, err, _ = start("ship", receiver, "--service", "pose-worker").end(0)
    assert code == 1
    assert "lets others write to it" in err
    assert err.count("\n") == 1


def test_nothing_is_lost_while_shippers_are_killed_beside_a_busy_worker(start):
    with Receiver() as receiver:
        worker = start("worker", receiver)
        made = 0
        for _ in range(6):
            shipper = start("ship", receiver, "--service", "pose-worker")
            while not shipper.said("pose-worker: ships for 1 living"):
                worker.ask(f"make g{made}")
                made += 1
            for _ in range(50):
                worker.ask(f"make g{made}")
                made += 1
            assert shipper.end(signal.SIGKILL)[0] == -9
        assert worker.ask("flush") == "True"
        assert made > 300
        assert arrived(receiver) == {f"g{number}" for number in range(made)}
        logged = {attributes(record.attributes).get("pose.generation.id") for _, _, record in receiver.logs()}
        assert logged >= arrived(receiver)
