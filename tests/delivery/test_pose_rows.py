"""Each pose of a generation has a row of its own, and keeps it in a retry."""

import pytest
from sqlalchemy import text

import posemon_otel as posemon
from posemon_otel import bootstrap
from posemon_otel.delivery import globals as otel_globals
from posemon_otel.records import connect, upgrade


@pytest.fixture
def worker(tmp_path):
    url = f"sqlite:///{tmp_path / 'rows.db'}"
    engine = connect(url)
    upgrade(engine)
    with otel_globals.set_aside():
        exporters = dict.fromkeys(("traces_exporter", "metrics_exporter", "logs_exporter"), "none")
        handle = posemon.configure(
            "worker",
            database_url=url,
            journal_dir=str(tmp_path / "journal"),
            log_format="none",
            disabled_instrumentations=("*",),
            ship_interval=0.05,
            **exporters,
        )
        yield handle, engine
        if bootstrap.handle() is not None:
            handle.shutdown(2.0)
    engine.dispose()


def test_poses_of_one_variation_have_rows_of_their_own(worker):
    handle, engine = worker
    told = [(pose, side) for pose in ("p1", "p2") for side in ("front", "back")]
    for _attempt in range(2):
        with posemon.generation("g1", expected_poses=6) as gen:
            for pose, side in told:
                with gen.pose(pose, variation=side):
                    pass
            for _unnamed in range(2):
                with gen.pose():
                    pass
    assert handle.force_flush(20.0) is True
    with engine.connect() as connection:
        rows = connection.execute(text('select "poseLibraryId", "variationKey" from generated_poses')).all()
    assert sorted(map(tuple, rows), key=str) == sorted([*told, (None, None), (None, None)], key=str)
