"""``posemon doctor``: what is configured, reachable and instrumented, and what became of a trace."""

import json
import sys
from collections.abc import Iterator
from typing import NamedTuple

import click

from posemon_otel import redaction, settings
from posemon_otel.settings import Setting, Settings

GOOD, OFF, BAD = "good", "off", "bad"
_MARKS = {GOOD: "✓", OFF: "–", BAD: "✗"}  # noqa: RUF001 - as it is to be read
_PLAIN_MARKS = {GOOD: "+", OFF: "-", BAD: "x"}


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        about: Part of the system.
        state: ``good``, ``off`` (not used, which may be right) or ``bad``.
        what: What was found.
        mend: What mends it, where it is bad.
    """

    about: str
    state: str
    what: str
    mend: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor(*, as_json: bool) -> int:
    """What is configured, reachable and instrumented; sends one trace and says what became of it.

    Every setting with its source, then what was found: each ✗ ends with what mends it, and makes the exit code 1.
    """
    from posemon_otel.cli import examine

    chosen = Settings()
    settings.use(chosen)
    found = [*_problems(chosen), *examine.everything(chosen)]
    healthy = not any(finding.state == BAD for finding in found)
    if as_json:
        told = {
            "ok": healthy,
            "settings": [
                {"variable": setting.variables[0], "value": shown(setting, chosen), "source": chosen.origin(setting)}
                for setting in settings.ALL
            ],
            "findings": [finding._asdict() for finding in found],
        }
        click.echo(json.dumps(told, indent=2))
        return 0 if healthy else 1
    width = max(len(setting.variables[0]) for setting in settings.ALL)
    for setting in settings.ALL:
        origin = chosen.origin(setting)
        click.echo(f"  {setting.variables[0]:{width}}  {shown(setting, chosen) or '(none)'}  [{origin}]")
    click.echo()
    for line in _lines(found):
        click.echo(line)
    return 0 if healthy else 1


def shown(setting: Setting[object], chosen: Settings) -> str:
    """A setting's value as people may see it: of a secret only whether there is one, an address without credentials.

    Args:
        setting: The setting.
        chosen: All of them.
    """
    value = chosen[setting]
    if setting.secret:
        return "(set)" if value else ""
    if isinstance(value, bool):
        return str(value).lower()
    texts = [str(part) for part in value] if isinstance(value, tuple) else [str(value)]
    return ",".join(redaction.clean_url(text) if "://" in text else text for text in texts)


def _problems(chosen: Settings) -> Iterator[Finding]:
    for problem in chosen.problems:
        yield Finding("settings", BAD, problem, "correct or remove it")
    if not chosen.problems:
        yield Finding("settings", GOOD, "all understood")


def _lines(found: list[Finding]) -> Iterator[str]:
    marks = _MARKS
    try:
        "".join(_MARKS.values()).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        marks = _PLAIN_MARKS
    width = max(len(finding.about) for finding in found)
    for finding in found:
        mend = f": {finding.mend}" if finding.mend else ""
        yield f"{marks[finding.state]} {finding.about:{width}}  {' '.join(finding.what.split())}{mend}"
