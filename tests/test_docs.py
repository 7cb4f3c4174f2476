"""The documentation is true: examples run, commands exist, links lead somewhere, and nothing is left out."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

import posemon_otel
from posemon_otel import testing, worker_logger
from posemon_otel.cli.generate import commands
from posemon_otel.cli.groups import posemon
from posemon_otel.semconv import health as h
from posemon_otel.semconv import metrics as m
from posemon_otel.settings import ALL

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "MONITORING.md", "CHANGELOG.md", "docs/architecture.md")
WITH_EXAMPLES = ("README.md", "MONITORING.md")
MONITORING = (ROOT / "MONITORING.md").read_text(encoding="utf-8")

SHELL = ("sh", "console")
PROGRAMS = frozenset(("curl", "export", "opentelemetry-instrument", "openssl", "pip"))
"""What examples may call beside `posemon` and `make`."""

RUN = """
import json, sys
namespace = {"__name__": "example"}
for name, line, code in json.load(sys.stdin):
    exec(compile("\\n" * line + code, name, "exec"), namespace)
namespace["posemon"].shutdown()
for name, value in list(namespace.items()):
    if name.startswith("test_"):
        value()
"""
"""The blocks of a document in order, in one namespace; then what they define as tests."""


class Block(NamedTuple):
    """A fenced block: its language, its text, and the line of the document before it."""

    language: str
    text: str
    line: int


def blocks(text: str) -> Iterator[Block]:
    language, start, lines = None, 0, []
    for number, line in enumerate(text.splitlines(), 1):
        if language is None and (fence := re.fullmatch(r"```(\w*)", line)):
            language, start, lines = fence[1], number, []
        elif line == "```" and language is not None:
            yield Block(language, "\n".join(lines) + "\n", start)
            language = None
        else:
            lines.append(line)
    assert language is None, f"the block at line {start} has no end"


def prose(text: str) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def slugs(text: str) -> set[str]:
    """Anchors of a document's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def run(name: str, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the Python blocks of a document in a process of their own, without a network."""
    told = [(name, block.line, block.text) for block in blocks(text) if block.language == "python"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "POSEMON_JOURNAL_DIR": str(folder / "journal"),
        **dict.fromkeys(("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none"),
    }
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN],
        input=json.dumps(told),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def calls(block: Block) -> Iterator[list[str]]:
    """The commands of a shell block, those within others included."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if block.language == "console" and not line.startswith("$ "):
            continue  # what a command prints
        whole = line.removeprefix("$ ")
        for inner in re.findall(r"\$\(([^()]+)\)", whole):
            yield shlex.split(inner)
        words = shlex.split(re.sub(r"\$\([^()]+\)", "x", whole), comments=True)
        while words and re.fullmatch(r"[A-Za-z_]\w*=.*", words[0]):
            words.pop(0)
        if words:
            yield words


def check_call(words: list[str]) -> str:
    """What is wrong with a command; empty when nothing is."""
    program, arguments = words[0].rpartition("/")[2], words[1:]
    if program == "make":
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        return "" if {word for word in arguments if "=" not in word} <= targets else f"no such target: {words}"
    if program == "posemon":
        return check_posemon(arguments)
    for word in arguments:
        if word.startswith("examples/") and not (ROOT / word).is_file():
            return f"no such file: {word}"
    return "" if program in PROGRAMS else f"unknown program: {program}"


def check_posemon(arguments: list[str]) -> str:
    command: click.Command = posemon
    try:
        context = posemon.make_context("posemon", list(arguments))
        while isinstance(command, click.Group):
            rest = [*context._protected_args, *context.args]
            name, found, left = command.resolve_command(context, rest)
            command = found
            context = command.make_context(name, left, parent=context)
    except click.ClickException as error:
        return f"posemon {shlex.join(arguments)}: {error.format_message()}"
    return ""


def check_named(words: str) -> str:
    """What is wrong with a command that is named in a sentence: its options may stand in brackets."""
    usages = {usage.partition(" [")[0].partition(" -")[0]: command for usage, command in commands()}
    path = re.split(r" [\[-]", words)[0]
    groups = {name.rpartition(" ")[0] for name in usages}
    known = next((usages[name] for name in usages if path == name or path.startswith(f"{name} ")), None)
    if known is None:
        return "" if path in groups else f"no such command: {words}"
    options = {option for parameter in known.params for option in parameter.opts}
    return "" if set(re.findall(r"--[a-z-]+", words)) <= options else f"no such option: {words}"


def broken_links(document: str, text: str) -> list[str]:
    """Links to files or headings that are not there."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / document).parent / path
        if path and not file.exists():
            broken.append(target)
            continue
        if anchor and anchor not in slugs(file.read_text(encoding="utf-8") if path else text):
            broken.append(target)
    return broken


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", WITH_EXAMPLES)
def test_python_examples_run(document, tmp_path):
    assert any(block.language == "python" for block in blocks(read(document)))
    done = run(document, read(document), tmp_path)
    assert done.returncode == 0, done.stderr


