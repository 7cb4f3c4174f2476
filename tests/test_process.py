"""``configure`` and its kin by their public names: the same as what does the work, and harmless before it."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import posemon_otel as posemon
from posemon_otel import bootstrap


@pytest.mark.parametrize("name", ["configure", "force_flush", "shutdown"])
def test_public_names_take_what_bootstrap_takes(name: str) -> None:
    def shape(function: object) -> list[tuple[object, object]]:
        assert callable(function)
        return [(each.kind, each.default) for each in inspect.signature(function).parameters.values()]

    assert shape(getattr(posemon, name)) == shape(getattr(bootstrap, name))


def test_before_configure_there_is_nothing_to_wait_for() -> None:
    assert bootstrap.handle() is None
    assert posemon.force_flush(0.1) is True
    assert posemon.shutdown(0.1) is True


def test_a_library_that_is_none() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        posemon.instrument("nonsense")
    with pytest.raises(ValueError, match="nonsense"):
        posemon.uninstrument("nonsense")


def test_configured_twice_is_configured_once() -> None:
    code = (
        "import posemon_otel as p; first = p.configure('a'); "
        "print(first is p.configure('b'), p.force_flush(1.0), p.shutdown(1.0), p.shutdown(1.0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "OTEL_SDK_DISABLED": "true"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["True"] * 4
