"""One of several workers that share a folder: ``python -m tests.faults.worker NAME``.

It makes a span for each line on standard input, says so, and ends when there is no more.
"""

import sys

from opentelemetry import trace

import posemon_otel as posemon


def main() -> None:
    posemon.configure("sharing", disabled_instrumentations=("*",), log_format="none")
    tracer = trace.get_tracer("application")
    print("ready", flush=True)
    for line in sys.stdin:
        with tracer.start_as_current_span(f"{sys.argv[1]} {line.strip()}"):
            pass
        print("ended", flush=True)


if __name__ == "__main__":
    main()