def test_an_example_that_fails_is_seen_with_its_line(tmp_path):
    text = "# x\n\n```python\nimport posemon_otel as posemon\n```\n\n```python\nassert posemon is None\n```\n"
    done = run("x.md", text, tmp_path)
    assert done.returncode == 1
    assert 'File "x.md", line 8' in done.stderr


def test_an_example_s_own_tests_are_run(tmp_path):
    text = "```python\nimport posemon_otel as posemon\n\ndef test_x():\n    raise SystemExit(7)\n```\n"
    assert run("x.md", text, tmp_path).returncode == 7


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_blocks_exist(document):
    called = [words for block in blocks(read(document)) if block.language in SHELL for words in calls(block)]
    assert [wrong for words in called if (wrong := check_call(words))] == []
    assert called or document not in WITH_EXAMPLES


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_sentences_exist(document):
    named = re.findall(r"`(?:\.venv/bin/)?(posemon [^`]+)`", prose(read(document)))
    targets = re.findall(r"`(make [^`]+)`", prose(read(document)))
    assert [wrong for words in named if (wrong := check_named(words))] == []
    assert [wrong for words in targets if (wrong := check_call(shlex.split(words)))] == []


@pytest.mark.parametrize(
    "text",
    [
        "posemon nothing",
        "posemon demo --generation 3",
        "posemon demo --generations many",
        "posemon db",
        "posemon token",
        "TOKEN=$(posemon tokens --user x)",
        "make nothing",
        "python examples/nothing.py",
        "docker run x",
    ],
)
def test_a_wrong_command_is_seen(text):
    wrong = [check_call(words) for words in calls(Block("sh", f"{text}\n", 0))]
    assert any(wrong), text


@pytest.mark.parametrize("text", ["posemon nothing", "posemon db downgrade", "posemon demo --generation 3"])
def test_a_wrong_command_in_a_sentence_is_seen(text):
    assert check_named(text)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    assert broken_links(document, read(document)) == []


def test_a_broken_link_is_seen():
    text = "## A heading\n[](#a-heading) [](#another) [](nothing.md) [](MONITORING.md#spans) [](MONITORING.md#nothing)"
    assert broken_links("README.md", text) == ["#another", "nothing.md", "MONITORING.md#nothing"]


def test_every_alert_leads_to_its_paragraph():
    wanted = {one.runbook for one in (*h.INDICATORS, *h.ALERTS)}
    assert wanted - slugs(MONITORING) == set()


def test_nothing_is_left_out():
    def missing(*words: str) -> list[str]:
        return [word for word in words if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", MONITORING)]

    assert missing(*(variable for setting in ALL for variable in setting.variables)) == []
    assert missing(*(usage.partition(" [")[0] for usage, _ in commands())) == []
    assert missing(*(name for name in posemon_otel.__all__ if name != "__version__")) == []
    assert missing("POSEMON_NOTHING") == ["POSEMON_NOTHING"]


def test_every_endpoint_of_the_app_is_there(tmp_path):
    from starlette.routing import Route

    from posemon_otel.admin import create_app
    from posemon_otel.records import connect

    app = create_app(connect(f"sqlite:///{tmp_path}/x.db"), jwt_secret="k" * 32, prefix="/p", login=True)
    served = {
        f"{method} {route.path.removeprefix('/p')}"
        for route in app.routes
        if isinstance(route, Route)
        for method in route.methods - {"HEAD"}
    }
    assert "GET /metrics" in served
    assert {one for one in served if f"`{one}`" not in MONITORING} == set()


def test_log_lines_are_shown_as_they_are(capsys):
    (shown,) = (json.loads(block.text) for block in blocks(MONITORING) if block.language == "json")
    lines = {}
    for form in ("json", "console"):
        with testing.capture(log_format=form, fixed=False), posemon_otel.performance_tracker.measure("x"):
            worker_logger.info("Processing generation", generation_id="gen-3", pose_count=2)
        lines[form] = capsys.readouterr().err.strip()
    real = json.loads(lines["json"])
    varying = ("timestamp", "traceId", "spanId")
    assert list(real) == list(shown)
    assert {**real, **dict.fromkeys(varying)} == {**shown, **dict.fromkeys(varying)}
    assert {len(real[name]) - len(shown[name]) for name in varying} == {0}
    assert lines["console"].partition(" ")[2] in MONITORING


def test_queries_ask_for_metrics_that_there_are():
    known = {metric.prometheus for metric in m.METRICS}
    asked = {
        name.removesuffix("_bucket")
        for block in blocks(MONITORING)
        if block.language == "promql"
        for name in re.findall(r"\b(?:pose|gen_ai|posemon)_\w+", block.text)
    }
    assert asked
    assert asked - known == set()
