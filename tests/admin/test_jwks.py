"""Tokens of an identity provider, with real keys served over HTTP."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from posemon_otel.admin import SecretError, create_app
from posemon_otel.settings import Settings
from tests.admin.conftest import ADMIN, PREFIX, USER, bearer

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
AUDIENCE, ISSUER = "pose-admin", "https://id.example.com/"
P384 = ec.generate_private_key(ec.SECP384R1())


def public(algorithm, key, kid: str, **words: str) -> dict:
    return json.loads(algorithm.to_jwk(key.public_key())) | {"kid": kid, "use": "sig"} | words


@pytest.fixture
def provider() -> Iterator[SimpleNamespace]:
    keys = [
        public(RSAAlgorithm, RSA, "rsa-1"),
        public(ECAlgorithm, EC, "ec-1", alg="ES256"),
        public(ECAlgorithm, P384, "ec-384"),
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U", "kid": "oct-1", "use": "sig"},
    ]
    state = SimpleNamespace(keys=keys, asked=0, status=200)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.asked += 1
            self.send_response(state.status)
            self.end_headers()
            self.wfile.write(json.dumps({"keys": state.keys}).encode())

        def log_message(self, *_args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def ask(provider, make_client):
    client = make_client(jwks_url=provider.url, jwks_audience=AUDIENCE)

    def ask(token: str, path: str = "/metrics") -> int:
        return client.get(f"{PREFIX}{path}", headers={"Authorization": f"Bearer {token}"}).status_code

    ask.client = client
    return ask


def sign(key, algorithm: str, kid: str | None, user: str = ADMIN, **claims) -> str:
    payload = {"userId": user, "email": "a@example.com", "exp": int(time.time()) + 600, "aud": AUDIENCE, **claims}
    payload = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(payload, key, algorithm=algorithm, headers={} if kid is None else {"kid": kid})


def test_both_algorithms_are_taken(ask, provider):
    assert ask(sign(RSA, "RS256", "rsa-1")) == 200
    assert ask(sign(EC, "ES256", "ec-1")) == 200
    assert ask(sign(RSA, "RS256", "rsa-1", USER)) == 403  # the role is the database's here too
    assert provider.asked == 1


def test_own_tokens_still_work(ask, provider):
    assert ask.client.get(f"{PREFIX}/metrics", headers=bearer()).status_code == 200
    assert provider.asked == 0


def test_such_a_token_becomes_a_session(ask):
    response = ask.client.post(f"{PREFIX}/session", json={"token": sign(EC, "ES256", "ec-1")})
    assert response.status_code == 200
    assert ask.client.get(f"{PREFIX}/metrics").status_code == 200


@pytest.mark.parametrize(
    "token",
    [
        sign(STRANGER, "RS256", "rsa-1"),
        sign(RSA, "RS256", "unknown"),
        sign(RSA, "RS256", None),
        sign(RSA, "RS256", "ec-1"),
        sign(RSA, "RS512", "rsa-1"),
        sign(P384, "ES384", "ec-384"),
        sign(RSA, "RS256", "rsa-1", exp=int(time.time()) - 5),
        sign("secretsecretsecretsecretsecretse", "HS256", "oct-1"),
        sign(RSA, "RS256", "rsa-1", user=""),
        sign(RSA, "RS256", "rsa-1", aud="shop"),
        sign(RSA, "RS256", "rsa-1", aud=["shop", "pose-admin-2"]),
        sign(RSA, "RS256", "rsa-1", aud=None),
    ],
    ids=[
        "stranger",
        "unknown kid",
        "no kid",
        "other kid",
        "RS512",
        "ES384",
        "expired",
        "oct",
        "no user",
        "other audience",
        "other audiences",
        "no audience",
    ],
)
def test_tokens_that_are_refused(ask, token):
    assert ask(token) == 401


def test_a_public_key_is_no_secret(ask):
    """The old confusion: a token signed by HMAC with the provider's public key as its secret."""
    import base64
    import hashlib
    import hmac

    pem = RSA.public_key().public_bytes(encoding=Encoding.PEM, format=PublicFormat.SubjectPublicKeyInfo)
    part = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=")  # noqa: E731
    claims = {"userId": ADMIN, "exp": int(time.time()) + 600}
    body = part(b'{"alg":"HS256","kid":"rsa-1"}') + b"." + part(json.dumps(claims).encode())
    token = body + b"." + part(hmac.new(pem, body, hashlib.sha256).digest())
    assert ask(token.decode()) == 401


def test_a_provider_that_is_away_is_503_and_own_tokens_work(ask, provider):
    provider.status = 500
    response = ask.client.get(f"{PREFIX}/metrics", headers={"Authorization": f"Bearer {sign(RSA, 'RS256', 'rsa-1')}"})
    assert response.status_code == 503
    assert response.json()["message"] == "The keys of the identity provider cannot be read."
    assert ask.client.get(f"{PREFIX}/metrics", headers=bearer()).status_code == 200


def test_without_keys_such_tokens_are_refused(client):
    token = sign(RSA, "RS256", "rsa-1")
    assert client.get(f"{PREFIX}/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_with_keys_a_secret_may_be_missing(engine, provider):
    environ = {"POSEMON_JWKS_URL": provider.url, "POSEMON_JWKS_AUDIENCE": AUDIENCE}
    assert create_app(engine, settings=Settings(environ=environ)) is not None


def test_keys_without_an_audience_are_refused_at_once(engine, provider):
    with pytest.raises(SecretError, match=r"^POSEMON_JWKS_AUDIENCE: expected .*; set it to .*application$"):
        create_app(engine, settings=Settings(environ={"POSEMON_JWKS_URL": provider.url, "JWT_SECRET": "s" * 32}))


def test_one_of_several_audiences_is_enough(ask):
    assert ask(sign(RSA, "RS256", "rsa-1", aud=["shop", AUDIENCE])) == 200


@pytest.mark.parametrize(("claims", "status"), [({"iss": ISSUER}, 200), ({"iss": "https://other/"}, 401), ({}, 401)])
def test_the_issuer_where_one_is_set(provider, make_client, claims, status):
    environ = {
        "POSEMON_JWKS_URL": provider.url,
        "POSEMON_JWKS_AUDIENCE": AUDIENCE,
        "POSEMON_JWKS_ISSUER": ISSUER,
    }
    client = make_client(settings=Settings(environ=environ))
    header = {"Authorization": f"Bearer {sign(RSA, 'RS256', 'rsa-1', **claims)}"}
    assert client.get(f"{PREFIX}/metrics", headers=header).status_code == status


def test_whoever_brings_another_applications_token_is_told_so(ask):
    header = {"Authorization": f"Bearer {sign(RSA, 'RS256', 'rsa-1', aud='shop')}"}
    assert ask.client.get(f"{PREFIX}/metrics", headers=header).json()["message"] == (
        "The token is for another application."
    )


def test_unknown_keys_do_not_have_them_read_again_and_again(ask, provider):
    for number in range(5):
        assert ask(sign(RSA, "RS256", f"guess-{number}")) == 401
    assert provider.asked <= 2
