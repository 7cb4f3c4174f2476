"""The page without a browser: it holds no data, and nothing that the policy forbids."""

import re
from pathlib import Path

import pytest

import posemon_otel.admin
from tests.admin.conftest import ADMIN, PREFIX

STATIC = Path(posemon_otel.admin.__file__).parent / "static"
FILES = sorted(path.name for path in STATIC.iterdir())


def test_the_page(client):
    response = client.get(f"{PREFIX}/dashboard")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert f'src="{PREFIX}/static/dashboard.js"' in response.text
    assert 'id="password-form"' in response.text
    assert 'data-session=""' in response.text


def test_nothing_inline(client):
    text = client.get(f"{PREFIX}/dashboard").text
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)
    assert re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL) == [""]
    assert "http://" not in text
    assert "https://" not in text


def test_without_passwords_a_token_is_asked_for(make_client):
    text = make_client(login=False).get(f"{PREFIX}/dashboard").text
    assert 'id="password-form"' not in text
    assert "<details open>" in text


def test_the_page_knows_that_there_is_a_session(client, codes):
    client.post(f"{PREFIX}/session", json={"code": codes.issue(ADMIN)})
    assert 'data-session="yes"' in client.get(f"{PREFIX}/dashboard").text


@pytest.mark.parametrize("name", FILES)
def test_files(client, name):
    response = client.get(f"{PREFIX}/static/{name}")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-content-type-options"] == "nosniff"
    again = client.get(f"{PREFIX}/static/{name}", headers={"If-None-Match": response.headers["etag"]})
    assert again.status_code == 304
    if name.endswith(".js"):
        assert response.headers["content-type"].startswith("text/javascript")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", response.text)


@pytest.mark.parametrize("path", ["../app.py", "%2e%2e/app.py", "..%2fapp.py", "", "."])
def test_nothing_else_is_served(client, path):
    assert client.get(f"{PREFIX}/static/{path}").status_code == 404


def test_the_page_is_small():
    assert sum((STATIC / name).stat().st_size for name in FILES) < 50_000
