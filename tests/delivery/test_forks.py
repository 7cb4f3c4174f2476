"""A fork while a thread of delivery imports: the child must not wait for a lock that nobody will ever give back."""

import os
import subprocess
import sys
import textwrap

PROGRAM = """
import os, threading, time
from posemon_otel.delivery import forks

begun = threading.Event()

def deliver():
    with forks.held_off():
        begun.set()
        import slow_module

importing = threading.Thread(target=deliver)
importing.start()
begun.wait()
began = time.monotonic()
pid = os.fork()
if pid == 0:
    from slow_module import made
    os._exit(0 if made else 3)
waited = time.monotonic() - began
importing.join()
deadline = time.monotonic() + 10
while time.monotonic() < deadline:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        print(os.waitstatus_to_exitcode(status), 0.3 < waited < 2.0)
        break
    time.sleep(0.02)
else:
    os.kill(pid, 9)
    print("the child hangs")
"""


def run(folder, sleeping):
    (folder / "slow_module.py").write_text(f"import time\ntime.sleep({sleeping})\nmade = True\n")
    program = folder / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    done = subprocess.run([sys.executable, str(program)], env=env, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.stdout.strip()


def test_a_fork_waits_for_the_import_to_end(tmp_path):
    assert run(tmp_path, 0.6) == "0 True"


def test_a_fork_waits_no_longer_than_two_seconds(tmp_path):
    # what the child makes of it then nobody can know: it may hang where it imports the same
    assert run(tmp_path, 3.0) in ("the child hangs", "0 False")
