"""Who may import whom, and what stands nowhere in the tree. Every rule is shown to see what it forbids."""

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from posemon_otel.version import __version__

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "posemon_otel"
FILES = {
    path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))
}


class Rule(NamedTuple):
    """Where modules may be imported.

    Attributes:
        modules: They and what lies below them.
        allowed: Files, and folders with a slash at their end, of the package.
        names: Names that may be imported from them everywhere.
    """

    modules: tuple[str, ...]
    allowed: tuple[str, ...]
    names: frozenset[str] = frozenset()


RULES = {
    # bootstrap makes the Resource, which belongs to what it puts together; within a function, so that it stays cheap.
    "the SDK of OpenTelemetry": Rule(
        ("opentelemetry.sdk", "opentelemetry.exporter"), ("delivery/", "testing.py", "bootstrap.py")
    ),
    "SQLAlchemy": Rule(("sqlalchemy", "alembic"), ("records/", "demo/"), frozenset(("Engine",))),
    "Starlette": Rule(("starlette", "uvicorn", "jinja2", "limits", "jwt"), ("admin/",)),
    "click": Rule(("click",), ("cli/",)),
    "the journal": Rule(("posemon_otel.journal",), ("journal/", "delivery/")),
    "the demo": Rule(("posemon_otel.demo",), ("demo/", "cli/")),
    "the command line": Rule(("posemon_otel.cli",), ("cli/",)),
}

ONLY_OWN = {"semconv/": ("posemon_otel.semconv",), "artifacts/": ("posemon_otel.artifacts", "posemon_otel.semconv")}
"""What may be imported there beside the standard library."""

READS_ENVIRONMENT = ("settings.py", "distro.py", "delivery/tree.py", "demo/")
"""The settings; what is written before there are any; NO_COLOR; programs of their own."""

MOST_LINES = 400
LONGER = {"operation.py": 440}
"""Files that are allowed more, as long as they need it."""


def imports(text: str) -> Iterator[tuple[str, str, int]]:
    """Module, name within it (or nothing), and line, of each import, wherever it stands."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, "", node.lineno
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            for alias in node.names:
                yield node.module, alias.name, node.lineno


def within(module: str, wanted: Iterable[str]) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in wanted)


def broken(rule: Rule, files: dict[str, str]) -> list[str]:
    """Imports that a rule forbids, as ``file:line module``."""
    return [
        f"{name}:{line} {module}"
        for name, text in files.items()
        if not name.startswith(rule.allowed)
        for module, what, line in imports(text)
        if (within(module, rule.modules) or within(f"{module}.{what}", rule.modules)) and what not in rule.names
    ]


def foreign(folder: str, own: tuple[str, ...], files: dict[str, str]) -> list[str]:
    """Imports in a folder that are neither the standard library's nor its own."""
    return [
        f"{name}:{line} {module}"
        for name, text in files.items()
        if name.startswith(folder)
        for module, what, line in imports(text)
        if module.partition(".")[0] not in sys.stdlib_module_names
        and not within(module, own)
        and not within(f"{module}.{what}", own)
    ]


def environment(files: dict[str, str]) -> list[str]:
    """Uses of the process's environment outside of where they belong."""
    return [
        f"{name}:{node.lineno}"
        for name, text in files.items()
        if not name.startswith(READS_ENVIRONMENT)
        for node in ast.walk(ast.parse(text))
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb"))
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and any("env" in one.name for one in node.names))
    ]


def comments(text: str) -> Iterator[tuple[str, int]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string, token.start[0]


def unfinished(text: str) -> list[int]:
    """Lines with something left for later."""
    later = [line for comment, line in comments(text) if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", comment)]
    tree = ast.parse(text)
    return later + [
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "NotImplementedError"
    ]


def too_long(files: dict[str, str]) -> list[str]:
    return [name for name, text in files.items() if text.count("\n") > LONGER.get(name, MOST_LINES)]


# The words are put together here, so that this file is not among those that hold them.
_PATHS = re.compile("|".join((r"/(?:home|Users)" + r"/[a-z]\w+/", "/ro" + r"ot/\.?\w", "/wo" + "rk/")))
_HOSTS = re.compile(
    r"(?:pypi\.|files\.python" + r"hosted\.|registry\.npm|proxy\.golang\.)" + r"\w+|--(?:extra-)?index-" + "url"
)


def betrayed(text: str) -> list[str]:
    """Paths of a machine and hosts of registries in a text."""
    return [found[0] for pattern in (_PATHS, _HOSTS) for found in pattern.finditer(text)]


def tracked() -> list[Path]:
    """Files of the repository; where there is no git, as in an unpacked archive, those that would be."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=30)
    if listed.returncode:
        pytest.skip("not a git repository")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_contracts_are_kept():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert done.returncode == 0, done.stdout
    assert f"Contracts: {len(contracts)} kept, 0 broken" in done.stdout


@pytest.mark.parametrize("what", RULES)
def test_a_library_is_imported_where_it_belongs(what):
    assert broken(RULES[what], FILES) == []


@pytest.mark.parametrize("what", RULES)
def test_each_rule_sees_what_it_forbids(what):
    rule = RULES[what]
    for module in rule.modules:
        inside = f"def call():\n    from {module}.part import Thing\n"
        guarded = f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import {module}\n"
        parent, _, last = module.rpartition(".")
        roundabout = f"from {parent} import {last}\n" if parent else f"import {module} as other\n"
        planted = {"semconv/new.py": inside, "loggers.py": guarded, "health.py": roundabout}
        assert [found.partition(":")[0] for found in broken(rule, planted)] == list(planted)
        assert broken(rule, {f"{rule.allowed[0]}new.py": inside}) == []


@pytest.mark.parametrize("folder", ONLY_OWN)
def test_data_imports_the_standard_library_alone(folder):
    assert any(name.startswith(folder) for name in FILES)
    assert foreign(folder, ONLY_OWN[folder], FILES) == []
    text = "import json\nfrom posemon_otel import settings\nimport click\nfrom posemon_otel import semconv\n"
    planted = {f"{folder}new.py": text}
    assert foreign(folder, ONLY_OWN[folder], planted) == [f"{folder}new.py:2 posemon_otel", f"{folder}new.py:3 click"]


def test_the_settings_alone_read_the_environment():
    assert environment(FILES) == []
    planted = {"tracker.py": "import os\nos.getenv('X')\n", "health.py": "from os import environ\n"}
    assert environment(planted | {"demo/x.py": "import os\nos.environ\n"}) == ["tracker.py:2", "health.py:1"]


def test_files_are_short():
    assert too_long(FILES) == []
    assert [name for name in LONGER if FILES[name].count("\n") <= MOST_LINES] == [], "needs no exception any more"
    assert too_long({"a.py": "\n" * MOST_LINES, "b.py": "\n" * (MOST_LINES + 1)}) == ["b.py"]


def test_nothing_is_left_for_later():
    assert {name: lines for name, text in FILES.items() if (lines := unfinished(text))} == {}
    assert unfinished("x = 1\ny = 2  # TODO: more\nraise NotImplementedError\n") == [2, 3]
    assert unfinished('"""The word TODO in a text."""\n') == []


def test_the_version_is_written_once():
    literal = re.compile(rf"""["']{re.escape(__version__)}["']""")
    assert [name for name, text in FILES.items() if literal.search(text)] == ["version.py"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "posemon_otel/version.py"


def test_no_machine_and_no_registry_is_named():
    found = {}
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if named := betrayed(text):
            found[path.relative_to(ROOT).as_posix()] = named
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "/home" + "/anna/clone/x.py",
        "/Users" + "/anna/clone",
        "cd /wo" + "rk/main",
        "/ro" + "ot/.cache",
        "https://pypi" + ".org/simple",
        "https://files.python" + "hosted.org/x.whl",
        "--index-" + "url https://example.com",
    ],
)
def test_a_machine_and_a_registry_would_be_seen(text):
    assert betrayed(text)
