"""What a careless wrapper breaks, each of it, for every kind of call."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gc
import inspect
import pickle
import threading
import weakref

import pytest

from tests.instrumentation.conftest import current

STREAMS = [GeneratorExit, KeyboardInterrupt, ValueError]


# -- plain calls ----------------------------------------------------------------------------------------------------


def test_a_call_is_an_operation_and_its_result_is_untouched(toy, patched, recorder):
    patched("Base.render")
    client, prompt = toy.Base(), object()
    assert client.render(prompt, seed=3) == (client, prompt)
    operation = recorder.only
    assert operation.attributes == {"arguments": {"prompt": prompt, "seed": 3}}
    assert operation.error is None
    assert operation.result == {"result": (client, prompt)}
    assert toy.inside == [operation.target]
    assert current.get() is None


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [(("p",), {}), (("p", 8), {"seed": 1}), ((), {"prompt": "p", "size": None}), (("p",), {"size": 8})],
)
def test_arguments_reach_the_library_as_they_came(toy, patched, recorder, monkeypatch, args, kwargs):
    received = []

    def render(self, *args, **kwargs):
        received.append((args, kwargs))

    monkeypatch.setattr(toy.Base, "render", render)
    patched("Base.render")
    toy.Base().render(*args, **kwargs)
    assert received == [(args, kwargs)]
    assert len(recorder) == 1


def test_defaults_are_not_filled_in(toy, patched, recorder):
    patched("Base.render")
    toy.Base().render("p")
    assert recorder.only.attributes == {"arguments": {"prompt": "p"}}


def test_positional_only_surplus_and_unknown_arguments_are_bound(toy, patched, recorder):
    patched("run")
    assert toy.run("m", 1, 2, wait=False, color="red") == "m"
    assert recorder.only.attributes == {"arguments": {"model": "m", "wait": False, "color": "red"}}
    assert toy.seen == [("run", ("m", 1, 2), {"wait": False, "color": "red"})]


@pytest.mark.parametrize("sort", [ValueError, KeyboardInterrupt, SystemExit, StopIteration, asyncio.CancelledError])
def test_the_very_exception_object_comes_out(toy, patched, recorder, sort):
    patched("Base.render")
    error, context = sort("no"), LookupError("before")
    error.__context__ = context
    with pytest.raises(sort) as caught:
        toy.Base().render(error)
    assert caught.value is error
    assert error.__context__ is context
    assert error.__cause__ is None
    assert recorder.only.error is error
    assert current.get() is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client: client.render(), r"render\(\) missing 1 required positional argument: 'prompt'"),
        (lambda client: client.render("p", colour=1), r"render\(\) got an unexpected keyword argument 'colour'"),
        (lambda client: client.render("p", prompt="p"), r"render\(\) got multiple values for argument 'prompt'"),
        (
            lambda client: client.render(1, 2, 3, 4),
            r"render\(\) takes from 2 to 3 positional arguments but 5 were given",
        ),
        (lambda client: type(client).render(), r"render\(\) missing 2 required positional arguments"),
    ],
)
def test_a_bad_call_raises_the_librarys_own_error(toy, patched, recorder, call, message):
    patched("Base.render")
    with pytest.raises(TypeError, match=message) as caught:
        call(toy.Base())
    assert recorder.only.error is caught.value


def test_a_result_is_not_touched_where_there_is_no_response(toy, patched, recorder):
    class Untouchable:
        def __getattribute__(self, name):
            raise AssertionError(f"{name} was read")

    patched("Base.check", response=None)
    value = Untouchable()
    assert toy.Base.check(value) is value
    assert recorder.only.result == {}


# -- faults of ours -------------------------------------------------------------------------------------------------


def broken(*_):
    raise RuntimeError("a fault of ours")


def test_a_fault_of_an_extractor_never_gets_out(toy, patched, recorder, lenient, caplog):
    patched("Base.render", request=broken)
    assert toy.Base().render("p")[1] == "p"
    assert toy.Base().render("p")[1] == "p"
    assert recorder == []
    assert len(toy.seen) == 2
    assert list(lenient.values()) == [2]
    assert len(caplog.records) == 1
    assert "a fault of ours" in caplog.text


def test_a_fault_of_a_response_ends_the_operation_all_the_same(toy, patched, recorder, lenient):
    patched("Base.render", response=broken)
    assert toy.Base().render("p")[1] == "p"
    assert recorder.only.ends == [(None, {})]
    assert sum(lenient.values()) == 1


@pytest.mark.parametrize("step", ["attach", "detach", "finish"])
def test_a_fault_of_the_operation_never_gets_out(toy, patched, recorder, lenient, monkeypatch, step):
    from tests.instrumentation import conftest

    monkeypatch.setattr(conftest.Operation, step, broken)
    patched("Base.render", "Base.stream")
    error = ValueError("the user's")

    def use():
        with pytest.raises(ValueError) as caught:
            toy.Base().render(error)
        assert caught.value is error
        assert error.__context__ is None
        assert list(toy.Base().stream(2)) == [0, 1]

    contextvars.copy_context().run(use)
    assert len(lenient) >= 2


def test_a_fault_while_beginning_never_gets_out(toy, library, lenient):
    from posemon_otel.instrumentation import _patching

    _patching.install(library("Base.render"), broken)
    assert toy.Base().render("p")[1] == "p"
    assert sum(lenient.values()) == 1


def test_under_our_tests_a_fault_is_raised(toy, patched):
    patched("Base.render", request=broken)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        toy.Base().render("p")


def test_an_interrupt_in_an_extractor_is_the_users(toy, patched, lenient):
    def interrupted(instance, arguments):
        raise KeyboardInterrupt

    patched("Base.render", request=interrupted)
    with pytest.raises(KeyboardInterrupt):
        toy.Base().render("p")


def test_a_request_of_none_says_that_a_call_is_no_operation(toy, patched, recorder):
    patched("Base.render", request=lambda instance, arguments: None)
    assert toy.Base().render("p")[1] == "p"
    assert recorder == []


# -- coroutines -----------------------------------------------------------------------------------------------------


async def test_a_coroutine_ends_after_the_await(toy, patched, recorder):
    patched("Base.arender")
    client = toy.Base()
    waiting = client.arender("p", size=8)
    assert inspect.iscoroutine(waiting)
    assert recorder == []
    assert await waiting == (client, "p")
    operation = recorder.only
    assert operation.attributes == {"arguments": {"prompt": "p", "size": 8}}
    assert operation.result == {"result": (client, "p")}
    assert toy.inside == [operation.target] * 2
    assert current.get() is None


async def test_a_coroutines_exception_is_the_very_object(toy, patched, recorder):
    patched("Base.arender")
    error = ValueError("no")
    with pytest.raises(ValueError) as caught:
        await toy.Base().arender(error)
    assert caught.value is error
    assert recorder.only.error is error


async def test_a_cancelled_task_ends_its_operation(toy, patched, recorder):
    patched("Base.arender")
    task = asyncio.ensure_future(toy.Base().arender("p"))
    await asyncio.sleep(0)
    assert recorder.only.ends == []
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance(recorder.only.error, asyncio.CancelledError)


async def test_a_timeout_ends_the_operation_inside_as_cancelled(toy, patched, recorder, monkeypatch):
    async def forever(self):
        await asyncio.Event().wait()

    monkeypatch.setattr(toy.Base, "arender", forever)
    patched("Base.arender")
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(toy.Base().arender(), 0.01)
    assert isinstance(recorder.only.error, asyncio.CancelledError)


async def test_tasks_at_once_do_not_see_each_other(toy, patched, recorder):
    patched("Base.arender")
    client = toy.Base()
    results = await asyncio.gather(*(client.arender(number) for number in range(5)))
    assert [number for _, number in results] == list(range(5))
    assert [operation.result["result"][1] for operation in recorder] == list(range(5))
    assert current.get() is None


def test_a_coroutine_that_is_thrown_away_ends_its_operation(toy, patched, recorder):
    patched("Base.arender")
    waiting = toy.Base().arender("p")
    waiting.send(None)
    waiting.close()
    assert isinstance(recorder.only.error, GeneratorExit)


def test_a_coroutine_that_is_closed_in_another_context(toy, patched, recorder):
    patched("Base.arender")
    waiting = toy.Base().arender("p")
    contextvars.copy_context().run(waiting.send, None)
    contextvars.copy_context().run(waiting.close)
    assert isinstance(recorder.only.error, GeneratorExit)


def test_a_coroutine_that_was_never_awaited_warns_once_and_by_its_own_name(toy, patched, recorder):
    patched("Base.arender")
    with pytest.warns(RuntimeWarning, match=r"coroutine 'Base.arender' was never awaited") as warned:
        toy.Base().arender("p")
    assert len(warned) == 1
    assert recorder == []


# -- generators -----------------------------------------------------------------------------------------------------


def test_a_generator_ends_when_it_is_exhausted(toy, patched, recorder):
    patched("Base.stream")
    stream = toy.Base().stream(3)
    assert inspect.isgenerator(stream)
    assert recorder == []
    got = []
    for item in stream:
        assert recorder.only.ends == []
        assert current.get() is None, "the consumer is inside the operation"
        got.append(item)
    assert got == [0, 1, 2]
    assert recorder.only.ends == [(None, {"result": 2})]
    assert toy.inside == [recorder.only.target] * 4


def test_send_and_the_value_of_stop_iteration_pass_through(toy, patched, recorder):
    patched("Base.stream")
    stream = toy.Base().stream(2)
    assert next(stream) == 0
    assert stream.send("a") == 1
    with pytest.raises(StopIteration) as stop:
        stream.send("b")
    assert stop.value.value == ["a", "b"]
    assert recorder.only.error is None


def test_an_exception_that_is_thrown_in_reaches_the_library(toy, patched, recorder):
    patched("Base.stream")
    stream = toy.Base().stream(2)
    next(stream)
    assert stream.throw(LookupError("in")) == "caught"
    assert recorder.only.ends == []
    error = ValueError("through")
    with pytest.raises(ValueError) as caught:
        stream.throw(error)
    assert caught.value is error
    assert recorder.only.error is error


def test_a_generators_own_exception_is_the_very_object(toy, patched, recorder):
    patched("Base.stream")
    error = ValueError("no")
    with pytest.raises(ValueError) as caught:
        list(toy.Base().stream(1, fail=error))
    assert caught.value is error
    assert recorder.only.error is error


@pytest.mark.parametrize("way", ["close", "break", "collected", "in a cycle"])
def test_a_generator_that_is_broken_off_ends_and_is_no_failure(toy, patched, recorder, way):
    patched("Base.stream")
    stream = toy.Base().stream(5)
    for item in stream:
        if item == 1:
            break
    assert recorder.only.ends == []
    if way == "close":
        stream.close()
    elif way == "in a cycle":
        cycle = [stream]
        cycle.append(cycle)
        del cycle
    del stream
    gc.collect()
    assert recorder.only.ends == [(None, {"result": 1})]
    assert toy.seen[-1][0] == "stream closed"
    assert current.get() is None


def test_a_generator_that_never_began_is_no_operation(toy, patched, recorder):
    patched("Base.stream")
    toy.Base().stream(3).close()
    assert recorder == []


def test_a_generator_may_be_carried_on_in_another_thread(toy, patched, recorder):
    patched("Base.stream")
    stream = toy.Base().stream(3)
    next(stream)
    rest = []
    thread = threading.Thread(target=lambda: rest.extend(stream))
    thread.start()
    thread.join(5)
    assert rest == [1, 2]
    assert recorder.only.error is None
    assert current.get() is None


def test_a_failed_generator_is_not_kept_alive_by_its_exception(toy, patched, recorder):
    class BigError(ValueError):
        pass

    patched("Base.stream")
    gc.disable()
    try:
        stream = toy.Base().stream(3)
        next(stream)
        error = BigError()
        gone = weakref.ref(error)
        try:
            stream.throw(error)
        except BigError:
            pass
        del error, stream
        recorder.clear()
        assert gone() is None
    finally:
        gc.enable()


async def test_an_async_generator_ends_when_it_is_exhausted(toy, patched, recorder):
    patched("Base.astream")
    stream = toy.Base().astream(3)
    assert inspect.isasyncgen(stream)
    got = []
    async for item in stream:
        assert recorder.only.ends == []
        assert current.get() is None, "the consumer is inside the operation"
        got.append(item)
    assert got == [0, 1, 2]
    assert recorder.only.ends == [(None, {"result": 2})]
    assert toy.inside == [recorder.only.target] * 4


@pytest.mark.parametrize("on", [True, False])
async def test_asend_athrow_and_aclose_pass_through(toy, patched, recorder, on):
    installed = patched("Base.astream")
    function = toy.Base.astream
    if not on:
        installed.restore()
    client = toy.Base()
    stream = function(client, 3)
    assert await stream.asend(None) == 0
    assert await stream.asend("a") == 1
    assert await stream.athrow(LookupError("in")) == "caught"
    with pytest.raises(StopAsyncIteration):
        await stream.asend(None)
    stream = function(client, 3)
    assert await anext(stream) == 0
    error = ValueError("through")
    with pytest.raises(ValueError) as caught:
        await stream.athrow(error)
    assert caught.value is error
    stream = function(client, 3)
    assert await anext(stream) == 0
    await stream.aclose()
    assert toy.seen[-1][0] == "astream closed"
    assert [operation.error for operation in recorder] == ([None, error, None] if on else [])


async def test_an_async_generator_that_is_broken_off_ends(toy, patched, recorder):
    patched("Base.astream")
    async for item in toy.Base().astream(5):
        if item == 1:
            break
    gc.collect()
    for _ in range(5):  # the loop closes it in a task of its own
        await asyncio.sleep(0)
    assert recorder.only.ends == [(None, {"result": 1})]
    assert toy.seen[-1][0] == "astream closed"


async def test_a_cancelled_step_of_an_async_generator(toy, patched, recorder):
    patched("Base.astream")
    stream = toy.Base().astream(5)
    step = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    assert isinstance(recorder.only.error, asyncio.CancelledError)


# -- plain functions whose result goes on ---------------------------------------------------------------------------


async def test_a_returned_coroutine_carries_the_operation(toy, patched, recorder):
    patched("Base.later")
    waiting = toy.Base().later("coroutine")
    assert recorder.only.ends == []
    assert waiting.__qualname__ == "Base.arender"
    assert (await waiting)[1] == "p"
    assert recorder.only.error is None
    assert toy.inside == [recorder.only.target] * 3


def test_a_returned_generator_carries_the_operation(toy, patched, recorder):
    patched("Base.later")
    stream = toy.Base().later("generator")
    assert recorder.only.ends == []
    assert list(stream) == [0, 1]
    assert recorder.only.ends == [(None, {"result": 1})]


async def test_a_returned_async_generator_carries_the_operation(toy, patched, recorder):
    patched("Base.later")
    assert [item async for item in toy.Base().later("async generator")] == [0, 1]
    assert recorder.only.ends == [(None, {"result": 1})]


def test_a_returned_generator_that_is_thrown_away_ends_the_operation(toy, patched, recorder):
    patched("Base.later")
    toy.Base().later("generator")
    gc.collect()
    assert isinstance(recorder.only.error, GeneratorExit)


def test_a_returned_generator_that_is_broken_off_is_no_failure(toy, patched, recorder):
    patched("Base.later")
    for _ in toy.Base().later("generator"):
        break
    gc.collect()
    assert recorder.only.ends == [(None, {"result": 0})]


def test_a_point_may_end_with_the_call(toy, patched, recorder):
    patched("Base.later", driver="call")
    stream = toy.Base().later("generator")
    assert recorder.only.result["result"] is stream
    assert list(stream) == [0, 1]


# -- within each other ----------------------------------------------------------------------------------------------


def test_a_call_beneath_a_call_of_the_same_library_is_part_of_it(toy, patched, recorder):
    patched("Base.twice", "Base.render")
    client = toy.Base()
    assert client.twice("p") == [(client, "p")] * 2
    assert recorder.only.target.endswith("Base.twice")
    client.render("p")
    assert len(recorder) == 2


def test_calls_of_different_libraries_nest(toy, library, patched, recorder, toy_name):
    from posemon_otel.instrumentation import _patching
    from posemon_otel.instrumentation._library import Library

    patched("Base.twice")
    other = Library(toy_name + "-other", "", "", library("Base.render").points)
    _patching.install(other, recorder)
    try:
        toy.Base().twice("p")
    finally:
        _patching.restore(other.name)
    assert [operation.target.rpartition(".")[2] for operation in recorder] == ["twice", "render", "render"]


def test_between_a_generators_steps_the_library_may_be_called(toy, patched, recorder):
    patched("Base.stream", "Base.render")
    client = toy.Base()
    for item in client.stream(2):
        client.render(item)
    assert [operation.target.rpartition(".")[2] for operation in recorder] == ["stream", "render", "render"]


# -- what the replacement looks like --------------------------------------------------------------------------------

FUNCTIONS = ["render", "arender", "stream", "astream", "later"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_replacement_looks_like_the_original(toy, patched, name):
    original = getattr(toy.Base, name)
    patched(f"Base.{name}")
    made = getattr(toy.Base, name)
    assert made is not original
    assert made.__wrapped__ is original
    assert inspect.signature(made) == inspect.signature(original)
    assert inspect.getsource(made) == inspect.getsource(original)
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__", "__dict__"):
        expected = getattr(original, attribute)
        got = getattr(made, attribute)
        assert got == (expected | {"__wrapped__": original} if attribute == "__dict__" else expected)
    for question in (
        inspect.isfunction,
        inspect.iscoroutinefunction,
        asyncio.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.isroutine,
    ):
        assert question(made) == question(original)
        assert question(getattr(toy.Base(), name)) == question(getattr(toy.Base(), name))


def test_functions_and_bound_methods_can_be_pickled_and_copied(toy, patched, recorder):
    patched("run", "Base.render", "Base.make")
    assert pickle.loads(pickle.dumps(toy.run)) is toy.run
    assert pickle.loads(pickle.dumps(toy.Base.render)) is toy.Base.render
    assert copy.deepcopy(toy.run) is toy.run
    client = toy.Base()
    assert pickle.loads(pickle.dumps(client.render))("p")[1] == "p"
    assert pickle.loads(pickle.dumps(toy.Base.make))("n") == (toy.Base, "n")
    assert len(recorder) == 2


def test_methods_compare_as_before(toy, patched):
    patched("Base.render")
    client = toy.Base()
    assert toy.Base.render is toy.Base.render
    assert toy.Client.render is toy.Base.render
    assert toy.Special.render is not toy.Base.render
    assert client.render == client.render
    assert client.render.__func__ is toy.Base.render


def test_class_methods_and_static_methods(toy, patched, recorder):
    patched("Base.make", "Base.check")
    assert toy.Base.make("a") == (toy.Base, "a")
    assert toy.Client.make(name="b") == (toy.Client, "b")
    assert toy.Client().make("c") == (toy.Client, "c")
    assert toy.Base.check("d") == "d"
    assert toy.Base().check(name="e") == "e"
    assert [operation.attributes["arguments"] for operation in recorder] == [{"name": name} for name in "abcde"]
    assert isinstance(inspect.getattr_static(toy.Base, "make"), classmethod)
    assert isinstance(inspect.getattr_static(toy.Base, "check"), staticmethod)


def test_the_instance_is_told(toy, patched, recorder):
    patched("Base.render", "Base.make", "Base.check", "run", request=lambda instance, arguments: {"instance": instance})
    client = toy.Client()
    client.render("p")
    toy.Base.render(client, "p")
    toy.Client.make("n")
    toy.Client.check("n")
    toy.run("m")
    told = [operation.attributes["instance"] for operation in recorder]
    assert told == [client, client, toy.Client, None, None]


def test_overrides_and_super(toy, patched, recorder):
    patched("Base.render")
    special = toy.Special()
    assert special.render("p", 8) == ("special", (special, "p"))
    assert recorder.only.attributes == {"arguments": {"prompt": "p", "size": 8}}
