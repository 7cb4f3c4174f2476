"""A toy client library, imported afresh by each test, and an operation that writes down what happens to it."""

from __future__ import annotations

import contextvars
import importlib
import itertools
import sys

import pytest

from posemon_otel import faults
from posemon_otel.instrumentation import _imports, _patching
from posemon_otel.instrumentation._library import Library, PatchPoint

SOURCE = '''
import asyncio, contextlib, functools

seen = []          # how each function was called: (name, args, kwargs)
inside = []        # the current operation's target as the library sees it, at each step

def note(name, args, kwargs):
    from tests.instrumentation.conftest import current
    seen.append((name, args, kwargs))
    inside.append(current.get())

class Base:
    def render(self, prompt, size=64, *, seed=None):
        """Renders."""
        note("render", (prompt, size), {"seed": seed})
        if isinstance(prompt, BaseException):
            raise prompt
        return self, prompt

    async def arender(self, prompt, size=64, *, seed=None):
        """Renders, later."""
        note("arender", (prompt, size), {"seed": seed})
        await asyncio.sleep(0)
        note("arender", (prompt, size), {"seed": seed})
        if isinstance(prompt, BaseException):
            raise prompt
        return self, prompt

    def stream(self, count, fail=None):
        """Streams."""
        received = []
        try:
            for number in range(count):
                note("stream", (number,), {})
                received.append((yield number))
            if fail is not None:
                raise fail
        except LookupError as error:
            received.append((yield "caught"))
        finally:
            note("stream closed", (), {})
        return received

    async def astream(self, count, fail=None):
        """Streams, later."""
        received = []
        try:
            for number in range(count):
                note("astream", (number,), {})
                await asyncio.sleep(0)
                received.append((yield number))
            if fail is not None:
                raise fail
        except LookupError as error:
            received.append((yield "caught"))
        finally:
            note("astream closed", (), {})

    def later(self, what, count=2):
        """A plain function that returns what goes on."""
        note("later", (what,), {})
        if what == "coroutine":
            return self.arender("p")
        if what == "generator":
            return self.stream(count)
        return self.astream(count)

    @classmethod
    def make(cls, name):
        note("make", (cls, name), {})
        return cls, name

    @staticmethod
    def check(name):
        note("check", (name,), {})
        return name

    def twice(self, prompt):
        note("twice", (prompt,), {})
        return [self.render(prompt), self.render(prompt)]

    def inherited(self, word):
        note("inherited", (word,), {})
        return word

    prop = property(lambda self: 1)

class Client(Base):
    pass

class Special(Base):
    def render(self, prompt, *args, **kwargs):
        return ("special", super().render(prompt, *args, **kwargs))

def run(model, /, *inputs, wait=True, **more):
    """Runs."""
    note("run", (model, *inputs), {"wait": wait, **more})
    return model

client = Base()
bound = client.render
alias = run
'''

current: contextvars.ContextVar[str | None] = contextvars.ContextVar("current", default=None)
_numbers = itertools.count()


class Operation:
    """What `begin` gives: it is attached and detached in pairs, and it ends once."""

    def __init__(self, target, attributes):
        self.target = target
        self.attributes = dict(attributes)
        self.ends = []
        self.attached = 0
        self._token = None

    def attach(self):
        assert self._token is None
        self._token = current.set(self.target)
        self.attached += 1

    def detach(self):
        token, self._token = self._token, None
        try:
            current.reset(token)
        except ValueError:
            current.set(None)

    def finish(self, error, attributes):
        assert self._token is None, "ended while it was current"
        self.ends.append((error, dict(attributes)))

    @property
    def error(self):
        ((error, _),) = self.ends
        return error

    @property
    def result(self):
        ((_, attributes),) = self.ends
        return attributes


class Recorder(list):
    """The `begin` of the tests: a list of the operations in the order of their starts."""

    def __call__(self, library, point, attributes, **options):
        self.append(Operation(point.target, attributes))
        return self[-1]

    @property
    def only(self) -> Operation:
        (operation,) = self
        return operation


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    monkeypatch.setattr(faults, "strict", True)


@pytest.fixture
def lenient(monkeypatch):
    """Faults of ours are survived and counted, as in users' processes."""
    monkeypatch.setattr(faults, "strict", False)
    monkeypatch.setattr(faults, "counts", {})
    return faults.counts


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def toy_name(tmp_path, monkeypatch):
    """The name of a module that nobody has imported yet."""
    name = f"toy_client_{next(_numbers)}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    _patching.restore(name)
    sys.modules.pop(name, None)
    assert not _imports._watchers.get(name)


@pytest.fixture
def toy(toy_name):
    return importlib.import_module(toy_name)


@pytest.fixture
def library(toy_name):
    def make(*points, **options):
        made = []
        for point in points:
            options.setdefault("request", lambda instance, arguments: {"arguments": dict(arguments)})
            options.setdefault("response", lambda instance, arguments, result: {"result": result})
            made.append(PatchPoint(f"{toy_name}:{point}", "kind", **options))
        return Library(toy_name, toy_name, ">=1", tuple(made))

    return make


@pytest.fixture
def patched(library, recorder):
    def patch(*points, **options):
        return _patching.install(library(*points, **options), recorder)

    return patch
