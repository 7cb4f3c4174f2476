"""Underscore names of OpenTelemetry stand in one list with reasons; the package's syntax tree holds no others."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import posemon_otel
from posemon_otel.delivery._private import NAMES

PACKAGE = Path(posemon_otel.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def own_names() -> set[str]:
    """Underscore names that the package itself defines: functions, classes, slots, attributes and module variables."""
    names: set[str] = set()
    for tree in TREES.values():
        for node in ast.walk(tree):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    names.add(node.name)
                case ast.Attribute(ctx=ast.Store()):
                    names.add(node.attr)
                case ast.Name(ctx=ast.Store()):
                    names.add(node.id)
    return names


OWN = own_names() - set(NAMES)


def uses(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Private modules and names that are imported from OpenTelemetry, and attributes that nobody here defines."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                for alias in node.names:
                    if alias.name.startswith("opentelemetry") and any(map(private, alias.name.split("."))):
                        yield alias.name, node.lineno
            case ast.ImportFrom(module=str(module)) if module.startswith("opentelemetry"):
                if any(map(private, module.split("."))):
                    yield module, node.lineno
                for alias in node.names:
                    if private(alias.name):
                        yield f"{module}.{alias.name}", node.lineno
            case ast.Attribute(ctx=ast.Load(), attr=attr) if private(attr) and attr not in OWN:
                yield attr, node.lineno
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr" | "setattr"), args=[_, ast.Constant(value=str(name)), *_]
            ):
                if private(name) and name not in OWN:
                    yield name, node.lineno


# Of other libraries and the standard library, which this list is not about.
NOT_OPENTELEMETRY = {"_mapping", "_exit", "_MEIPASS", "_asdict", "_replace", "_make", "_fields", "_name_", "_value_"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_private_name(path: Path) -> None:
    found = [
        f"{path.name}:{line} {name}" for name, line in uses(TREES[path]) if name not in NAMES.keys() | NOT_OPENTELEMETRY
    ]
    assert found == []


def test_every_name_of_the_list_is_used_and_has_a_reason() -> None:
    used = {name for tree in TREES.values() for name, _ in uses(tree)}
    assert set(NAMES) - used == set()
    assert all(len(reason) > 20 for reason in NAMES.values())


@pytest.mark.parametrize(
    "line",
    [
        "from opentelemetry.sdk.trace import _Span",
        "from opentelemetry.util._providers import _load_provider",
        "import opentelemetry.util._providers",
        "provider._active_span_processor",
        "getattr(provider, '_active_span_processor', None)",
    ],
)
def test_the_walk_finds_what_it_is_for(line: str) -> None:
    found = [name for name, _ in uses(ast.parse(line))]
    assert found
    assert not NAMES.keys() & found
