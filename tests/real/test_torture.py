"""Sixty workers killed at random moments (``make torture`` kills a thousand): nothing that had ended is missing."""

import os

import pytest

from tests.torture import torture


@pytest.mark.timeout(150)
def test_nothing_that_had_ended_is_missing():
    kills = int(os.environ.get("POSEMON_TORTURE", "60"))
    result = torture(kills, seed=60)
    assert sum(result["deaths"].values()) == kills
    assert len(result["deaths"]) == 5
    assert all(count > kills for count in result["noted as ended"].values()), "the workers hardly worked"
    assert result["missing"] == dict.fromkeys(result["missing"], 0), result["examples of what is missing"]
    assert result["open when killed"]["reported as interrupted"] >= 1
