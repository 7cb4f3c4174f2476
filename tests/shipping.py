"""Workers and `posemon ship` as processes, for tests that let them work together."""

import os
import queue
import re
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

from tests.receiver import attributes

SECONDS = 30.0

WORKER = """
import os, sys
import posemon_otel as posemon
handle = posemon.configure("pose-worker", log_format="none", exit_budget=0.5, disabled_instrumentations=("*",))
held = []
print("ready", flush=True)
for line in sys.stdin:
    command, _, name = line.strip().partition(" ")
    if command == "make":
        with posemon.generation(name):
            pass
    elif command == "open":
        held.append(posemon.generation(name))
        held[-1].__enter__()
    elif command == "flush":
        print(handle.force_flush(20.0), flush=True)
        continue
    elif command == "exporters":
        print(*[module for module in sys.modules if module.startswith("opentelemetry.exporter")], flush=True)
        continue
    print("done", flush=True)
"""


class Process:
    """A subprocess that is killed at the latest when its block ends."""

    def __init__(self, arguments, environ):
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

        self._lines = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.returncode is None:
            self.process.kill()
        self._finish()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line.strip())
        self._lines.put(None)

    def _finish(self):
        self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                stream.close()
        if self.process.stderr.closed:
            return ""
        with self.process.stderr as stream:
            return stream.read()

    def line(self):
        """The next line that it writes; it has to come in time."""
        line = self._lines.get(timeout=SECONDS)
        assert line is not None, f"it has ended: {self.process.stderr.read()}"
        return line

    def ask(self, line):
        """Sends a line and returns the answer."""
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.line()

    def says(self, pattern):
        """Reads lines until one matches."""
        while not re.search(pattern, line := self.line()):
            pass
        return line

    def said(self, text):
        """Whether one of the lines that it has written since the last look contains this."""
        return any(text in self.line() for _ in range(self._lines.qsize()))

    def end(self, number):
        """Sends a signal; returns the exit code, what it wrote to stderr, and how long it took to end."""
        begun = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(SECONDS)
        seconds = time.monotonic() - begun
        return self.process.returncode, self._finish(), seconds


@contextmanager
def starting(folder):
    """What starts workers and shippers that share a folder; they are killed at the latest when the block ends."""
    with ExitStack() as stack:

        def run(what, receiver, *arguments, **more):
            environ = {
                "PATH": os.environ.get("PATH", ""),
                "POSEMON_JOURNAL_DIR": str(folder),
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
                "POSEMON_SHIP_INTERVAL": "0.05",
                **more,
            }
            if what == "worker":
                environ.setdefault("OTEL_METRICS_EXPORTER", "none")  # its exporter is a worker's own affair
                made = stack.enter_context(Process(["-W", "error", "-c", WORKER], environ))
                made.says("ready")
                return made
            arguments = ["-m", "posemon_otel.cli", "ship", *arguments]
            return stack.enter_context(Process(arguments, environ))

        yield run


def arrived(receiver):
    """The generations that have arrived."""
    ids = (attributes(span.attributes).get("pose.generation.id") for _, _, span in receiver.spans())
    return {name for name in ids if name}


def until(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
