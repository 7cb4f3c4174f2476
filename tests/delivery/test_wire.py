"""Decoders are made once, whichever thread asks first."""

import subprocess
import sys

CODE = """
import sys, threading
from typing import Any, NamedTuple
import msgspec
from posemon_otel.delivery import wire

sys.setswitchinterval(1e-5)

def fresh(number):
    inner = NamedTuple(f"Inner{number}", [(f"f{i}", dict[str, Any] | None) for i in range(12)])
    return NamedTuple(f"Outer{number}", [("one", inner), ("more", list[inner])] + [(f"f{i}", str) for i in range(30)])

payload = msgspec.msgpack.encode([[None] * 12, [[{}] * 12] * 3] + ["x"] * 30)
wrong = []
for number in range(60):
    wire.TYPES[100 + number] = fresh(number)
    together = threading.Barrier(4)

    def read():
        together.wait(10)
        try:
            entry = wire.decoder(100 + number).decode(payload)
            if entry.more[2].f11 != {} or entry.f29 != "x":
                wrong.append(entry)
        except Exception as exc:
            wrong.append(exc)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
sys.exit(repr(wrong[0]) if wrong else 0)
"""


def test_threads_that_read_a_first_entry_at_once_get_a_whole_decoder():
    """msgspec gives out what it knows of a class before it knows it all: reading with that ends the process."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
