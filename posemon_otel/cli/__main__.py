"""``python -m posemon_otel.cli`` is ``posemon``."""

from posemon_otel.cli import main

main()
