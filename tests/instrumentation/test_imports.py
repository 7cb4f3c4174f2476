"""The import hook: it sees executions and changes nothing else."""

from __future__ import annotations

import importlib
import importlib.resources
import importlib.util
import inspect
import pkgutil
import sys
from importlib.machinery import SourceFileLoader

import pytest

from posemon_otel.instrumentation import _imports


@pytest.fixture
def seen(toy_name):
    seen = []
    cancel = _imports.watch(toy_name, seen.append)
    yield seen
    cancel()


def test_an_import_and_a_reload_are_seen(toy_name, seen):
    assert _imports.imported(toy_name) is None
    module = importlib.import_module(toy_name)
    assert seen == [module]
    importlib.import_module(toy_name)
    assert seen == [module]
    importlib.reload(module)
    assert seen == [module, module]
    assert _imports.imported(toy_name) is module


def test_the_module_knows_its_own_loader(toy_name, seen):
    module = importlib.import_module(toy_name)
    assert type(module.__loader__) is SourceFileLoader
    assert type(module.__spec__.loader) is SourceFileLoader
    assert "class Base" in inspect.getsource(module)
    assert pkgutil.get_data(toy_name, f"{toy_name}.py").startswith(b"\nimport asyncio")


def test_a_spec_that_is_only_looked_at(toy_name, seen):
    spec = importlib.util.find_spec(toy_name)
    assert isinstance(spec.loader, SourceFileLoader)
    assert spec.loader.get_source(toy_name).startswith("\nimport asyncio")
    assert seen == []
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert seen == [module]


def test_a_package_and_its_resources(tmp_path, toy_name, seen):
    (tmp_path / f"{toy_name}.py").unlink()
    (tmp_path / toy_name).mkdir()
    (tmp_path / toy_name / "__init__.py").write_text("from . import part")
    (tmp_path / toy_name / "part.py").write_text("")
    (tmp_path / toy_name / "data.txt").write_text("data")
    importlib.invalidate_caches()
    package = importlib.import_module(toy_name)
    try:
        assert seen == [package]
        assert importlib.resources.files(package).joinpath("data.txt").read_text() == "data"
    finally:
        del sys.modules[f"{toy_name}.part"]


def test_a_namespace_package_is_left_alone(tmp_path, toy_name, seen):
    (tmp_path / f"{toy_name}.py").unlink()
    (tmp_path / toy_name).mkdir()
    importlib.invalidate_caches()
    module = importlib.import_module(toy_name)
    assert list(module.__path__) == [str(tmp_path / toy_name)]


def test_a_module_that_is_not_there(seen, toy_name, tmp_path):
    (tmp_path / f"{toy_name}.py").unlink()
    importlib.invalidate_caches()
    with pytest.raises(ModuleNotFoundError, match=toy_name):
        importlib.import_module(toy_name)
    assert seen == []


def test_a_blocked_module_is_not_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "blocked_module", None)
    assert _imports.imported("blocked_module") is None


def test_the_hook_leaves_with_its_last_watch():
    finders = list(sys.meta_path)
    first, second = [], []
    cancels = [_imports.watch("no_such_module", watcher.append) for watcher in (first, second)]
    assert sys.meta_path == [_imports._finder, *finders]
    cancels[0]()
    cancels[0]()
    assert _imports._finder in sys.meta_path
    cancels[1]()
    assert sys.meta_path == finders


def test_another_hook_like_ours(toy_name, seen):
    """wrapt's, ddtrace's and others' hooks ask the whole of `sys.meta_path` anew."""
    import wrapt

    theirs = []
    wrapt.register_post_import_hook(theirs.append, toy_name)
    module = importlib.import_module(toy_name)
    assert seen == theirs == [module]


def test_other_modules_take_their_usual_way(seen):
    assert _imports._finder.find_spec("json", None, None) is None
