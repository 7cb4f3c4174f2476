"""Tables of everything that has a name."""

import re

import pytest

from posemon_otel.artifacts import TABLES, code, table
from posemon_otel.semconv import attributes as a
from posemon_otel.semconv import errors as e
from posemon_otel.semconv import health as h
from posemon_otel.semconv import metrics as m
from posemon_otel.semconv import operations as o


def rows(name: str) -> list[list[str]]:
    """Cells of a table's rows, as Markdown reads them."""
    lines = TABLES[name]().splitlines()[2:]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in lines]


@pytest.mark.parametrize("name", TABLES)
def test_every_row_has_a_cell_for_each_column(name):
    header = TABLES[name]().splitlines()[0].strip("|").split("|")
    assert rows(name)
    assert {len(row) for row in rows(name)} == {len(header)}


def test_bars_and_line_breaks_stay_within_their_cell():
    assert table(("a", "b"), [("x|y", "one\ntwo")]) == "| a | b |\n| --- | --- |\n| x\\|y | one two |"


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="expected 2 cells a row, got 1"):
        table(("a", "b"), [("x",)])


def test_code_leaves_out_what_is_empty():
    assert code("a", "", "b") == "`a`, `b`"
    assert code("") == ""


def test_nothing_that_is_registered_is_left_out():
    assert [row[0] for row in rows("attributes")] == [f"`{key}`" for key in sorted(a.BY_KEY)]
    assert [row[0] for row in rows("metrics")] == [f"`{metric.name}`" for metric in m.METRICS]
    assert [row[0] for row in rows("error-types")] == [f"`{kind.value}`" for kind in e.ErrorType]
    assert [row[0] for row in rows("error-reasons")] == [f"`{reason.name}`" for reason in e.REASONS]
    assert [row[0] for row in rows("spans")] == [f"`{kind.span_name}`" for kind in o.KINDS if kind is not o.SPAN]
    assert len(rows("indicators")) == len(h.INDICATORS)
    assert len(rows("alerts")) == len(h.ALERTS)
    assert {name for row in rows("buckets") for name in row[0].replace("`", "").split(", ")} == {
        metric.name for metric in m.METRICS if metric.instrument == m.HISTOGRAM
    }


def test_each_pair_of_type_and_reason_stands_where_it_belongs():
    for kind, retry, no_use, kept in rows("error-types"):
        error = e.ErrorType(kind.strip("`"))
        for reason in e.VALID_REASONS[error]:
            assert (f"`{reason}`" in retry) is e.retryable(error, reason)
            assert (f"`{reason}`" in no_use) is not e.retryable(error, reason)
            assert (f"`{reason}`" in kept) is not e.refundable(error, reason)


def test_bounds_as_people_write_them():
    by_key = {row[1]: row[3:] for row in rows("indicators")}
    assert by_key["`successRate`"] == ["above 95 %", "90 % to 95 %", "below 90 %"]
    assert by_key["`queueDepth`"] == ["below 100 jobs", "100 jobs to 500 jobs", "above 500 jobs"]
    sizes = next(row[1] for row in rows("buckets") if "pose.storage.object.size" in row[0])
    assert sizes.startswith("1,000, ")
    assert sizes.endswith(", 100,000,000")
    steps = next(row[1] for row in rows("buckets") if "pose.diffusion.step.duration" in row[0])
    assert steps.startswith("0.001, 0.005, ")
    assert steps.endswith(", 60")
