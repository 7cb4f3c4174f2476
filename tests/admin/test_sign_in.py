"""Three ways in: password, link, token; each limited, and the link works once."""

import json

import pytest
from sqlalchemy import text

from posemon_otel.admin import Rates, SignInCodes, make_token, verify
from posemon_otel.records import add_user, writing
from tests.admin.conftest import ADMIN, PASSWORD, PREFIX, SECRET, USER, bearer

LOGIN, SESSION = "/api/auth/login", f"{PREFIX}/session"


def login(client, email="admin@example.com", password=PASSWORD, **headers):
    return client.post(LOGIN, json={"email": email, "password": password}, headers=headers)


def test_login(client):
    response = login(client)
    assert response.status_code == 200
    answer = response.json()
    token = answer["data"].pop("token")
    assert answer == {
        "success": True,
        "message": "Login successful",
        "data": {"user": {"id": ADMIN, "email": "admin@example.com", "name": "Ada"}},
    }
    assert response.headers["cache-control"] == "no-store"
    assert "set-cookie" not in response.headers
    assert verify(token, SECRET).role is None  # the database says the role, now and later
    assert client.get(f"{PREFIX}/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_any_user_may_log_in(client):
    token = login(client, "user@example.com").json()["data"]["token"]
    assert client.get(f"{PREFIX}/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 403


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("admin@example.com", "wrong"),
        ("nobody@example.com", PASSWORD),
        ("", ""),
        ("admin@example.com", PASSWORD + "\0"),
        ("' OR 1=1 --", "' OR 1=1 --"),
        ("admin@example.com", "\ud83d"),
    ],
)
def test_wrong_credentials_all_look_alike(client, email, password):
    body = json.dumps({"email": email, "password": password})
    response = client.post(LOGIN, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 401)
    if response.status_code == 401:
        assert response.json() == {"error": "Unauthorized", "message": "E-mail address or password is wrong."}


def test_a_user_without_a_password_cannot_log_in(client, engine):
    add_user(engine, "sso", email="sso@example.com", password_hash="!", role="admin")
    assert login(client, "sso@example.com", "!").status_code == 401


def test_passwords_count_up_to_72_bytes_as_the_original_did(client, engine):
    import bcrypt

    stored = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    add_user(engine, "long", email="long@example.com", password_hash=stored)
    assert login(client, "long@example.com", "x" * 100).status_code == 200


def test_login_is_absent_unless_asked_for(make_client):
    assert login(make_client(login=False)).status_code == 404


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"email=a&password=b", "application/x-www-form-urlencoded", "Expected Content-Type: application/json."),
        (b"{}", "text/plain", "Expected Content-Type: application/json."),
        (b"", "application/json", "The body is not as expected: Input data was truncated."),
        (b"[]", "application/json", "The body is not as expected: Expected `object`, got `array`."),
        (
            b'{"email": "a"}',
            "application/json",
            "The body is not as expected: Object missing required field `password`.",
        ),
        (
            b'{"email": 1, "password": "b"}',
            "application/json",
            "The body is not as expected: Expected `str`, got `int` - at `$.email`.",
        ),
        (b'{"email": "' + b"x" * 20000 + b'"}', "application/json", "Expected a body of at most 16384 bytes."),
        (b"[" * 10000, "application/json", None),
        (b"\xff\xfe", "application/json", None),
    ],
    ids=["form", "text", "empty", "array", "missing", "number", "long", "deep", "bytes"],
)
def test_bodies_that_are_refused(client, body, kind, message):
    response = client.post(LOGIN, content=body, headers={"Content-Type": kind})
    assert response.status_code == 400, response.text
    assert response.json()["error"] == "Bad Request"
    if message is not None:
        assert response.json()["message"] == message


def test_attempts_are_limited_by_address(make_client):
    client = make_client(rates=Rates(sign_ins="3/minute"))
    assert [login(client, f"{n}@example.com", "wrong").status_code for n in range(4)] == [401, 401, 401, 429]
    limited = login(client)
    assert limited.status_code == 429
    assert limited.json()["error"] == "Too Many Requests"
    assert 1 <= int(limited.headers["retry-after"]) <= 61
    assert client.post(SESSION, json={"code": "x"}).status_code == 429


def test_attempts_are_limited_by_account(make_client):
    client = make_client(rates=Rates(account="2/minute"))
    assert [login(client, password="wrong").status_code for _ in range(3)] == [401, 401, 429]
    assert login(client, " ADMIN@example.com ").status_code == 429  # the right password too, until the time is over
    assert login(client, "user@example.com").status_code == 200


def test_success_forgets_the_attempts_before_it(make_client):
    client = make_client(rates=Rates(account="2/minute"))
    tries = ["wrong", PASSWORD, "wrong", PASSWORD, "wrong", "wrong", PASSWORD]
    codes = [login(client, password=password).status_code for password in tries]
    assert codes == [401, 200, 401, 200, 401, 401, 429]


