"""Who may see what: deny by default, roles as the database says now."""

import base64
import json
import time

import jwt
import pytest
from sqlalchemy import text

from posemon_otel.admin import SecretError, create_app, make_token
from posemon_otel.admin.access import Access
from posemon_otel.admin.endpoints import ENDPOINTS
from posemon_otel.records import add_user, connect, upgrade, writing
from posemon_otel.settings import Settings
from tests.admin.conftest import ADMIN, PREFIX, SECRET, USER, bearer

READS = [endpoint for endpoint in ENDPOINTS if endpoint.method == "GET"]
ids = [endpoint.path for endpoint in READS]


@pytest.mark.parametrize("endpoint", READS, ids=ids)
def test_nobody(client, endpoint):
    response = client.get(f"{PREFIX}{endpoint.path}")
    if endpoint.access is Access.ANYONE:
        assert response.status_code == 200
    else:
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.json() == {
            "error": "Unauthorized",
            "message": "Sign in first: send Authorization: Bearer <token>.",
        }


@pytest.mark.parametrize("endpoint", READS, ids=ids)
def test_user(client, endpoint):
    response = client.get(f"{PREFIX}{endpoint.path}", headers=bearer(USER))
    if endpoint.access is Access.ADMIN:
        assert response.status_code == 403
        assert response.json() == {"error": "Forbidden", "message": "This needs the role admin."}
    else:
        assert response.status_code == 200


@pytest.mark.parametrize("endpoint", READS, ids=ids)
def test_admin(client, endpoint):
    assert client.get(f"{PREFIX}{endpoint.path}", headers=bearer()).status_code == 200


def test_only_these_are_open_to_others():
    assert {endpoint.path for endpoint in ENDPOINTS if endpoint.access is not Access.ADMIN} == {
        "/health", "/health/live", "/health/ready", "/metrics/popular-poses", "/session",
    }  # fmt: skip


@pytest.mark.parametrize("role", ["admin", "ADMIN", "Admin", " admin "])
def test_roles_are_read_without_regard_to_case(client, engine, role):
    add_user(engine, "boss", email="boss@example.com", password_hash="!", role=role)
    assert client.get(f"{PREFIX}/metrics", headers=bearer("boss")).status_code == 200


@pytest.mark.parametrize("role", ["", "administrator", "superadmin", "user", "\u0430dmin"])
def test_other_roles_are_no_admins(client, engine, role):
    add_user(engine, "other", email="other@example.com", password_hash="!", role=role)
    assert client.get(f"{PREFIX}/metrics", headers=bearer("other", "admin")).status_code == 403


def test_a_demoted_user_loses_access_at_once(client, engine):
    headers = bearer(ADMIN, "admin")
    assert client.get(f"{PREFIX}/metrics", headers=headers).status_code == 200
    with writing(engine) as connection:
        connection.execute(text("UPDATE users SET role = 'user' WHERE id = :id"), {"id": ADMIN})
    assert client.get(f"{PREFIX}/metrics", headers=headers).status_code == 403


def test_a_removed_user_loses_access_at_once(client, engine):
    headers = bearer(ADMIN, "admin")
    assert client.get(f"{PREFIX}/metrics", headers=headers).status_code == 200
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM users WHERE id = :id"), {"id": ADMIN})
    assert client.get(f"{PREFIX}/metrics", headers=headers).status_code == 401
    assert client.get(f"{PREFIX}/metrics/popular-poses", headers=headers).status_code == 401


def test_a_fresh_database_of_our_own_keeps_no_users(make_client, tmp_path):
    """`posemon serve` makes one with an empty table: the token says the role until somebody is in it."""
    engine = connect(f"sqlite:///{tmp_path / 'fresh.db'}")
    upgrade(engine)
    client = make_client(engine=engine)
    assert client.get(f"{PREFIX}/metrics", headers=bearer("me", "admin")).status_code == 200
    assert client.get(f"{PREFIX}/metrics", headers=bearer("me")).status_code == 403
    add_user(engine, "other", email="other@example.com", password_hash="!")
    assert client.get(f"{PREFIX}/metrics", headers=bearer("me", "admin")).status_code == 401
    engine.dispose()


def test_an_applications_empty_table_lets_nobody_in(make_client, tmp_path):
    engine = connect(f"sqlite:///{tmp_path / 'application.db'}")
    with writing(engine) as connection:
        connection.execute(text(GENERATIONS_TABLE))
        connection.execute(text("CREATE TABLE users (id text, email text, name text, role text, password text)"))
    assert make_client(engine=engine).get(f"{PREFIX}/metrics", headers=bearer("me", "admin")).status_code == 401
    engine.dispose()


GENERATIONS_TABLE = (
    'CREATE TABLE pose_generations (id text, status text, "userId" text, "createdAt" timestamp, "startedAt" timestamp, '
    '"completedAt" timestamp, "posesCompleted" integer, "creditCharged" integer, "creditRefunded" integer, '
    '"avgGenerationTime" real)'
)


