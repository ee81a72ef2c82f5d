"""A short sample of the non-interference run: what got through, and what was kept; never times."""

from pathlib import Path

import numpy as np
import pytest

from runtime.controld.abuse import Abuse
from runtime.controld.distribution import Distribution, parse_cyclictest
from runtime.controld.interference import Findings, run_phase, table
from runtime.shm import DTYPES, Source
from tests.controld.robots import BINARY

CYCLICTEST = """# /dev/cpu_dma_latency set to 0us
# Histogram
000009 000900
000012 000090
000100 000009
004000 000001
# Total: 000001000
# Min Latencies: 00009
# Avg Latencies: 00012
# Max Latencies: 04000
"""


@pytest.mark.skipif(not BINARY.exists(), reason="controld is not built")
def test_whatever_the_python_side_does_no_cycle_is_lost_and_no_abused_command_gets_through(
    control_path: Path,
) -> None:
    phase = run_phase(control_path, 2.0, abused=True, load=(Abuse.DISK,))
    found = phase.findings
    assert found.cycles > 1000
    assert found.gaps == 0
    assert (found.from_abused_slot, found.not_finite, found.outside_limits) == (0, 0, 0)
    assert found.kills >= 3
    assert found.stops >= 1
    assert {"NOT_FINITE", "INVALID"} <= set(found.rejected), "the flood was refused, and counted"
    assert phase.stages["CYCLE"].count >= found.cycles


def test_frames_that_obey_the_abused_slot_would_be_found() -> None:
    frames = np.zeros(4, DTYPES["state"])
    frames["cycle"] = [11, 12, 14, 15]
    frames["source"][1] = Source.FALLBACK
    frames["q_cmd"][2, 0] = np.nan
    frames["q_cmd"][3, 1] = 3.0
    found = Findings()
    found.look(frames, 10, np.array([[-1.0, 1.0], [-2.0, 2.0]]))
    assert (found.cycles, found.gaps, found.from_abused_slot) == (4, 1, 1)
    assert (found.not_finite, found.outside_limits) == (1, 1)


def test_cyclictests_histogram_is_read_with_its_true_maximum() -> None:
    spread = parse_cyclictest(CYCLICTEST)
    assert spread == Distribution(count=1000, p50_us=9, p99_us=12, p999_us=100, max_us=4000)
    with pytest.raises(ValueError, match="no output of cyclictest"):
        parse_cyclictest("unable to get scheduling parameters")


def test_a_missing_peer_is_named_in_the_table() -> None:
    spread = {"p50_us": 1.0, "p99_us": 2.0, "p999_us": 3.0, "max_us": 4.0}
    phase = {"stages": {"WAKE": spread}, "findings": {}}
    text = table(
        {
            "quiet": phase,
            "abused": phase,
            "cyclictest": {"quiet": "cyclictest is not installed", "abused": spread},
            "abused_to_quiet": {"WAKE": {"p50_us": 1.0}},
        }
    )
    assert "quiet cyclictest        cyclictest is not installed" in text
