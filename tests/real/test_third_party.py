"""The instrumentations that are not locked with this project, in an environment of their own, compared likewise."""

from typing import Any

import pytest

from tests.delivery.compare import ROOT, changes, written

PYTHON = ROOT / ".venv-third-party" / "bin" / "python"
LIBRARIES = ("requests", "starlette", "sqlalchemy")
BASE = "http://127.0.0.1:0"
QUERY = "token=s3cr3t-value-0123456789&page=2"
REFUSED = (
    "HTTPConnectionPool(host='127.0.0.1', port=1): Max retries exceeded with url: /refused "
    '(Caused by NewConnectionError("{}"))'
)
WHY = "HTTPConnection(host='127.0.0.1', port=1): Failed to establish a new connection: [Errno 111] Connection refused"
LEFT = REFUSED.format("[110 characters]")  # text in quotes may be a prompt
SELECT = "select name from poses where name = {} and id = {}"


def attribute(library: str, number: int, key: str) -> tuple[Any, ...]:
    return library, "spans", number, "attributes", key


REDACTED = (
    {
        attribute("requests", number, key): change
        for number, change in {
            2: (f"{BASE}/status/500?page=2", f"{BASE}/status/500"),
            3: (f"{BASE}/query?{QUERY}", f"{BASE}/query"),
            4: ("http://REDACTED:REDACTED@127.0.0.1:0/credentials", f"{BASE}/credentials"),
        }.items()
        for key in ("http.url", "url.full")
    }
    | {
        ("requests", "spans", 5, "status", 1): tuple(
            f"ConnectionError: {text}" for text in (REFUSED.format(WHY), LEFT)
        ),
        ("requests", "spans", 5, "events", 0, 1, "exception.message"): (REFUSED.format(WHY), LEFT),
        ("requests", "spans", 5, "events", 0, 1, "exception.stacktrace", 0): tuple(
            f"requests.exceptions.ConnectionError: {text}" for text in (REFUSED.format(WHY), LEFT)
        ),
        attribute("starlette", 8, "url.query"): (QUERY, "[redacted]"),
        attribute("starlette", 8, "http.url"): (
            f"http://testserver/plain/three?{QUERY}",
            "http://testserver/plain/three",
        ),
    }
    | {
        attribute("sqlalchemy", number, key): change
        for number, change in {
            3: (SELECT.format("'jane@example.org'", 1), SELECT.format("?", "?")),
            4: ("select 1 from nowhere", "select ? from nowhere"),
        }.items()
        for key in ("db.statement", "db.query.text")
    }
)


@pytest.fixture(scope="module")
def by_sdk() -> dict[str, Any]:
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON.relative_to(ROOT)} is missing: .ci/run installs it from tests/real/third_party.lock")
    return written(PYTHON, "sdk", LIBRARIES)


def test_the_comparison_is_about_something(by_sdk: dict[str, Any]) -> None:
    assert all(len(told["spans"]) > 4 for told in by_sdk.values())
    assert {span["status"][0] for told in by_sdk.values() for span in told["spans"]} == {"UNSET", "ERROR"}
    assert "exception" in {event[0] for span in by_sdk["starlette"]["spans"] for event in span["events"]}


def test_through_the_journal_all_is_the_same_but_what_is_redacted(by_sdk: dict[str, Any]) -> None:
    assert changes(by_sdk, written(PYTHON, "journal", LIBRARIES)) == REDACTED


def test_an_application_s_own_provider_is_left_as_it_is(by_sdk: dict[str, Any]) -> None:
    assert changes(by_sdk, written(PYTHON, "direct", LIBRARIES)) == {}
