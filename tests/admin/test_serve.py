"""The app on a real socket."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
from sqlalchemy import create_engine, text

from posemon_otel.admin import Rates, ServeError, create_app, run, start
from posemon_otel.records import RecordWriter
from posemon_otel.settings import Settings
from tests.admin.conftest import PREFIX, SECRET, bearer, generation


@pytest.fixture
def served(engine):
    app = create_app(engine, jwt_secret=SECRET, settings=Settings(environ={}), login=True, rates=Rates("100000/minute"))
    with start(app) as server:
        yield server.address


def test_starts_on_a_free_port_and_stops(served):
    assert served.startswith("http://127.0.0.1:")
    response = httpx.get(f"{served}{PREFIX}/metrics", headers=bearer())
    assert response.json()["totalGenerations"] == 5
    assert "server" not in response.headers


def test_stopping_frees_the_port(engine):
    app = create_app(engine, jwt_secret=SECRET, settings=Settings(environ={}))
    server = start(app)
    httpx.get(f"{server.address}{PREFIX}/health/live").raise_for_status()
    server.stop()
    server.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.address}{PREFIX}/health/live")
    with start(app, port=server.port) as again:
        assert again.port == server.port


def test_a_port_in_use_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServeError) as error:
            start(lambda *_: None, port=port)
    assert error.value.strerror == (
        f"127.0.0.1:{port}: the port is in use; stop what listens there or choose another with --port"
    )


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.77"])
def test_an_address_of_another_machine_is_one_line(host):
    with pytest.raises(ServeError, match="choose another with --host"):
        start(lambda *_: None, host)


def test_an_app_that_fails_to_start_says_so(caplog):
    async def broken(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "no"})

    with pytest.raises(ServeError, match="the app did not start"):
        start(broken)


def test_run_serves_until_a_signal(filled):
    code = (
        "from posemon_otel.admin import create_app, run\n"
        f"app = create_app(database_url='sqlite:///{filled}', jwt_secret={SECRET!r})\n"
        "try:\n"
        "    run(app, port=0, ready=lambda address: print(address, flush=True))\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = process.stdout.readline().strip()
        assert httpx.get(f"{address}{PREFIX}/health").json()["status"] == "healthy"
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=10)
    finally:
        process.kill()
    assert (said, errors, process.returncode) == ("interrupted\n", "", 0)


def test_run_says_what_is_wrong():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ServeError, match="the port is in use"):
        run(lambda *_: None, port=taken.getsockname()[1])


def test_the_counts_agree_while_rows_are_written(served, engine):
    """One answer reads one snapshot: what belongs together is written together, and never seen apart."""
    writer = RecordWriter(engine)
    stop = threading.Event()

    def write() -> None:
        number = 1000
        while not stop.is_set():
            from datetime import timedelta

            ago = timedelta(seconds=30)
            writer.write(
                [
                    generation(number, "completed", ago, poses_completed=3, credits_charged=90),
                    generation(number + 1, "failed", ago, credits_charged=90, credits_refunded=90),
                ],
                [],
                [],
            )
            number += 2

    thread = threading.Thread(target=write)
    thread.start()
    seen = set()
    try:
        with httpx.Client(headers=bearer()) as client:
            for _ in range(60):
                found = client.get(f"{served}{PREFIX}/metrics?period=1h").json()
                completed, failed = found["completedGenerations"] - 2, found["failedGenerations"] - 1
                assert completed == failed
                assert found["totalGenerations"] == 5 + completed + failed
                assert found["totalPosesGenerated"] == 5 + 3 * completed
                assert found["totalCreditsSpent"] == 300 + 90 * (completed + failed)
                assert found["totalCreditsRefunded"] == 90 + 90 * failed
                seen.add(completed)
    finally:
        stop.set()
        thread.join()
    assert len(seen) > 5  # rows were written meanwhile


def test_many_at_once(served):
    with httpx.Client(headers=bearer()) as client:
        codes: list[int] = []

        def ask() -> None:
            codes.extend(client.get(f"{served}{PREFIX}{path}").status_code for path in ("/metrics", "/metrics/errors"))

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert codes == [200] * 40


def test_a_locked_database_still_answers(served, engine):
    """Readers do not wait for a writer (write-ahead log)."""
    other = create_engine(engine.url)
    with other.connect() as connection:
        connection.execute(text("UPDATE users SET name = 'x'"))  # holds the write lock until it is rolled back
        begun = time.monotonic()
        assert httpx.get(f"{served}{PREFIX}/metrics", headers=bearer()).status_code == 200
        assert time.monotonic() - begun < 2
        connection.rollback()
    other.dispose()
