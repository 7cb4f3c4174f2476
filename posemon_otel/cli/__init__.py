"""The command line: ``posemon``. Each command imports what it needs when it is called."""

from posemon_otel.cli.groups import main

__all__ = ["main"]
