import pytest

from posemon_otel import records


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'posemon.db'}"


@pytest.fixture
def engine(url):
    engine = records.connect(url)
    records.upgrade(engine)
    yield engine
    engine.dispose()
