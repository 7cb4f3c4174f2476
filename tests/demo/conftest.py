import huggingface_hub
import huggingface_hub.constants
import pytest

from posemon_otel.demo.flux import FluxServer


@pytest.fixture(autouse=True)
def _quiet_client(monkeypatch):
    """The real client with its look-up of agent harnesses off, and no connection of one test left to the next."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_TELEMETRY", True)
    yield
    huggingface_hub.close_session()


@pytest.fixture
def flux():
    with FluxServer() as server:
        yield server
