"""OpenTelemetry's own table of what an implementation does for traces, row by row, through every way of ours.

The rows are those of the specification's `spec-compliance-matrix/python.yaml` (August 2026) that the Python SDK
claims: `+` there. What it leaves open (`?`, `-`) is not here. Each row is asserted on the SDK's provider too: what is
expected is what the SDK does.
"""

import pytest

from tests.delivery.compliance_rows import FURTHER, ROWS
from tests.delivery.worlds import WORLDS

CLAIMED = 58
"""Rows of the section Traces with a `+` for Python."""

# Rows with one check run once for all of them.
CHECKS = {
    check.__name__ + ("" if not given else f" ({', '.join(given)})"): (check, given)
    for _, _, check, given in ROWS + FURTHER
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", CHECKS)
def test_the_table_holds(name: str, world: str) -> None:
    check, given = CHECKS[name]
    with WORLDS[world]({argument: make() for argument, make in given.items()}) as made:
        check(made)


def test_every_row_is_here_once() -> None:
    assert len(ROWS) == CLAIMED
    assert len({(section, feature) for section, feature, _, _ in ROWS}) == CLAIMED
