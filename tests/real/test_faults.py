"""Every fault of docs/faults.md, provoked for real: what posemon_otel promises there holds."""

import pytest

from tests.faults.child import POSEMON
from tests.faults.scenario import measure
from tests.faults.table import BY_KEY


@pytest.mark.timeout(60)
@pytest.mark.parametrize("key", BY_KEY)
def test_is_survived(key):
    scenario = BY_KEY[key](brief=True)
    if why := scenario.impossible():
        pytest.skip(why)
    measured = measure(scenario, POSEMON)
    assert scenario.survived(measured) == [], measured["stderr"]
