"""Generated blocks of a document."""

import pytest

from posemon_otel.artifacts import BlockError, fill, stale

DOCUMENT = """# Title
<!-- generated: first -->
old
<!-- end -->
between | `code` \\1
<!-- generated: second -->
<!-- end -->
"""
BLOCKS = {"first": "new \\1\nlines\n", "second": "other"}


def test_blocks_are_written_and_the_rest_is_left_alone():
    filled = fill(DOCUMENT, BLOCKS)
    assert filled == (
        "# Title\n<!-- generated: first -->\nnew \\1\nlines\n<!-- end -->\nbetween | `code` \\1\n"
        "<!-- generated: second -->\nother\n<!-- end -->\n"
    )
    assert fill(filled, BLOCKS) == filled


def test_stale_blocks_are_named_in_the_order_of_the_document():
    assert stale(DOCUMENT, BLOCKS) == ["first", "second"]
    filled = fill(DOCUMENT, BLOCKS)
    assert stale(filled, BLOCKS) == []
    assert stale(filled.replace("other", "touched"), BLOCKS) == ["second"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (DOCUMENT.replace("first", "frist"), "expected blocks called first, second, got 'frist'; correct its name"),
        (DOCUMENT.replace("second", "first"), "expected the block first once, got it 2 times; keep one"),
        (
            DOCUMENT.partition("between")[0],
            "expected a block second, got none; add <!-- generated: second --> and <!-- end -->",
        ),
        (
            DOCUMENT.replace("<!-- end -->\n", "", 1),
            "expected <!-- end --> after every <!-- generated: name -->, one is missing; add it",
        ),
        (DOCUMENT.replace("generated: second", "generated: Second!"), "expected <!-- end --> after every"),
    ],
)
def test_a_document_with_other_blocks_is_refused(document, message):
    for function in (fill, stale):
        with pytest.raises(BlockError) as raised:
            function(document, BLOCKS)
        assert str(raised.value).startswith(message)
