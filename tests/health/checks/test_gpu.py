from runtime.health.checks.gpu import CHECK


def test_gpu_reports_its_temperature(bench):
    assert CHECK.make_probe()(bench.sources).value == 55.0


def test_gpu_that_does_not_answer_is_unknown_not_cold(bench, gpu_of):
    bench.gpu = gpu_of(present=0, temp_c=0.0)
    assert CHECK.make_probe()(bench.sources).value is None


def test_gpu_never_heard_of_is_unknown(bench):
    bench.gpu = None
    assert CHECK.make_probe()(bench.sources).value is None
