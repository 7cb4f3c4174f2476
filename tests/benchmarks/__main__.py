"""Runs every benchmark of this folder, each in a process of its own: ``make bench``."""

import subprocess
import sys
from pathlib import Path

for path in sorted(Path(__file__).parent.glob("*.py")):
    if not path.name.startswith("_"):
        print(f"\n== {path.stem}", flush=True)
        subprocess.run([sys.executable, str(path)], check=True)
