"""What goes wrong is said in one shape, and tells nothing about the inside."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from posemon_otel.admin import DatabaseError, Rates, create_app
from posemon_otel.admin.database import Threads
from posemon_otel.admin.errors import ApiError
from posemon_otel.records import MetricsService, connect, writing
from posemon_otel.settings import Settings
from tests.admin.conftest import PREFIX, SECRET, bearer

SHAPE = {"error", "message"}


@pytest.mark.parametrize(
    "path", ["/", "/metrics", f"{PREFIX}/", f"{PREFIX}/nothing", f"{PREFIX}/metrics/", f"{PREFIX}/static/no.js"]
)
def test_404(client, path):
    response = client.get(path, follow_redirects=False)
    assert response.status_code == 404
    assert response.json() == {"error": "Not Found", "message": "There is nothing here."}
    assert response.headers["cache-control"] in ("no-store", "no-cache")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", f"{PREFIX}/metrics", {"GET", "HEAD"}),
        ("DELETE", f"{PREFIX}/health", {"GET", "HEAD"}),
        ("PUT", f"{PREFIX}/session", {"GET", "HEAD", "POST", "DELETE"}),
        ("GET", "/api/auth/login", {"POST"}),
    ],
)
def test_405(client, method, path, allowed):
    response = client.request(method, path)
    assert response.status_code == 405
    assert response.json() == {"error": "Method Not Allowed", "message": "This method is not allowed here."}
    assert {part.strip() for part in response.headers["allow"].split(",")} == allowed


def test_429_for_a_user_and_for_an_address(make_client):
    client = make_client(rates=Rates(requests="3/minute"))
    codes = [client.get(f"{PREFIX}/metrics/popular-poses", headers=bearer()).status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    anonymous = [client.get(f"{PREFIX}/health/live").status_code for _ in range(4)]
    assert anonymous == [200, 200, 200, 429]
    limited = client.get(f"{PREFIX}/metrics", headers=bearer())
    assert set(limited.json()) == SHAPE
    assert int(limited.headers["retry-after"]) >= 1


def test_429_for_guessing_tokens(make_client):
    client = make_client(rates=Rates(refused="3/minute"))
    guess = {"Authorization": "Bearer guess"}
    assert [client.get(f"{PREFIX}/metrics", headers=guess).status_code for _ in range(4)] == [401, 401, 401, 429]
    assert client.get(f"{PREFIX}/metrics", headers=bearer()).status_code == 200


def test_500_tells_nothing(client, monkeypatch, caplog):
    def broken(*_args, **_words):
        raise RuntimeError("password=hunter2 at /srv/secret/path.py")

    monkeypatch.setattr(MetricsService, "get_system_metrics", broken)
    response = client.get(f"{PREFIX}/metrics", headers=bearer())
    assert response.status_code == 500
    assert response.json() == {
        "error": "Internal Server Error",
        "message": "Something went wrong here; the log tells what.",
    }
    assert "hunter2" in caplog.text


def test_503_when_the_table_is_gone(client, engine, caplog):
    with writing(engine) as connection:
        connection.execute(text("DROP TABLE pose_generations"))
    response = client.get(f"{PREFIX}/metrics", headers=bearer())
    assert response.status_code == 503
    assert response.json() == {
        "error": "Service Unavailable",
        "message": "The database does not answer, or took too long.",
    }
    assert response.headers["retry-after"] == "5"
    assert "pose_generations" in caplog.text


@pytest.mark.parametrize("content", [b"this is not a database, it is a text file " * 100, None])
def test_503_when_the_database_is_none(make_client, tmp_path, content):
    path = tmp_path / "wrong.db"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    engine = connect(f"sqlite:///{path}")
    client = make_client(engine=engine)
    response = client.get(f"{PREFIX}/metrics", headers=bearer())
    assert response.status_code == 503
    assert set(response.json()) == SHAPE
    assert str(path) not in response.text
    login = client.post("/api/auth/login", json={"email": "a@example.com", "password": "b"})
    assert login.status_code == 503
    engine.dispose()


async def test_a_database_that_hangs_holds_a_bounded_number_of_threads():
    import threading

    released = threading.Event()
    threads = Threads(seconds=0.2)
    try:
        before = threading.active_count()
        results = await asyncio.gather(*(threads.run(released.wait, 20) for _ in range(30)), return_exceptions=True)
        assert [type(result) for result in results] == [ApiError] * 30
        assert {result.status for result in results} == {503}
        assert threading.active_count() - before <= 8
    finally:
        released.set()


def test_a_database_is_needed():
    with pytest.raises(
        DatabaseError, match="POSEMON_DATABASE_URL: expected the address of a database, got none; set it"
    ):
        create_app(jwt_secret=SECRET, settings=Settings(environ={}))


def test_the_database_comes_from_the_environment(tmp_path: Path, filled: Path):
    for name in ("POSEMON_DATABASE_URL", "DATABASE_URL"):
        app = create_app(jwt_secret=SECRET, settings=Settings(environ={name: f"sqlite:///{filled}"}))
        with TestClient(app) as client:
            assert client.get(f"{PREFIX}/metrics", headers=bearer()).json()["totalGenerations"] == 5


def test_mounted_in_another_app(make_client, engine, codes):
    app = create_app(engine, jwt_secret=SECRET, sign_in_codes=codes, settings=Settings(environ={}), prefix="/pose/")
    client = TestClient(Starlette(routes=[Mount("/inner", app)]), base_url="http://admin.test")
    assert client.get("/inner/pose/metrics", headers=bearer()).json()["totalGenerations"] == 5
    assert client.get("/inner/pose/nothing").json() == {"error": "Not Found", "message": "There is nothing here."}
    assert client.get("/inner/api/auth/login").status_code == 404
    response = client.post("/inner/pose/session", json={"code": codes.issue("admin-1")})
    assert "path=/inner/pose;" in response.headers["set-cookie"].lower()
    assert client.get("/inner/pose/metrics").status_code == 200
    page = client.get("/inner/pose/dashboard").text
    assert 'src="/inner/pose/static/dashboard.js"' in page
    assert client.get("/inner/pose/static/dashboard.js").status_code == 200


def test_at_the_root(engine):
    client = TestClient(create_app(engine, jwt_secret=SECRET, prefix="", settings=Settings(environ={})))
    assert client.get("/metrics", headers=bearer()).status_code == 200


@pytest.mark.parametrize("path", ["/metrics", "/health", "/nothing", "/dashboard"])
def test_headers_that_every_answer_carries(client, path):
    headers = client.get(f"{PREFIX}{path}").headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers
