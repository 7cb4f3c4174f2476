"""The registry: what is asked for by name and missing raises; what is not found by itself is silent, and told."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from posemon_otel import instrumentation, settings
from posemon_otel.instrumentation import _patching
from posemon_otel.instrumentation._library import Library

FOLDER = Path(instrumentation.__file__).parent
ESCAPES = {"bullmq"}
"""Libraries whose calls no driver fits, and whose files may do what the others may not."""


@pytest.fixture(autouse=True)
def _all_off():
    yield
    instrumentation.uninstrument()


def states():
    return {status.name: status for status in instrumentation.status()}


def version(monkeypatch, **versions):
    real = metadata.version

    def fake(name):
        said = versions.get(name, "")
        if said is None:
            raise metadata.PackageNotFoundError(name)
        return said or real(name)

    monkeypatch.setattr(metadata, "version", fake)


def test_a_name_switches_one_library_on_and_off():
    instrumentation.instrument("pillow")
    assert {name for name, status in states().items() if status.instrumented} == {"pillow"}
    assert states()["huggingface_hub"].reason == "not asked for"
    instrumentation.instrument("pillow")
    instrumentation.uninstrument("pillow")
    assert not any(status.instrumented for status in states().values())
    instrumentation.uninstrument("pillow")


def test_without_names_everything_that_is_installed():
    instrumentation.instrument()
    assert [status.name for status in instrumentation.status() if status.instrumented] == list(
        instrumentation.LIBRARIES
    )
    assert not any(status.reason for status in instrumentation.status())
    instrumentation.uninstrument()
    assert not any(status.instrumented for status in instrumentation.status())


def test_an_unknown_name():
    for ask in (instrumentation.instrument, instrumentation.uninstrument, instrumentation.dependencies):
        with pytest.raises(ValueError, match=r"no instrumentation is called 'flax'; there are bullmq, huggingface_hub"):
            ask("flax")


def test_a_missing_library_that_was_asked_for(monkeypatch):
    version(monkeypatch, pillow=None)
    with pytest.raises(ModuleNotFoundError, match=r"pillow is not installed; pip install 'pillow>=11,<14'"):
        instrumentation.instrument("huggingface_hub", "pillow")
    assert not states()["huggingface_hub"].instrumented, "all or nothing"


def test_a_missing_library_that_was_not_asked_for(monkeypatch, capfd, caplog):
    version(monkeypatch, pillow=None)
    instrumentation.instrument()
    assert (states()["pillow"].instrumented, states()["pillow"].version) == (False, None)
    assert states()["pillow"].reason == "pillow is not installed"
    assert states()["huggingface_hub"].instrumented
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])


def test_a_version_that_was_not_tested(monkeypatch):
    version(monkeypatch, pillow="99.0")
    instrumentation.instrument()
    assert not states()["pillow"].instrumented
    assert states()["pillow"].reason == "pillow 99.0 is not one of the versions tested, >=11,<14"
    instrumentation.instrument("pillow")
    assert states()["pillow"].instrumented
    assert "not one of the versions tested" in states()["pillow"].reason


@pytest.mark.parametrize("disabled", ["pillow", "posemon_pillow", "requests, posemon_pillow"])
def test_a_library_that_a_setting_switches_off(monkeypatch, disabled):
    monkeypatch.setattr(settings, "_current", settings.Settings({"disabled_instrumentations": disabled}))
    instrumentation.instrument()
    assert not states()["pillow"].instrumented
    assert states()["pillow"].reason == "switched off by OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
    assert states()["huggingface_hub"].instrumented
    instrumentation.instrument("pillow")
    assert states()["pillow"].instrumented


def test_all_libraries_can_be_switched_off():
    instrumentation.instrument_installed(["*"])
    assert not any(status.instrumented for status in instrumentation.status())


def test_status_tells_of_each_call():
    import PIL.Image  # noqa: F401

    instrumentation.instrument("pillow")
    assert states()["pillow"].points == {"PIL.Image:Image.save": _patching.PATCHED}


def test_enabling_a_library_imports_nothing():
    code = (
        "import sys\n"
        "from posemon_otel import instrumentation\n"
        "instrumentation.instrument()\n"
        "print(*[name for name in ('PIL', 'huggingface_hub', 'bullmq', 'wrapt', 'redis') if name in sys.modules])\n"
        "print(*{point for status in instrumentation.status() for point in status.points.values()}, sep='|')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["", _patching.WAITING]
    assert done.stderr == ""


# -- the library files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", instrumentation.LIBRARIES)
def test_a_library_file_says_what_is_so(name):
    library = importlib.import_module(f"posemon_otel.instrumentation.{name}").LIBRARY
    assert isinstance(library, Library)
    assert library.name == name
    assert SpecifierSet(library.tested).contains(metadata.version(library.distribution))
    for point in library.points:
        assert (point.wrap is not None) is (name in ESCAPES)
        importlib.import_module(point.module)
    instrumentation.instrument(name)
    assert set(states()[name].points.values()) == {_patching.PATCHED}


@pytest.mark.parametrize("name", sorted(set(instrumentation.LIBRARIES) - ESCAPES))
def test_a_library_file_only_reads(name):
    """No `try`, no wrapper, no span: extractors are a few lines, and faults are the mechanism's to catch."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    for node in ast.walk(tree):
        assert not isinstance(node, (ast.Try, ast.TryStar, ast.With, ast.AsyncWith, ast.AsyncFunctionDef, ast.ClassDef))
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            assert not [module for module in imported if module.startswith(("opentelemetry", "wrapt"))]
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert "span" not in called
            assert called not in {"setattr", "begin", "Operation", "wraps"}
    nested = [
        inner.name for outer in functions for inner in ast.walk(outer) if inner is not outer and inner in functions
    ]
    assert nested == []


@pytest.mark.parametrize("name", ["_library", "_binding", "_calls", "_drivers", "_imports", "_patching"])
def test_the_mechanism_knows_no_opentelemetry(name):
    code = (
        f"import sys, posemon_otel.instrumentation.{name}; print([m for m in sys.modules if m.startswith('opentel')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_every_library_file_is_registered():
    others = {"__init__", "entry"}
    files = {path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_") or path.stem == "__init__"}
    assert files - others == set(instrumentation.LIBRARIES)


# -- entry points ---------------------------------------------------------------------------------------------------


def test_there_is_an_instrumentor_for_each_library():
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

    from posemon_otel.instrumentation import entry

    classes = {
        cls.library: cls
        for cls in vars(entry).values()
        if isinstance(cls, type) and vars(cls).get("library") is not None
    }
    assert sorted(classes) == sorted(instrumentation.LIBRARIES)
    made = {name: cls() for name, cls in classes.items()}
    assert len({id(instrumentor) for instrumentor in made.values()}) == len(classes)
    assert BaseInstrumentor._instance is None, "the base was made an instance of"
    assert all(classes[name]() is instrumentor for name, instrumentor in made.items())
    pillow = made["pillow"]
    assert list(pillow.instrumentation_dependencies()) == ["pillow >=11,<14"]
    pillow.instrument()
    assert {name for name, status in states().items() if status.instrumented} == {"pillow"}
    assert not made["bullmq"].is_instrumented_by_opentelemetry
    pillow.uninstrument()
    assert not states()["pillow"].instrumented
