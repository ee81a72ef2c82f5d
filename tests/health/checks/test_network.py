from runtime.health.checks.network import CHECK
from runtime.uplink import Uplink


def test_network_counts_from_the_fleets_last_word(bench):
    bench.uplink = Uplink(connected=True, last_heard_ns=400_000_000, at_ns=900_000_000)
    measured = CHECK.make_probe()(bench.sources)
    assert measured.value == 0.6
    assert measured.at_ns == 900_000_000


def test_network_never_heard_is_unknown(bench):
    bench.uplink = Uplink(connected=True, last_heard_ns=None, at_ns=900_000_000)
    assert CHECK.make_probe()(bench.sources).value is None


def test_network_without_word_from_telemetry_is_unknown(bench):
    assert CHECK.make_probe()(bench.sources).value is None