def test_without_a_table_of_users_the_token_says_the_role(make_client, tmp_path):
    engine = connect(f"sqlite:///{tmp_path / 'application.db'}")
    with writing(engine) as connection:
        connection.execute(text(GENERATIONS_TABLE))
    client = make_client(engine=engine)
    assert client.get(f"{PREFIX}/metrics", headers=bearer("anyone", "ADMIN")).status_code == 200
    assert client.get(f"{PREFIX}/metrics", headers=bearer("anyone", "user")).status_code == 403
    assert client.get(f"{PREFIX}/metrics", headers=bearer("anyone")).status_code == 403
    answer = client.get(f"{PREFIX}/metrics/popular-poses", headers=bearer("anyone")).json()
    assert answer["poses"] is None
    assert len(answer["warnings"]) == 1
    engine.dispose()


def unsigned(claims: dict) -> str:
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def signed(claims: dict, key: str = SECRET, algorithm: str = "HS256", **headers) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers or None)


NOW = time.time()
GOOD = {"userId": ADMIN, "email": "admin@example.com", "exp": int(NOW) + 3600}


def test_a_token_as_the_original_made_it_is_good(client):
    response = client.get(f"{PREFIX}/metrics", headers={"Authorization": f"Bearer {signed(GOOD)}"})
    assert response.status_code == 200
    lower = client.get(f"{PREFIX}/metrics", headers={"Authorization": f"bearer {signed(GOOD)}"})
    assert lower.status_code == 200


@pytest.mark.parametrize(
    "token",
    [
        signed(GOOD, "x" * 64),
        signed({**GOOD, "exp": int(NOW) - 1}),
        signed({"userId": ADMIN}),
        signed({"exp": GOOD["exp"]}),
        signed({**GOOD, "userId": ""}),
        signed({**GOOD, "userId": 7}),
        signed({**GOOD, "userId": {"$ne": None}}),
        signed({**GOOD, "nbf": int(NOW) + 3600}),
        signed({**GOOD, "exp": "soon"}),
        signed(GOOD, "x" * 64, algorithm="HS512"),
        signed(GOOD, SECRET, algorithm="HS512"),
        signed(GOOD, "x" * 64, jku="http://127.0.0.1:1/keys", kid="../../dev/null"),
        unsigned(GOOD),
        signed(GOOD)[:-2],
        "not-a-token",
        "a.b.c",
        "é",
        "x" * 9000,
    ],
    ids=[
        "other key", "expired", "no exp", "no user", "empty user", "number", "object", "not yet", "exp is text",
        "HS512 other key", "HS512 our key", "jku and kid", "none", "cut", "text", "parts", "not ascii", "long",
    ],
)  # fmt: skip
def test_tokens_that_are_refused(client, token):
    headers = [(b"authorization", b"Bearer " + token.encode())]
    response = client.get(f"{PREFIX}/metrics", headers=headers)
    assert response.status_code == 401, response.text
    assert response.json()["error"] == "Unauthorized"
    assert token not in response.text


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer  ", SECRET], ids=["basic", "none", "blank", "key"])
def test_headers_that_are_refused(client, header):
    assert client.get(f"{PREFIX}/metrics", headers={"Authorization": header}).status_code == 401


def test_two_headers_are_refused(client):
    value = bearer()["Authorization"]
    response = client.get(f"{PREFIX}/metrics", headers=[("Authorization", value), ("Authorization", value)])
    assert response.status_code == 401


def test_a_token_in_the_address_is_no_sign_in(client):
    token = make_token(ADMIN, None, SECRET)
    assert client.get(f"{PREFIX}/metrics?token={token}").status_code == 401
    assert client.get(f"{PREFIX}/metrics?access_token={token}").status_code == 401


@pytest.mark.parametrize(("secret", "got"), [(None, "got none"), ("", "got none"), ("short", "got one of 5 bytes")])
def test_a_key_is_needed(engine, secret, got):
    with pytest.raises(SecretError) as error:
        create_app(engine, jwt_secret=secret, settings=Settings(environ={}))
    assert str(error.value) == (
        f"JWT_SECRET: expected a key of at least 32 bytes, {got}; make one with: openssl rand -hex 32"
    )


def test_the_key_comes_from_the_environment(engine):
    assert create_app(engine, settings=Settings(environ={"JWT_SECRET": SECRET})) is not None


@pytest.mark.parametrize("ttl", [0, -1, float("inf"), float("nan")])
def test_tokens_end(ttl):
    with pytest.raises(ValueError, match="ttl: expected a positive number of seconds"):
        make_token(ADMIN, None, SECRET, ttl)
    with pytest.raises(ValueError, match="user: expected the id of a user"):
        make_token("", None, SECRET)
