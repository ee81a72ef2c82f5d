"""The state file: newest cycle, recent cycles, and what outlives its writer."""

import numpy as np
import pytest

from runtime.shm import Histogram, Shm, Stage

RING = 2048


def test_before_a_control_process_ever_ran_there_is_nothing_and_no_error(shm: Shm) -> None:
    reader = shm.reader("state")
    assert reader.latest() is None
    assert reader.epoch() == 0
    assert len(reader.frames()) == 0
    assert reader.ledger() == []
    assert reader.histograms()[Stage.CYCLE].counts.sum() == 0


def test_frames_are_those_after_the_cycle_asked_for_oldest_first(shm: Shm) -> None:
    writer, reader = shm.writer("state"), shm.reader("state")
    for cycle in range(1, 101):
        writer.write(cycle=cycle, misses=cycle * 2)
    frames = reader.frames(since_cycle=95)
    assert frames["cycle"].tolist() == [96, 97, 98, 99, 100]
    assert frames["misses"].tolist() == [192, 194, 196, 198, 200]
    assert len(reader.frames(since_cycle=100)) == 0
    assert len(reader.frames(since_cycle=0)) == 100


def test_the_ring_holds_the_newest_cycles_only(shm: Shm) -> None:
    writer, reader = shm.writer("state"), shm.reader("state")
    for cycle in range(1, RING + 501):
        writer.write(cycle=cycle)
    frames = reader.frames()
    assert frames["cycle"].tolist() == list(range(501, RING + 501))


def test_each_writer_that_takes_the_file_over_raises_the_epoch(shm: Shm) -> None:
    reader = shm.reader("state")
    for epoch in (1, 2, 3):
        writer = shm.writer("state")
        assert reader.epoch() == epoch
        with pytest.raises(OSError, match="another controld holds it"):
            shm.writer("state")
        del writer


def test_quantiles_are_the_bounds_below_which_the_share_lies() -> None:
    upper = np.array([1.0, 2.0, 4.0, np.inf])
    histogram = Histogram(upper, np.array([90, 9, 1, 0], np.uint64))
    assert [histogram.quantile_us(share) for share in (0.5, 0.9, 0.99, 1.0)] == [1.0, 1.0, 2.0, 4.0]
    assert np.isnan(Histogram(upper, np.zeros(4, np.uint64)).quantile_us(0.5))
    assert (histogram - histogram).counts.sum() == 0
