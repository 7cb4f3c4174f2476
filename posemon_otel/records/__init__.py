"""The database side: tables, migrations, upserts and queries that answer with frozen data. No HTTP, no OpenTelemetry.

Needs SQLAlchemy and Alembic: ``pip install 'posemon-otel[admin]'``, and ``posemon-otel[postgres]`` for PostgreSQL.
"""
