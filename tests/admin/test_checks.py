"""What the queue's counts say about the workers."""

import pytest

from posemon_otel.admin.checks import judge
from posemon_otel.admin.queue import QueueCounts


@pytest.mark.parametrize(
    ("waiting", "connections", "state"),
    [(0, 2, "available"), (9, 1, "available"), (9, 0, "failing"), (0, 0, "unknown"), (9, None, "unknown")],
)
def test_workers(waiting, connections, state):
    parts = judge(None, QueueCounts(waiting, 0, 0, 0, connections), None, redis_wanted=True)
    assert parts["workers"].state == state
    assert parts["redis"].state == parts["queue"].state == "available"
