import pytest

from conf.load import Composed, compose
from conf.schema.alerts import Alerts


@pytest.fixture(scope="session")
def whole() -> Composed:
    return compose()


@pytest.fixture(scope="session")
def shipped(whole: Composed) -> Alerts:
    return whole.config.alerts