def test_a_header_does_not_change_the_address_that_counts(make_client):
    client = make_client(rates=Rates(sign_ins="2/minute"))
    codes = [login(client, f"{n}@x.org", "wrong", **{"X-Forwarded-For": f"10.0.0.{n}"}).status_code for n in range(3)]
    assert codes == [401, 401, 429]


def test_a_link_signs_in_once(client, codes):
    code = codes.issue(ADMIN, email="admin@example.com")
    response = client.post(SESSION, json={"code": code})
    assert response.status_code == 200
    assert response.json() == {"userId": ADMIN, "email": "admin@example.com", "role": "admin", "admin": True}
    name, _, rest = response.headers["set-cookie"].partition("=")
    flags = {part.strip().lower() for part in rest.split(";")[1:]}
    assert name == "posemon_session"
    assert {"httponly", "samesite=strict", f"path={PREFIX}"} <= flags
    assert any(flag.startswith("max-age=") for flag in flags)
    assert client.get(f"{PREFIX}/metrics").status_code == 200
    again = client.post(SESSION, json={"code": code})
    assert again.status_code == 401
    assert again.json()["message"] == "This link was used already or is too old; ask for a new one."
    assert "set-cookie" not in again.headers


def test_a_link_ends(engine, make_client):
    codes = SignInCodes(seconds=0)
    client = make_client(sign_in_codes=codes)
    assert client.post(SESSION, json={"code": codes.issue(ADMIN)}).status_code == 401


def test_links_need_their_codes(make_client):
    assert make_client().post(SESSION, json={"code": "anything"}).status_code == 401


def test_a_link_of_somebody_unknown_lets_nobody_in(client, codes):
    assert client.post(SESSION, json={"code": codes.issue("stranger", role="admin")}).status_code == 401


def test_a_token_becomes_a_session_that_ends_with_it(client):
    response = client.post(SESSION, json={"token": make_token(USER, None, SECRET, 60)})
    assert response.status_code == 200
    assert response.json()["admin"] is False
    age = next(part for part in response.headers["set-cookie"].split(";") if "Max-Age" in part)
    assert 50 <= int(age.partition("=")[2]) <= 60
    assert client.get(f"{PREFIX}/metrics/popular-poses").status_code == 200
    assert client.get(f"{PREFIX}/metrics").status_code == 403


@pytest.mark.parametrize("body", [{}, {"code": "a", "token": "b"}, {"code": 1}, {"other": "x"}, {"code": None}])
def test_a_session_needs_one_of_both(client, body):
    assert client.post(SESSION, json=body).status_code == 400


def test_a_session_of_a_removed_user_is_over(client, codes, engine):
    client.post(SESSION, json={"code": codes.issue(ADMIN)})
    assert client.get(SESSION).status_code == 200
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM users WHERE id = :id"), {"id": ADMIN})
    assert client.get(SESSION).status_code == 401


def test_signing_out(client, codes):
    client.post(SESSION, json={"code": codes.issue(ADMIN)})
    response = client.delete(SESSION)
    assert response.status_code == 204
    assert client.get(SESSION).status_code == 401


def test_the_header_counts_before_the_cookie(client, codes):
    client.post(SESSION, json={"code": codes.issue(ADMIN)})
    assert client.get(f"{PREFIX}/metrics", headers=bearer(USER)).status_code == 403
    assert client.get(f"{PREFIX}/metrics", headers={"Authorization": "Bearer no"}).status_code == 401


def test_over_https_the_cookie_stays_there(make_client, codes):
    client = make_client(sign_in_codes=codes)
    client.base_url = "https://admin.test"
    assert "secure" in client.post(SESSION, json={"code": codes.issue(ADMIN)}).headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://admin.test:81"},
        {"Origin": "http://admin.test.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_sites_cannot_send_in_a_users_name(client, codes, headers):
    for response in (
        client.post(SESSION, json={"code": codes.issue(ADMIN)}, headers=headers),
        login(client, **headers),
        client.delete(SESSION, headers=headers),
    ):
        assert response.status_code == 403
        assert response.json()["message"] == "This request comes from another site."
        assert "set-cookie" not in response.headers


def test_the_own_page_may(client, codes):
    headers = {"Origin": "http://admin.test", "Sec-Fetch-Site": "same-origin"}
    assert client.post(SESSION, json={"code": codes.issue(ADMIN)}, headers=headers).status_code == 200


def test_codes_are_forgotten(client):
    codes = SignInCodes()
    first = codes.issue(ADMIN)
    for _ in range(1000):
        codes.issue(ADMIN)
    assert codes.redeem(first) is None
