"""What is written from the registry: text in, text out. Imports ``semconv`` alone."""

from posemon_otel.artifacts.blocks import BlockError, fill, stale
from posemon_otel.artifacts.tables import TABLES, code, table

__all__ = ["TABLES", "BlockError", "code", "fill", "stale", "table"]
