from runtime.health.checks.memory import CHECK


def test_memory_reports_what_is_available(bench):
    measured = CHECK.make_probe()(bench.sources)
    assert measured.value is not None
    assert measured.value > 1.0
