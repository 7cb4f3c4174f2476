"""``posemon generate``: the tables of MONITORING.md, from the registry, the settings, the commands, the endpoints."""

from collections.abc import Iterator
from pathlib import Path

import click

from posemon_otel import otel_variables, settings
from posemon_otel.artifacts import TABLES, BlockError, code, fill, stale, table
from posemon_otel.cli.groups import Failure, posemon

DOCUMENT = "MONITORING.md"


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 when a block is stale.")
@click.argument("document", type=click.Path(dir_okay=False, path_type=Path), default=DOCUMENT)
def generate(document: Path, *, check: bool) -> None:
    """The tables of MONITORING.md from the one source, in a clone's folder."""
    try:
        text = document.read_text(encoding="utf-8")
        wanted = blocks()
        old, new = stale(text, wanted), fill(text, wanted)
    except OSError as error:
        why = f"cannot read {document}: {error.strerror}"
        raise Failure(f"{why}; call it in a clone's folder, or name the document") from None
    except BlockError as error:
        raise Failure(f"{document}: {error}") from None
    if check and old:
        raise Failure(f"{document}: stale {', '.join(old)}; run `posemon generate`")
    if not old:
        click.echo(f"{document}: all {len(wanted)} blocks are as they should be")
        return
    document.write_text(new, encoding="utf-8")
    click.echo(f"{document}: wrote {', '.join(old)}")


def blocks() -> dict[str, str]:
    """The text of every generated block, by its name.

    Raises:
        ImportError: The packages of the extra ``admin`` are not installed: its endpoints are among the tables.
    """
    return {
        **{name: make() for name, make in TABLES.items()},
        "otel-variables": otel_variables_table(),
        "settings": settings_table(),
        "commands": commands_table(),
        "endpoints": endpoints_table(),
    }


def settings_table() -> str:
    """Every setting: keyword of ``configure``, variables, default, meaning."""
    rows = []
    for setting in settings.ALL:
        default = ",".join(setting.default) if isinstance(setting.default, tuple) else str(setting.default)
        shown = default.lower() if isinstance(setting.default, bool) else default
        secret = " (secret)" if setting.secret else ""
        rows.append((code(*setting.variables), code(setting.name), code(shown), setting.meaning + secret))
    return table(("variable", "keyword of `configure`", "default", "meaning"), rows)


def otel_variables_table() -> str:
    """Every variable of OpenTelemetry's own and what becomes of it."""
    rows = (
        (code(one.name), one.treatment, one.how) for one in sorted(otel_variables.VARIABLES, key=lambda one: one.name)
    )
    return table(("variable", "it is", "how"), rows)


def commands_table() -> str:
    """Every command with its options."""
    rows = ((code(usage), command.get_short_help_str(200)) for usage, command in commands())
    return table(("command", "what it does"), rows)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its usage in one line."""
    yield from _below("posemon", posemon)


def _below(path: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _below(f"{path} {name}", command)
        elif command is not None:
            yield " ".join((f"{path} {name}", *map(_usage, command.params))), command


def _usage(parameter: click.Parameter) -> str:
    if not isinstance(parameter, click.Option):
        return f"[{parameter.make_metavar(click.Context(posemon)).strip('[]')}]"
    option = max(parameter.opts, key=len)
    shown = option if parameter.is_flag else f"{option} {parameter.metavar or option.lstrip('-').upper()}"
    return shown if parameter.required else f"[{shown}]"


def endpoints_table() -> str:
    """Every endpoint of the admin app, below its prefix."""
    from posemon_otel.admin.endpoints import ENDPOINTS, LOGIN
    from posemon_otel.admin.pages import DASHBOARD_PATH

    rows = [
        (
            code(f"{endpoint.method} {endpoint.path}"),
            endpoint.access.value,
            code(*endpoint.parameters),
            endpoint.summary + (" (outside the prefix)" if endpoint.outside else ""),
        )
        for endpoint in (*ENDPOINTS, LOGIN)
    ]
    rows.append((code(f"GET {DASHBOARD_PATH}"), "anyone", "", "the page; its numbers need an admin who is signed in"))
    return table(("endpoint", "who", "parameters", "answer"), rows)
