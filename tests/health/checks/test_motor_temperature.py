import numpy as np

from runtime.health.checks.motor_temperature import CHECK


def test_motor_temperature_is_the_hottest_motors(bench, state_of):
    bench.state = state_of(motor_temp_c=np.array([30, 31, 62, 33, 34, 35, 36, 0], float))
    measured = CHECK.make_probe()(bench.sources)
    assert (measured.value, measured.note) == (62.0, "j3")


def test_motor_temperature_with_one_dead_sensor_is_unknown_and_names_it(bench, state_of):
    bench.state = state_of(motor_temp_c=np.array([30, np.nan, 62, 33, 34, 35, 36, 0], float))
    measured = CHECK.make_probe()(bench.sources)
    assert measured.value is None
    assert "j2" in measured.note


def test_motor_temperature_without_state_is_unknown(bench):
    bench.state = None
    assert CHECK.make_probe()(bench.sources).value is None
