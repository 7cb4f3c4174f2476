"""The endpoints: each reads its parameters, asks, judges and answers. No SQL here."""

from posemon_otel.admin.endpoints.generations import GENERATIONS
from posemon_otel.admin.endpoints.health import HEALTH
from posemon_otel.admin.endpoints.metrics import METRICS
from posemon_otel.admin.endpoints.session import LOGIN, SESSION
from posemon_otel.admin.site import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (*METRICS, *GENERATIONS, *HEALTH, *SESSION)

__all__ = ["ENDPOINTS", "LOGIN"]
