import math

from runtime.health.checks.battery import CHECK


def test_battery_reports_its_charge(bench):
    assert CHECK.make_probe()(bench.sources).value == 0.8


def test_battery_without_state_is_unknown(bench):
    bench.state = None
    assert CHECK.make_probe()(bench.sources).value is None


def test_battery_that_cannot_be_read_is_passed_on_as_not_a_number(bench, state_of):
    bench.state = state_of(battery_ratio=float("nan"))
    value = CHECK.make_probe()(bench.sources).value
    assert value is not None
    assert math.isnan(value)
