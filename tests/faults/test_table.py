"""The table of faults in the documentation is what was measured, and names tests that exist."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import table
from tests.faults.arrivals import Arrivals
from tests.faults.child import POSEMON, STOCK
from tests.faults.forks import DEATHS, plan
from tests.torture import judge

ROOT = Path(__file__).parents[2]
FOUND = json.loads((ROOT / "docs" / "faults.json").read_text())
TORTURE = json.loads((ROOT / "docs" / "torture.json").read_text())


def functions(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name


def exists(test: str) -> bool:
    path, _, name = test.partition("::")
    file = ROOT / path
    return file.is_file() and (not name or name.partition("[")[0] in functions(file))


def test_the_page_is_what_the_figures_say():
    assert (ROOT / "docs" / "faults.md").read_text() == table.render(FOUND)


def test_the_figures_are_of_the_scenarios():
    scenarios = {one.key: one().fault for one in table.ALL}
    assert {row["key"]: row["fault"] for row in FOUND["rows"]} == scenarios
    assert all(row[STOCK] and row[POSEMON] for row in FOUND["rows"])


def test_every_promise_of_the_table_was_kept_when_it_was_measured():
    assert {row["key"]: row["problems"] for row in FOUND["rows"] if row["problems"]} == {}


@pytest.mark.parametrize("row", FOUND["rows"], ids=lambda row: row["key"])
def test_each_row_names_tests_that_exist(row):
    assert row["tests"] == [table.BY_KEY[row["key"]]().own_test, *table.BY_KEY[row["key"]].tests]
    assert [test for test in row["tests"] if not exists(test)] == []


def test_a_test_that_is_not_there_is_seen():
    assert exists("tests/faults/test_table.py::test_a_test_that_is_not_there_is_seen[any]")
    assert not exists("tests/faults/test_table.py::test_of_another_name")
    assert not exists("tests/faults/test_nothing.py")


def test_a_thousand_kills_lost_nothing():
    assert TORTURE["kills"] == sum(TORTURE["deaths"].values()) == 1000
    assert set(TORTURE["deaths"]) == set(DEATHS)
    assert set(TORTURE["missing"].values()) == {0}
    assert all(count > 10_000 for count in TORTURE["noted as ended"].values())
    assert TORTURE["open when killed"]["reported as interrupted"] > 100


def test_a_run_can_be_repeated_by_its_seed():
    assert plan(20, 3) == plan(20, 3) != plan(20, 4)


def test_what_did_not_arrive_is_missing():
    noted = {what: {"7-1"} for what in ("generation", "span", "log", "event", "begun", "journalled")}
    missing = judge(noted, Arrivals())["missing"]
    assert missing == dict.fromkeys(missing, 1)
    assert set(missing) == {
        "generations",
        "spans",
        "logs",
        "events",
        "interrupted",
        "generations counted",
        "events counted",
    }
