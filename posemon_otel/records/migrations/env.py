"""Run by Alembic, on the connection and in the transaction that ``upgrade`` gives it."""

from alembic import context

from posemon_otel.records.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
