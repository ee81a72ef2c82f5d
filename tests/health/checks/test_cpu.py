from runtime.health.checks.cpu import CHECK


def test_cpu_reports_a_share_of_all_processors(bench):
    measured = CHECK.make_probe()(bench.sources)
    assert measured.value is not None
    assert 0.0 <= measured.value <= 1.0
