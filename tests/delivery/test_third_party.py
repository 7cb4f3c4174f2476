"""Other people's instrumentations write the same spans and records through ours as through the SDK's provider.

What differs is redaction, and stands here in full. Those that are not locked with this project are in `tests/real`.
"""

import sys
from typing import Any

import pytest

from tests.delivery.compare import changes, written

LIBRARIES = ("httpx", "redis", "logging")
BASE = "http://127.0.0.1:0"
QUERY = f"{BASE}/query?token=s3cr3t-value-0123456789&page=2"

# Each request is made twice, by the sync and by the async client.
REDACTED = {
    ("httpx", "spans", number, "attributes", key): change
    for first, change in {
        4: (f"{BASE}/status/500?page=2", f"{BASE}/status/500"),
        6: (QUERY, f"{BASE}/query"),
        8: ("http://REDACTED:REDACTED@127.0.0.1:0/credentials", f"{BASE}/credentials"),
    }.items()
    for number in (first, first + 1)
    for key in ("http.url", "url.full")
}


@pytest.fixture(scope="module")
def by_sdk() -> dict[str, Any]:
    return written(sys.executable, "sdk", LIBRARIES)


def test_the_comparison_is_about_something(by_sdk: dict[str, Any]) -> None:
    assert {name: (len(told["spans"]), len(told["logs"])) for name, told in by_sdk.items()} == {
        "httpx": (16, 0),
        "redis": (8, 0),
        "logging": (1, 4),
    }
    statuses = {span["status"][0] for told in by_sdk.values() for span in told["spans"]}
    assert statuses == {"UNSET", "ERROR"}
    assert any(span["events"] for span in by_sdk["redis"]["spans"])


def test_through_the_journal_all_is_the_same_but_what_is_redacted(by_sdk: dict[str, Any]) -> None:
    assert changes(by_sdk, written(sys.executable, "journal", LIBRARIES)) == REDACTED


def test_an_application_s_own_provider_is_left_as_it_is(by_sdk: dict[str, Any]) -> None:
    assert changes(by_sdk, written(sys.executable, "direct", LIBRARIES)) == {}
