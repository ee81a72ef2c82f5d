import pytest

from runtime.health.checks.clock import CHECK


def test_clock_that_runs_even_has_not_jumped(bench):
    probe = CHECK.make_probe()
    probe(bench.sources)
    bench.clock.advance(30_000_000_000)
    assert probe(bench.sources).value == 0.0


@pytest.mark.parametrize(("step_s", "direction"), [(7200, "ahead"), (-7200, "back")])
def test_clock_jumps_both_ways_are_measured(bench, step_s, direction):
    probe = CHECK.make_probe()
    probe(bench.sources)
    bench.clock.jump_wall(step_s * 1_000_000_000)
    measured = probe(bench.sources)
    assert (measured.value, measured.note) == (7200.0, direction)
    assert probe(bench.sources).value == 0.0
