"""The public surface as type checkers see it."""

import subprocess
import sys
from pathlib import Path

import posemon_otel

ROOT = Path(__file__).parents[1]


def mypy(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=110
    )


def test_types_are_what_the_typing_test_says() -> None:
    done = mypy("tests/typing/api.py")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_public_names() -> None:
    assert posemon_otel.__all__ == sorted(posemon_otel.__all__)
    assert set(posemon_otel.__all__) == {
        "ErrorType",
        "__version__",
        "classify_error",
        "configure",
        "controlnet_logger",
        "flux_call",
        "flux_logger",
        "force_flush",
        "generation",
        "get_logger",
        "instrument",
        "metrics_logger",
        "on_event",
        "performance_tracker",
        "record_event",
        "shutdown",
        "storage_logger",
        "storage_write",
        "uninstrument",
        "worker_logger",
    }
    for name in posemon_otel.__all__:
        assert getattr(posemon_otel, name) is not None
