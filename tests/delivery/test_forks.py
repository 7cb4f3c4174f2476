"""A fork while a thread of delivery imports: the child must not wait for a lock that nobody will ever give back."""

import os
import subprocess
import sys
import textwrap

PROGRAM = """
import os, sys, threading, time
from posemon_otel.delivery import forks

forks._WAIT_SECONDS = float(sys.argv[1])
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
deadline = time.monotonic() + float(sys.argv[2])
while time.monotonic() < deadline:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        print(os.waitstatus_to_exitcode(status), round(waited, 1))
        break
    time.sleep(0.02)
else:
    os.kill(pid, 9)
    print("hangs", round(waited, 1))
"""


def run(folder, sleeping, wait, patience):
    """What became of the child (its exit code), and how many seconds the fork took."""
    (folder / "slow_module.py").write_text(f"import time\ntime.sleep({sleeping})\nmade = True\n")
    program = folder / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    done = subprocess.run(
        [sys.executable, str(program), str(wait), str(patience)], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    became, took = done.stdout.split()
    return became, float(took)


def test_a_fork_waits_for_the_import_to_end(tmp_path):
    became, took = run(tmp_path, sleeping=0.6, wait=30, patience=20)
    assert became == "0"
    assert took >= 0.3


def test_a_fork_waits_only_so_long(tmp_path):
    # What the child makes of it then nobody can know: it may hang where it imports the same.
    _, took = run(tmp_path, sleeping=2.5, wait=0.2, patience=0.1)
    assert took < 2.0
