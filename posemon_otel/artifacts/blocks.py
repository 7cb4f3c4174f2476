"""Generated blocks of a Markdown document: ``<!-- generated: NAME -->`` ... ``<!-- end -->``."""

import re
from collections.abc import Mapping

_BLOCK = re.compile(r"^<!-- generated: (?P<name>[a-z-]+) -->\n(?P<body>.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)
_OPENING = re.compile(r"^<!-- generated: .*$", re.MULTILINE)


class BlockError(ValueError):
    """The blocks of a document are not those that are generated; the message is one line that says what to do."""


def fill(document: str, blocks: Mapping[str, str]) -> str:
    """Writes each block's text between its marks, and leaves everything else as it is.

    Args:
        document: A Markdown document in which every block stands once.
        blocks: Text by name.

    Raises:
        BlockError: A block has no end, is unknown, is missing or stands there twice.
    """
    _check(document, blocks)
    return _BLOCK.sub(lambda found: _written(found["name"], blocks[found["name"]]), document)


def stale(document: str, blocks: Mapping[str, str]) -> list[str]:
    """Names of the blocks that do not say what they should, in the order of the document.

    Args:
        document: As for ``fill``.
        blocks: As for ``fill``.

    Raises:
        BlockError: As for ``fill``.
    """
    _check(document, blocks)
    return [
        found["name"]
        for found in _BLOCK.finditer(document)
        if found[0] != _written(found["name"], blocks[found["name"]])
    ]


def _written(name: str, text: str) -> str:
    return f"<!-- generated: {name} -->\n{text.strip()}\n<!-- end -->"


def _check(document: str, blocks: Mapping[str, str]) -> None:
    found = [match["name"] for match in _BLOCK.finditer(document)]
    if len(found) != len(_OPENING.findall(document)):
        raise BlockError("expected <!-- end --> after every <!-- generated: name -->, one is missing; add it")
    for name in found:
        if name not in blocks:
            raise BlockError(f"expected blocks called {', '.join(sorted(blocks))}, got {name!r}; correct its name")
        if found.count(name) > 1:
            raise BlockError(f"expected the block {name} once, got it {found.count(name)} times; keep one")
    for name in blocks:
        if name not in found:
            raise BlockError(f"expected a block {name}, got none; add <!-- generated: {name} --> and <!-- end -->")
