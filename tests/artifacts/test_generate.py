"""``posemon generate``: what is committed is what would be written."""

import subprocess
import sys
from pathlib import Path

import pytest

from posemon_otel.cli import generate

ROOT = Path(__file__).parents[2]


def posemon(*arguments: str, folder: Path = ROOT) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "posemon_otel.cli", "generate", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path):
    (tmp_path / generate.DOCUMENT).write_text((ROOT / generate.DOCUMENT).read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def test_what_is_committed_is_what_would_be_written():
    assert posemon("--check") == (0, f"MONITORING.md: all {len(generate.blocks())} blocks are as they should be\n", "")


def test_a_stale_block_is_named_left_alone_by_check_and_then_mended(folder):
    document = folder / generate.DOCUMENT
    good = document.read_text(encoding="utf-8")
    touched = good.replace("| `JWT_SECRET` |", "| `JWT_SECRETS` |").replace("| `pose.cost.usd` |", "| `pose.cost` |")
    document.write_text(touched, encoding="utf-8")
    stale = "posemon: MONITORING.md: stale settings, attributes; run `posemon generate`\n"
    assert posemon("--check", folder=folder) == (1, "", stale)
    assert document.read_text(encoding="utf-8") == touched
    assert posemon(folder=folder) == (0, "MONITORING.md: wrote settings, attributes\n", "")
    assert document.read_text(encoding="utf-8") == good


def test_a_missing_document_and_missing_marks_are_one_line(tmp_path):
    code, out, error = posemon(folder=tmp_path)
    assert (code, out) == (1, "")
    assert error == (
        "posemon: cannot read MONITORING.md: No such file or directory; "
        "call it in a clone's folder, or name the document\n"
    )
    (tmp_path / "other.md").write_text("# Nothing\n")
    code, out, error = posemon("other.md", folder=tmp_path)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert error.startswith("posemon: other.md: expected a block ")
    assert (tmp_path / "other.md").read_text() == "# Nothing\n"


def test_secrets_are_marked_and_options_shown():
    table = generate.settings_table()
    assert all(
        "(secret)" in line for line in table.splitlines() if line.startswith(("| `JWT_SECRET", "| `DATABASE_URL"))
    )
    assert "(secret)" not in next(line for line in table.splitlines() if "`POSEMON_QUEUE`" in line)
    usages = [usage for usage, _ in generate.commands()]
    assert "posemon demo [--generations N] [--exit] [--view] [--dir DIR]" in usages
    assert "posemon token --user ID [--role ROLE] [--hours HOURS]" in usages
    assert "posemon generate [--check] [DOCUMENT]" in usages
