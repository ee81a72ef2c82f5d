"""What is printed and kept shows all that was measured."""

import json

import orjson
from hypothesis import given
from hypothesis import strategies as st

from conf.load import compose
from runtime.acceptance.judge import Measured, Part, judge
from runtime.acceptance.latency import Latencies
from runtime.acceptance.report import as_document, as_text, fold, plot, plot_bounds

WAKEUP = Latencies(((5.0, 900), (13.0, 99), (80.0, 1)), 80.0)
PEER = Latencies(((5.0, 999), (60.0, 1)), 60.0)
CONFIG = compose(hardware="sim_x86").config
PARTS = (
    Measured(Part.QUIET, 1000, 0, WAKEUP, PEER, realtime=True),
    Measured(Part.LOADED, 0, 0, None, None, None, problem="controld did not start (exit 3)"),
)


def test_the_text_has_table_plot_findings_and_verdict():
    text = as_text(PARTS, judge(CONFIG.hardware.acceptance, PARTS))
    assert "quiet: 1000 cycles, 0 missed" in text
    assert "cyclictest" in text
    assert "█ 1" in text
    assert "controld did not start (exit 3)" in text
    assert text.endswith("which never counts as passed")


def test_the_document_can_be_judged_again():
    limits = CONFIG.hardware.acceptance
    document = as_document(CONFIG, "6.12-test", PARTS, judge(limits, PARTS), None)
    again = json.loads(orjson.dumps(document))
    assert again["verdict"] == "unknown"
    assert again["config_hash"] == CONFIG.config_hash
    assert again["limits"]["wakeup_max_us"] == limits.wakeup_max_us
    row = again["parts"][0]
    kept = Latencies(tuple(map(tuple, row["wakeup"]["rows"])), row["wakeup"]["max_us"])
    assert kept == WAKEUP
    assert again["parts"][1]["problem"].startswith("controld did not start")


ROWS = st.lists(
    st.tuples(st.floats(0.1, 1e6), st.integers(1, 10**7)),
    min_size=1,
    max_size=20,
    unique_by=lambda row: row[0],
).map(lambda rows: Latencies(tuple(sorted(rows)), max(upper for upper, _ in rows)))


@given(ROWS, ROWS)
def test_any_two_series_are_drawn_and_every_sample_has_its_row(mine: Latencies, peer: Latencies):
    bounds = plot_bounds(max(mine.max_us, peer.max_us))
    assert list(bounds) == sorted(bounds)
    assert sum(fold(mine, bounds)) == mine.count
    lines = plot({"controld": mine, "cyclictest": peer})
    assert len(lines) == 1 + len(bounds)
    assert max(len(line) for line in lines) < 90
