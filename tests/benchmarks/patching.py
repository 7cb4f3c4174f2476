"""Cost of a patched call beside that of wrapt's wrappers, the plain call taken off.

Run as ``python -m tests.benchmarks.patching``. CPU of the calling thread, interleaved rounds, medians; the operation is
a stand-in that does nothing, so what is seen is the mechanism alone. Figures are printed, nothing passes or fails.
"""

import statistics
import time
import types
from collections.abc import Callable

import wrapt

from posemon_otel.instrumentation import _patching
from posemon_otel.instrumentation._library import Library, PatchPoint

ROUNDS, CALLS = 30, 3000


class Operation:
    """Does nothing."""

    def attach(self) -> None:
        pass

    def detach(self) -> None:
        pass

    def finish(self, error: object, attributes: object) -> None:
        pass


OPERATION = Operation()


class Client:
    def render(self, prompt, *, width=None, height=None, steps=None, seed=None):
        return prompt

    async def arender(self, prompt, *, width=None, height=None, steps=None, seed=None):
        return prompt

    def stream(self, prompt, *, width=None, height=None, steps=None, seed=None):
        yield prompt


def with_wrapt(name: str) -> type:
    """The client with a pass-through of wrapt's about one method, bound by `inspect` as many instrumentations do it."""
    made = type("Client", (), dict(vars(Client)))

    def wrapper(wrapped, instance, args, kwargs):
        OPERATION.attach()
        try:
            return wrapped(*args, **kwargs)
        finally:
            OPERATION.detach()
            OPERATION.finish(None, {})

    wrapt.wrap_function_wrapper(made, name, wrapper)
    return made


def with_ours(name: str, *, on: bool = True) -> type:
    """The client with our replacement of one method, with an extractor or switched off."""
    module = types.ModuleType("bench")
    module.Client = made = type("Client", (), dict(vars(Client)))
    point = PatchPoint(f"bench:Client.{name}", "kind", lambda instance, arguments: {"prompt": arguments.get("prompt")})
    installed = _patching.Installed(Library("bench", "bench", "", (point,)), lambda *_: OPERATION)
    installed.install(lambda *_: OPERATION)
    installed._patch(module, fresh=True)
    replacement = vars(made)[name]
    if not on:
        installed.restore()
        setattr(made, name, replacement)
    return made


def cost(call: Callable[[], object]) -> float:
    """Microseconds of CPU for one call."""
    start = time.thread_time_ns()
    for _ in range(CALLS):
        call()
    return (time.thread_time_ns() - start) / CALLS / 1000


def caller(client: object, name: str) -> Callable[[], object]:
    def plain() -> None:
        client.render("a dancer", width=64, height=48, steps=4, seed=7)

    def coroutine() -> None:
        waiting = client.arender("a dancer", width=64, height=48, steps=4, seed=7)
        try:
            waiting.send(None)
        except StopIteration:
            pass

    def generator() -> None:
        for _ in client.stream("a dancer", width=64, height=48, steps=4, seed=7):
            pass

    return {"render": plain, "arender": coroutine, "stream": generator}[name]


def main() -> None:
    for name in ("render", "arender", "stream"):
        ways = {
            "plain": Client,
            "wrapt, no extractor": with_wrapt(name),
            "ours": with_ours(name),
            "ours, off": with_ours(name, on=False),
        }
        calls = {way: caller(made(), name) for way, made in ways.items()}
        rounds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, call in calls.items():
                rounds[way].append(cost(call))
        plain = statistics.median(rounds["plain"])
        added = {way: statistics.median(times) - plain for way, times in rounds.items() if way != "plain"}
        print(f"{name:8} plain {plain:.2f} us; added: " + ", ".join(f"{way} {us:.2f}" for way, us in added.items()))


if __name__ == "__main__":
    main()
