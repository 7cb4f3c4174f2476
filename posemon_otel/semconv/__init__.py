"""Names and numbers as data: everything that goes over the wire, is drawn or is documented takes them from here.

Only the standard library is imported, so that the whole package can be read by a generator, a test or a worker at no cost.
"""

SCHEMA_URL = "https://posemon.dev/schemas/0.1.0"
"""Identifies this set of names on every scope that we emit."""

SCOPE = "posemon_otel"
"""Instrumentation scope of everything that is not a component logger or a library's instrumentation."""

LIBRARY_SCOPE = "posemon_otel.instrumentation."
"""Prefix of the scopes of instrumented libraries."""
