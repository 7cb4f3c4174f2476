"""Patches come, go and come again, in any order with imports, reloads and other tools' wrappers."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import threading

import pytest
import wrapt

from posemon_otel.instrumentation import _imports, _patching
from posemon_otel.instrumentation._library import Library, PatchPoint


def raw(owner, name):
    return inspect.getattr_static(owner, name)


# -- orders ---------------------------------------------------------------------------------------------------------

NAMES = ["Base.render", "Base.arender", "Base.stream", "Base.astream", "Base.make", "Base.check", "run"]


@pytest.mark.parametrize("name", NAMES)
def test_restore_gives_the_very_original_back(toy, patched, name):
    owner = toy.Base if "." in name else toy
    attribute = name.rpartition(".")[2]
    before = raw(owner, attribute)
    installed = patched(name)
    assert raw(owner, attribute) is not before
    installed.restore()
    assert raw(owner, attribute) is before
    installed.restore()
    assert raw(owner, attribute) is before


def test_installing_twice_is_installing_once(toy, library, recorder):
    one = library("Base.render")
    first = _patching.install(one, recorder)
    replacement = toy.Base.render
    assert _patching.install(one, recorder) is first
    assert toy.Base.render is replacement
    toy.Base().render("p")
    assert len(recorder) == 1


def test_on_off_and_on_again(toy, library, recorder):
    one = library("Base.render", "Base.arender")
    for expected in (1, 2, 3):
        installed = _patching.install(one, recorder)
        assert installed.on
        toy.Base().render("p")
        assert len(recorder) == expected
        installed.restore()
        assert not installed.on
        toy.Base().render("p")
        assert len(recorder) == expected


def test_installed_before_the_import(toy_name, patched, recorder):
    installed = patched("Base.render")
    target = f"{toy_name}:Base.render"
    assert toy_name not in sys.modules
    assert installed.points == {target: _patching.WAITING}
    toy = importlib.import_module(toy_name)
    assert installed.points == {target: _patching.PATCHED}
    toy.Base().render("p")
    assert len(recorder) == 1


def test_taken_away_before_the_import(toy_name, patched, recorder):
    patched("Base.render").restore()
    toy = importlib.import_module(toy_name)
    assert not hasattr(toy.Base.render, "__wrapped__")
    assert not _imports._watchers.get(toy_name)


def test_a_failing_import_is_patched_when_it_succeeds(toy_name, tmp_path, patched, recorder):
    good = (tmp_path / f"{toy_name}.py").read_text()
    (tmp_path / f"{toy_name}.py").write_text("class Base: pass\nraise ZeroDivisionError('not today')\n")
    patched("Base.render")
    with pytest.raises(ZeroDivisionError, match="not today"):
        importlib.import_module(toy_name)
    assert toy_name not in sys.modules
    (tmp_path / f"{toy_name}.py").write_text(good)
    importlib.invalidate_caches()
    importlib.import_module(toy_name).Base().render("p")
    assert len(recorder) == 1


def test_a_reloaded_module_is_patched_again(toy, patched, recorder):
    installed = patched("Base.render", "run")
    old = toy.Base
    importlib.reload(toy)
    assert toy.Base is not old
    toy.Base().render("p")
    old().render("p")
    toy.run("m")
    assert len(recorder) == 3
    installed.restore()
    assert not any(hasattr(function, "__wrapped__") for function in (toy.Base.render, old.render, toy.run))


def test_an_instance_made_before_is_watched_too(toy, patched, recorder):
    client = toy.Base()
    patched("Base.render")
    client.render("p")
    assert len(recorder) == 1


def test_an_inherited_method_is_patched_where_it_was_asked_for(toy, patched, recorder):
    installed = patched("Client.inherited")
    assert toy.Client().inherited("w") == "w"
    toy.Base().inherited("w")
    assert len(recorder) == 1
    installed.restore()
    assert "inherited" not in vars(toy.Client)
    assert toy.Client.inherited is toy.Base.inherited


def test_another_begin_takes_over(toy, library, recorder):
    one = library("Base.render")
    _patching.install(one, lambda *_: None)
    toy.Base().render("p")
    _patching.install(one, recorder)
    toy.Base().render("p")
    assert len(recorder) == 1


def test_another_library_of_the_same_name_replaces_the_first(toy, toy_name, library, recorder):
    _patching.install(library("Base.render"), recorder)
    _patching.install(library("run"), recorder)
    toy.Base().render("p")
    assert recorder == []
    toy.run("m")
    assert len(recorder) == 1


# -- other tools' wrappers ------------------------------------------------------------------------------------------


def plain(owner, name):
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapper(*args, **kwargs):
        return original(*args, **kwargs)

    setattr(owner, name, wrapper)


def hidden(owner, name):
    original = getattr(owner, name)

    def wrapper(*args, **kwargs):
        return original(*args, **kwargs)

    setattr(owner, name, wrapper)


def with_wrapt(owner, name):
    def wrapper(wrapped, instance, args, kwargs):
        assert isinstance(instance, owner) or not args
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper(owner, name, wrapper)


WRAPPERS = [plain, hidden, with_wrapt]


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_beneath_another_wrapper_it_is_switched_off_and_on(toy, library, recorder, wrap):
    one = library("Base.render")
    installed = _patching.install(one, recorder)
    ours = toy.Base.render
    wrap(toy.Base, "render")
    theirs = raw(toy.Base, "render")
    for expected in (1, 2, 3):
        assert toy.Base().render("p")[1] == "p"
        assert len(recorder) == expected
        installed.restore()
        assert raw(toy.Base, "render") is theirs
        assert toy.Base().render("p")[1] == "p"
        assert len(recorder) == expected
        _patching.install(one, recorder)
        assert raw(toy.Base, "render") is theirs
    toy.Base.render = ours  # the other tool goes first
    installed.restore()
    assert not hasattr(toy.Base.render, "__wrapped__")


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_the_other_wrapper_goes_while_ours_is_off(toy, library, recorder, wrap):
    one = library("Base.render")
    installed = _patching.install(one, recorder)
    ours = toy.Base.render
    wrap(toy.Base, "render")
    installed.restore()
    toy.Base.render = ours
    toy.Base().render("p")
    assert recorder == []
    _patching.install(one, recorder)
    assert toy.Base.render is ours
    toy.Base().render("p")
    assert len(recorder) == 1
    installed.restore()
    assert not hasattr(toy.Base.render, "__wrapped__")


def test_the_original_was_put_back_over_our_head(toy, library, recorder):
    original = toy.Base.render
    one = library("Base.render")
    installed = _patching.install(one, recorder)
    toy.Base.render = original
    installed.restore()
    assert toy.Base.render is original
    _patching.install(one, recorder)
    toy.Base().render("p")
    assert len(recorder) == 1


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_on_top_of_another_wrapper(toy, patched, recorder, wrap):
    wrap(toy.Base, "render")
    theirs = raw(toy.Base, "render")
    installed = patched("Base.render")
    client = toy.Base()
    assert client.render("p", seed=1) == (client, "p")
    assert len(recorder) == 1
    installed.restore()
    assert raw(toy.Base, "render") is theirs


async def test_on_top_of_a_wrapped_coroutine(toy, patched, recorder):
    with_wrapt(toy.Base, "arender")
    patched("Base.arender")
    assert inspect.iscoroutinefunction(toy.Base.arender)
    client = toy.Base()
    assert await client.arender("p") == (client, "p")
    assert recorder.only.result == {"result": (client, "p")}
    with pytest.raises(TypeError, match="argument"):
        await toy.Base.arender()


def test_a_mock_may_stand_in_for_a_while(toy, patched, recorder, monkeypatch):
    installed = patched("Base.render")
    with monkeypatch.context() as patch:
        patch.setattr(toy.Base, "render", lambda self: "mocked")
        installed.restore()
        assert toy.Base().render() == "mocked"
    toy.Base().render("p")
    assert recorder == []


# -- names elsewhere ------------------------------------------------------------------------------------------------


def test_aliases_are_bound_again(toy, toy_name, library, recorder):
    bound, alias, original = toy.bound, toy.alias, toy.run
    points = (
        PatchPoint(f"{toy_name}:Base.render", "kind", aliases=(f"{toy_name}:bound", "nowhere:bound")),
        PatchPoint(f"{toy_name}:run", "kind", aliases=(f"{toy_name}:alias", f"{toy_name}:missing")),
    )
    one = Library(toy_name, toy_name, "", points)
    for expected in (2, 4):
        installed = _patching.install(one, recorder)
        assert toy.bound("p") == (toy.client, "p")
        assert toy.alias("m") == "m"
        assert len(recorder) == expected
        installed.restore()
        assert (toy.bound, toy.alias, toy.run) == (bound, alias, original)
        assert toy.bound is bound


def test_aliases_of_a_function_that_another_tool_has_wrapped(toy, toy_name, recorder):
    one = Library(toy_name, "", "", (PatchPoint(f"{toy_name}:run", "kind", aliases=(f"{toy_name}:alias",)),))
    original = toy.alias
    installed = _patching.install(one, recorder)
    plain(toy, "run")
    for expected in (1, 2):
        toy.alias("m")
        assert len(recorder) == expected
        installed.restore()
        assert toy.alias is original
        _patching.install(one, recorder)


def test_aliases_in_a_module_that_was_imported_in_between(toy, toy_name, library, recorder, tmp_path, monkeypatch):
    name = f"{toy_name}_user"
    (tmp_path / f"{name}.py").write_text(f"from {toy_name} import run, bound\n")
    points = (
        PatchPoint(f"{toy_name}:run", "kind", aliases=(f"{name}:run",)),
        PatchPoint(f"{toy_name}:Base.render", "kind", aliases=(f"{toy_name}:bound", f"{name}:bound")),
    )
    installed = _patching.install(Library(toy_name, "", "", points), recorder)
    user = importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name, raising=False)
    sys.modules[name] = user
    user.run("m")
    user.bound("p")
    assert len(recorder) == 2
    installed.restore()
    assert user.run is toy.run
    assert not hasattr(user.run, "__wrapped__")
    assert user.bound == toy.client.render
    assert not hasattr(user.bound, "__wrapped__")


# -- what cannot be patched -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["Base.gone", "Gone.render", "gone", "Base.render.gone"])
def test_a_call_that_this_version_does_not_have_is_told(toy, patched, recorder, target):
    installed = patched(target, "Base.render")
    states = list(installed.points.values())
    assert states[0].startswith("not found")
    assert states[1] == _patching.PATCHED
    toy.Base().render("p")
    assert len(recorder) == 1


@pytest.mark.parametrize("target", ["Base.prop", "client", "Client"])
def test_what_is_no_function_is_left_alone(toy, patched, lenient, target):
    owner = toy.Base if "." in target else toy
    before = raw(owner, target.rpartition(".")[2])
    (state,) = patched(target).points.values()
    assert "only functions and methods" in state
    assert raw(owner, target.rpartition(".")[2]) is before


def test_a_built_in_function(patched, recorder):
    import math

    points = (PatchPoint("math:sqrt", "kind", request=lambda instance, arguments: dict(arguments)),)
    original = math.sqrt
    installed = _patching.install(Library("math", "", "", points), recorder)
    try:
        assert math.sqrt(9) == 3
        assert recorder.only.ends == [(None, {})]
    finally:
        installed.restore()
    assert math.sqrt is original


# -- the escape hatch -----------------------------------------------------------------------------------------------


def test_a_point_may_wrap_itself(toy, patched, recorder):
    def wrap(original, hook):
        def call(self, prompt):
            operation = hook.begin({"prompt": prompt})
            result = original(self, prompt)
            if operation is not None:
                operation.finish(None, {"on": hook.on})
            return result

        return call

    installed = patched("Base.render", wrap=wrap)
    function = toy.Base.render
    assert function.__qualname__ == "Base.render"
    toy.Base().render("p")
    assert recorder.only.attributes == {"prompt": "p"}
    assert recorder.only.result == {"on": True}
    installed.restore()
    function(toy.Base(), "p")
    assert len(recorder) == 1


# -- threads --------------------------------------------------------------------------------------------------------


def test_many_threads_install_import_and_restore(toy_name, library, recorder):
    one = library("Base.render")
    start = threading.Barrier(8)
    errors = []

    def work(number):
        try:
            start.wait(5)
            for _ in range(20):
                installed = _patching.install(one, recorder)
                importlib.import_module(toy_name).Base().render("p")
                if number % 2:
                    installed.restore()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert errors == []
    _patching.restore(toy_name)
    assert not hasattr(sys.modules[toy_name].Base.render, "__wrapped__")


def test_an_import_under_way_in_another_thread_is_waited_for(toy_name, tmp_path, library, recorder):
    gate = threading.Event()
    entered = threading.Event()
    sys.modules["gate_of_" + toy_name] = type(sys)("gate")
    sys.modules["gate_of_" + toy_name].gate, sys.modules["gate_of_" + toy_name].entered = gate, entered
    path = tmp_path / f"{toy_name}.py"
    path.write_text(f"import gate_of_{toy_name} as g\ng.entered.set()\nassert g.gate.wait(5)\n" + path.read_text())
    try:
        importing = threading.Thread(target=importlib.import_module, args=(toy_name,))
        importing.start()
        assert entered.wait(5)
        installing = threading.Thread(target=_patching.install, args=(library("Base.render"), recorder))
        installing.start()
        gate.set()
        importing.join(5)
        installing.join(5)
        sys.modules[toy_name].Base().render("p")
        assert len(recorder) == 1
    finally:
        del sys.modules["gate_of_" + toy_name]
