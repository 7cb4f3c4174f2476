"""A real SQLite file with a few known rows, and the app over it."""

import secrets
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from posemon_otel.admin import SignInCodes, create_app, make_token
from posemon_otel.records import GenerationRow, PoseRow, RecordWriter, add_user, connect, pose_row_id, upgrade
from posemon_otel.records.sample import LibraryPose, add_library
from posemon_otel.settings import Settings

PREFIX = "/api/apps/pose-generator"
SECRET = secrets.token_hex(32)
PASSWORD = "correct horse battery staple"
ADMIN, USER = "admin-1", "user-1"
LIBRARY = (
    LibraryPose("standing-wave", "wave", "standing"),
    LibraryPose("action-jump", "jump", "action"),
    LibraryPose("dance-spin", "spin", "dance"),
)


def generation(number: int, status: str, ago: timedelta, **words: Any) -> GenerationRow:
    """A generation that began so long ago and took 20 s."""
    begun = datetime.now(UTC) - ago
    terminal = status in ("completed", "failed", "partial")
    words = {
        "user_id": USER,
        "expected_poses": 2,
        "poses_completed": 2 if status == "completed" else 1 if status == "partial" else 0,
        "poses_failed": {"failed": 2, "partial": 1}.get(status, 0),
        "credits_charged": 60,
        "credits_refunded": {"failed": 60, "partial": 30}.get(status, 0),
        "started_at": begun,
        "completed_at": begun + timedelta(seconds=20) if terminal else None,
        "avg_generation_time": 10.0 if status == "completed" else None,
        "trace_id": f"{number:032x}",
        "model": "black-forest-labs/FLUX.1-dev",
        "provider": "hf-inference",
    } | words
    return GenerationRow(f"g-{number}", status, terminal, **words)


def pose(generation_id: str, index: int, status: str, library: str | None, **words: Any) -> PoseRow:
    """A pose of the library."""
    return PoseRow(pose_row_id(generation_id, index), generation_id, status, library, **words)


@pytest.fixture(scope="session")
def password_hash() -> str:
    return bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, password_hash: str) -> Path:
    """Four generations of the last hour (completed, completed, failed, partial), one running, one failed a week ago."""
    path = tmp_path_factory.mktemp("admin") / "records.db"
    engine = connect(f"sqlite:///{path}")
    upgrade(engine)
    add_user(engine, ADMIN, email="admin@example.com", password_hash=password_hash, name="Ada", role="ADMIN")
    add_user(engine, USER, email="user@example.com", password_hash=password_hash, name="Uma")
    add_library(engine, LIBRARY)
    minutes = timedelta(minutes=1)
    RecordWriter(engine).write(
        [
            generation(1, "completed", 50 * minutes),
            generation(2, "completed", 40 * minutes, user_id=ADMIN),
            generation(3, "failed", 30 * minutes, error_type="FLUX_API_ERROR", error_reason="rate_limited"),
            generation(4, "partial", 20 * minutes, error_type="STORAGE_ERROR"),
            generation(5, "processing", 1 * minutes),
            generation(6, "failed", timedelta(days=6), error_type="TIMEOUT_ERROR", error_reason="timeout"),
        ],
        [
            pose("g-1", 0, "completed", "standing-wave"),
            pose("g-1", 1, "completed", "action-jump"),
            pose("g-2", 0, "completed", "standing-wave"),
            pose("g-3", 0, "failed", "dance-spin", error_type="FLUX_API_ERROR"),
        ],
        [],
    )
    engine.dispose()
    return path


@pytest.fixture
def engine(filled: Path, tmp_path: Path) -> Iterator[Engine]:
    """A copy of the filled database."""
    shutil.copy(filled, tmp_path / "records.db")
    engine = connect(f"sqlite:///{tmp_path / 'records.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def make_client(engine: Engine) -> Iterator[Callable[..., TestClient]]:
    """Makes clients of apps over the database; what is not given is as in a fresh environment."""
    opened: list[TestClient] = []

    def make(**words: Any) -> TestClient:
        options: dict[str, Any] = {"jwt_secret": SECRET, "settings": Settings(environ={}), "login": True, **words}
        app = create_app(options.pop("engine", engine), **options)
        client = TestClient(app, base_url="http://admin.test", raise_server_exceptions=False)
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def codes() -> SignInCodes:
    return SignInCodes()


@pytest.fixture
def client(make_client: Callable[..., TestClient], codes: SignInCodes) -> TestClient:
    return make_client(sign_in_codes=codes)


def bearer(user: str = ADMIN, role: str | None = None, secret: str = SECRET) -> dict[str, str]:
    """The header that signs a user in."""
    return {"Authorization": f"Bearer {make_token(user, role, secret)}"}
