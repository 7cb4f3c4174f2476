"""Zero-code: what `opentelemetry-instrument` finds under `opentelemetry_distro` and `opentelemetry_configurator`."""

import os
from typing import Any

from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]  # untyped

from posemon_otel import bootstrap

NAME = "posemon"


class PosemonDistro(BaseDistro):  # type: ignore[misc]
    """Names our configurator: with ``opentelemetry-distro`` installed too, its own could come first."""

    def _configure(self, **kwargs: Any) -> None:  # noqa: ARG002 - the base's signature
        os.environ.setdefault("OTEL_PYTHON_CONFIGURATOR", NAME)


class PosemonConfigurator:
    """Calls ``configure()``."""

    def configure(self, **kwargs: Any) -> None:  # noqa: ARG002 - opentelemetry-instrument says its version
        bootstrap.configure()
