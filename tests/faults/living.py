"""A worker that lives: it works a little, adopts what dead ones left, and ends when its standard input is closed."""

import sys
import threading
import time

import posemon_otel as posemon


def main() -> None:
    posemon.configure("torture", disabled_instrumentations=("*",), log_format="none")
    closed = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), closed.set()), daemon=True).start()
    print("ready", flush=True)
    count = 0
    while not closed.wait(0.1):
        with posemon.generation(f"living-{count}"):
            time.sleep(0.001)
        count += 1


if __name__ == "__main__":
    main()
