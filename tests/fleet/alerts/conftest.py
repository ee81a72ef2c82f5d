import pytest

from conf.load import compose
from conf.schema.alerts import Alerts


@pytest.fixture(scope="session")
def shipped() -> Alerts:
    return compose().config.alerts
